package cli

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"cgq/pkg/control"
)

var noColumn = regexp.MustCompile(`no column "no-such"; there are ([^\n]+)\n`)

// What --columns takes is what completion offers for it: a command says the one when it is
// run with a field that its rows have not.
func TestColumnsAreCompleted(t *testing.T) {
	d := full()
	d.settings = append(d.settings, control.SettingRow{Key: "queue.enqueuer.queue_limit", Value: "0", Default: "0", Type: "number", File: "queue.toml"})
	base := d.serve(t)
	said := map[string]bool{}
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		path := strings.TrimPrefix(cmd.CommandPath(), "cgq ")
		for _, line := range append(strings.Split(cmd.Example, "\n"), "cgq message list", "cgq queue list") {
			for _, form := range []string{"csv", "table", "jsonl", "name"} {
				args, ok := strings.CutPrefix(strings.TrimSpace(line), "cgq "+path)
				if !ok || cmd.HasSubCommands() || strings.ContainsAny(args, "'|<>$;") || strings.Contains(args, " --wa") || strings.Contains(args, " -o") {
					continue
				}
				r := cgq(t, base, nil, append(strings.Fields(path+args), "-o", form, "--columns", "no-such")...)
				m := noColumn.FindStringSubmatch(r.errOut)
				if m == nil {
					continue
				}
				said[path] = true
				offered := strings.Fields(cgq(t, base, nil, append(strings.Fields("__completeNoDesc "+path), "--columns", "")...).out)
				for _, name := range strings.Split(m[1], ", ") {
					if !slices.Contains(offered, name) {
						t.Errorf("%s prints %s, and --columns offers %q", path, name, offered)
					}
				}
			}
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(&app{}))
	for path := range printed {
		if cmd, _, err := newRoot(&app{}).Find(strings.Fields(path)); err != nil || cmd.CommandPath() != "cgq "+path {
			t.Errorf("there is no cgq %s", path)
		}
	}
	for _, path := range []string{"queue list", "queue show", "message list", "stat", "settings list", "log tail", "hold list", "trash list"} {
		if !said[path] {
			t.Errorf("%s was not asked", path)
		}
	}
}

func TestColumnsAreCompletedOneByOne(t *testing.T) {
	for begun, want := range map[string]string{
		"q":                "queue :38",
		"module,":          "module,queue module,state module,messages module,recipients module,bytes module,oldest",
		"module,queue,rec": "module,queue,recipients :38",
		"queue,qu":         ":38",
	} {
		r := cgq(t, t.TempDir(), nil, "__completeNoDesc", "queue", "list", "--columns", begun)
		if got := strings.Join(strings.Fields(r.out), " "); !strings.HasPrefix(got, want) {
			t.Errorf("%q: %q, want %q", begun, got, want)
		}
	}
}
