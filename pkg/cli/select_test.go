package cli

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"cgq/pkg/control"
)

// Every command that takes a selection, with what it needs besides to do something.
var selecting = map[string][]string{
	"queue list":      nil,
	"queue shape":     nil,
	"queue release":   {"--yes"},
	"queue reject":    {"--yes", "--text", "x"},
	"message list":    nil,
	"message reject":  {"--yes", "--text", "x"},
	"message release": {"--yes"},
	"message reroute": {"--yes"},
	"message drop":    {"--yes"},
	"message export":  {"--force"},
	"hold add":        {"--yes", "--reason", "x"},
}

// asked is the selection that the daemon got, whatever for.
func (d *daemon) askedFor() []control.Selection {
	all := slices.Clone(d.selections)
	for _, act := range d.acts {
		all = append(all, act.Selection)
	}
	for _, o := range d.orders {
		all = append(all, o.Selection)
	}
	if !reflect.ValueOf(d.shaped).IsZero() {
		all = append(all, d.shaped.Selection)
	}
	return all
}

func TestSelectionFlags(t *testing.T) {
	flags := []string{"--module", "SMTP,LOCAL", "--module", "PIPE", "--queue", "a", "--queue", "~b{1,2}", "--sender", "<>",
		"--rcpt", "*@x", "--sender-domain", "s", "--rcpt-domain", "r", "--auth", "ann", "--source", "DSN,LIST", "--error", "a, b",
		"--subject", "re:", "--age", ">2h", "--age", "<4h", "--size", "1M..", "--state", "Delayed,held", "--where", "attempts > 5",
		"--limit", "7"}
	want := control.Selection{Module: []string{"SMTP", "LOCAL", "PIPE"}, Queue: []string{"a", "~b{1,2}"}, Sender: []string{"<>"},
		Rcpt: []string{"*@x"}, SenderDomain: []string{"s"}, RcptDomain: []string{"r"}, Auth: []string{"ann"}, Source: []string{"DSN", "LIST"},
		Error: []string{"a, b"}, Subject: []string{"re:"}, Age: []string{">2h", "<4h"}, Size: []string{"1M.."},
		State: []control.State{control.Delayed, control.Held}, Where: "attempts > 5", Limit: 7}
	for what, more := range selecting {
		t.Run(what, func(t *testing.T) {
			t.Chdir(t.TempDir())
			d := full()
			got := cgq(t, d.serve(t), nil, slices.Concat(strings.Fields(what), flags, more)...)
			asked := d.askedFor()
			if got.status != exitDone || len(asked) == 0 || !reflect.DeepEqual(asked[0], want) {
				t.Errorf("%+v\nasked %+v\nwant  %+v", got, asked, want)
			}
		})
	}
}

// A script with an unset variable must not act on more than it meant.
func TestAnEmptyFlagIsAnError(t *testing.T) {
	names := strings.Fields("module queue sender rcpt sender-domain rcpt-domain auth source error subject age size state limit where ids-from")
	for what, more := range selecting {
		d := full()
		base := d.serve(t)
		for _, name := range names {
			for _, value := range []string{"", " "} {
				args := slices.Concat(strings.Fields(what), []string{"--queue", "a", "--" + name, value}, more)
				if got := cgq(t, base, nil, args...); got.status != exitUsage || !strings.Contains(got.errOut, "--"+name) {
					t.Errorf("%q: %+v; want status 2", args, got)
				}
			}
		}
		if asked := d.askedFor(); len(asked) > 0 {
			t.Errorf("%s: the daemon was asked for %+v", what, asked)
		}
	}
}

func TestIDsFrom(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, tt := range []struct {
		name, in string
		args     []string
		want     control.Selection
		status   int
		says     string
	}{
		{"standard input", "3\n\n 1 \r\n3\n2", []string{"--ids-from", "-"}, control.Selection{IDs: ids(3, 1, 2)}, exitDone, ""},
		{"a file", "", []string{"--ids-from", file("ids", "1\n2\n")}, control.Selection{IDs: ids(1, 2)}, exitDone, ""},
		{"with a flag", "7\n", []string{"--ids-from", "-", "--queue", "a"},
			control.Selection{IDs: ids(7), Queue: []string{"a"}}, exitDone, ""},
		{"those that are in both", "1\n2\n3\n", []string{"2", "3", "4", "--ids-from", "-"}, control.Selection{IDs: ids(2, 3)}, exitDone, ""},
		{"a bad line", "1\n\nID\n", []string{"--ids-from", "-"}, control.Selection{}, exitUsage, `line 3: "ID" is not the id`},
		{"a bad line that is hostile", "\x1b[2J\n", []string{"--ids-from", "-"}, control.Selection{}, exitUsage, `line 1: "\x1b[2J" is not`},
		{"zero", "0\n", []string{"--ids-from", "-"}, control.Selection{}, exitUsage, `line 1: "0" is not the id`},
		{"no file", "", []string{"--ids-from", dir + "/none"}, control.Selection{}, exitFailed, "no such file"},
		{"twice", "", []string{"--ids-from", "-", "--ids-from", "x"}, control.Selection{}, exitUsage, "given twice"},
		{"all, too", "1\n", []string{"--ids-from", "-", "--all"}, control.Selection{}, exitUsage, "a selection that narrows it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := full()
			got := cgq(t, d.serve(t), func(a *app) { a.in = strings.NewReader(tt.in) },
				append([]string{"message", "drop", "-y"}, tt.args...)...)
			if got.status != tt.status || !strings.Contains(got.errOut, tt.says) || strings.ContainsRune(got.errOut, '\x1b') {
				t.Errorf("%+v; want %d, %q", got, tt.status, tt.says)
			}
			asked := d.askedFor()
			if tt.status == exitDone && (len(asked) != 1 || !reflect.DeepEqual(asked[0], tt.want)) ||
				tt.status != exitDone && len(asked) > 0 {
				t.Errorf("asked %+v, want %+v", asked, tt.want)
			}
		})
	}
}

// No ids are nothing, and never everything; nobody has to be asked for that.
func TestNoIDsAreNothing(t *testing.T) {
	base := t.TempDir() // where no daemon is
	for what, more := range selecting {
		for _, extra := range [][]string{nil, {"--queue", "a"}} {
			args := slices.Concat(strings.Fields(what), []string{"--ids-from", "-"}, more, extra)
			got := cgq(t, base, func(a *app) { a.in = strings.NewReader("\n \n") }, args...)
			if got.status != exitDone || got.errOut != "" {
				t.Errorf("%q: %+v; want nothing done", args, got)
			}
			got = cgq(t, base, func(a *app) { a.in = strings.NewReader("") }, append(args, "--fail-empty")...)
			if got.status != exitEmpty {
				t.Errorf("%q --fail-empty: %+v; want status 3", args, got)
			}
		}
	}
	got := cgq(t, base, func(a *app) { a.in = strings.NewReader("1\n") }, "message", "drop", "2", "--ids-from", "-", "-y")
	if got.status != exitDone || !strings.Contains(got.out, " matches; nothing was ") {
		t.Errorf("lists that have nothing in common: %+v", got)
	}
}

func TestNamesOfOneThingAreTakenLiterally(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want control.Selection
	}{
		{[]string{"queue", "release", "smtp", "*"}, control.Selection{Module: []string{"SMTP"}, Queue: []string{`~^\*$`}}},
		{[]string{"queue", "release", "LOCAL", "~a.b"}, control.Selection{Module: []string{"LOCAL"}, Queue: []string{`~^~a\.b$`}}},
		{[]string{"queue", "release", "SMTP", "example.com", "--sender", "a*"},
			control.Selection{Module: []string{"SMTP"}, Queue: []string{"example.com"}, Sender: []string{"a*"}}},
		{[]string{"queue", "show", "LOCAL", "a*@example.org"},
			control.Selection{Module: []string{"LOCAL"}, Queue: []string{`~^a\*@example\.org$`}}},
		{[]string{"sender", "reject", "*", "--text", "x", "-y"}, control.Selection{Auth: []string{`~^\*$`}}},
		{[]string{"sender", "reject", "ann@example.org", "--text", "x", "-y"}, control.Selection{Auth: []string{"ann@example.org"}}},
	} {
		d := full()
		d.queues = append(d.queues, control.QueueRow{Module: "LOCAL", Queue: "a*@example.org"})
		got := cgq(t, d.serve(t), nil, tt.args...)
		if asked := d.askedFor(); got.status != exitDone || len(asked) != 1 || !reflect.DeepEqual(asked[0], tt.want) {
			t.Errorf("%q: %+v\nasked %+v\nwant  %+v", tt.args, got, asked, tt.want)
		}
	}
}

// The caret stands below the place, on lines of their own, and nothing is raw.
func TestAnExpressionThatIsWrong(t *testing.T) {
	d := full()
	d.outcome, d.messages = control.Outcome{}, nil
	d.err = control.Errorf(control.KindBadRequest, "the fields are \x1b[2Jage", "where: unknown name sendr (1:1)\n | sendr == \"\x07\"\n | ^")
	want := "cgq: where: unknown name sendr (1:1)\n | sendr == \"\\x07\"\n | ^\nthe fields are \\x1b[2Jage\n"
	base := d.serve(t)
	for _, args := range [][]string{{"message", "list", "--where", "sendr"}, {"message", "drop", "--where", "sendr"}} {
		if got := cgq(t, base, nil, args...); got.status != exitUsage || got.errOut != want || got.out != "" {
			t.Errorf("%q: %+v; want status 2 and\n%s", args, got, want)
		}
	}
}
