package cli

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"cgq/pkg/control"
)

// files are the names in a directory.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		names = append(names, e.Name())
	}
	return names
}

func TestBackup(t *testing.T) {
	d := full()
	base, dir := d.serve(t), t.TempDir()
	name := filepath.Join(dir, "queue.tar")
	got := cgq(t, base, nil, "queue", "backup", name)
	if want := "backed up 412 messages, 234.4K in " + name + "\n"; got != (result{want, "", exitDone}) {
		t.Errorf("backup: %+v, want %q", got, want)
	}
	b, err := os.ReadFile(name)
	is, err2 := os.Stat(name)
	if err != nil || err2 != nil || string(b) != d.archive || is.Mode() != 0o600 || len(files(t, dir)) != 1 {
		t.Errorf("%d bytes, %v, %v, %v, %q", len(b), is.Mode(), err, err2, files(t, dir))
	}

	d.archive = "another"
	if got = cgq(t, base, nil, "queue", "backup", name); got.status != exitFailed || !strings.Contains(got.errOut, "--force replaces it") {
		t.Errorf("over a file: %+v", got)
	}
	d.backup.Left, d.backup.Damaged = 3, 2
	got = cgq(t, base, nil, "queue", "backup", name, "--force")
	want := "; 3 left the queue meanwhile; 2 could not be read and are not in it, the log names them\n"
	if got.status != exitPartly || !strings.HasSuffix(got.out, want) {
		t.Errorf("of damage: %+v, want %q", got, want)
	}
	if b, err := os.ReadFile(name); string(b) != "another" || err != nil {
		t.Errorf("forced: %q, %v", b, err)
	}
	got = cgq(t, base, nil, "queue", "backup", name, "--force", "-o", "csv")
	if want := "file,messages,left,damaged,bytes\n" + name + ",412,3,2,240000\n"; got.out != want || got.status != exitPartly {
		t.Errorf("csv: %+v, want %q", got, want)
	}
	got = cgq(t, base, nil, "queue", "backup", name, "--force", "-o", "json")
	if want := `{"file":"` + name + `","messages":412,"left":3,"damaged":2,"bytes":240000}` + "\n"; got.out != want {
		t.Errorf("json: %+v, want %q", got, want)
	}
	got = cgq(t, base, nil, "queue", "backup", "-")
	if got.out != "another" || !strings.HasPrefix(got.errOut, "backed up 412 messages, 234.4K in standard output;") {
		t.Errorf("to stdout: %+v", got)
	}
}

// What fails leaves neither half a backup nor its temporary file, and the old one.
func TestBackupThatFails(t *testing.T) {
	d := full()
	base, dir := d.serve(t), t.TempDir()
	name := filepath.Join(dir, "queue.tar")
	if err := os.WriteFile(name, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(name, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	before := files(t, dir)
	d.err = errLate
	for _, tt := range []struct {
		name, says string
		status     int
		args       []string
	}{
		{"late", "journal on fire", exitFailed, []string{name, "--force"}},
		{"over a link", "not a regular file", exitFailed, []string{filepath.Join(dir, "link"), "--force"}},
		{"over a device", "not a regular file", exitFailed, []string{"/dev/null", "--force"}},
		{"no directory", "no such file", exitFailed, []string{filepath.Join(dir, "x/y")}},
		{"no file", "something is missing", exitUsage, nil},
	} {
		got := cgq(t, base, nil, append([]string{"queue", "backup"}, tt.args...)...)
		if got.status != tt.status || got.out != "" || !strings.Contains(got.errOut, tt.says) {
			t.Errorf("%s: %+v, want %q", tt.name, got, tt.says)
		}
	}
	if b, err := os.ReadFile(name); string(b) != "old" || err != nil || !reflect.DeepEqual(files(t, dir), before) {
		t.Errorf("%q, %v; files %q, want %q", b, err, files(t, dir), before)
	}
	got := cgq(t, base, func(a *app) { a.width = 80 }, "queue", "backup", "-")
	if got.status != exitUsage || !strings.Contains(got.errOut, "nothing for a terminal") {
		t.Errorf("to a terminal: %+v", got)
	}
	d.rights = []control.Right{control.Monitor, control.Release}
	if got := cgq(t, base, nil, "queue", "backup", filepath.Join(dir, "new")); got.status != exitNoRight {
		t.Errorf("without the right: %+v", got)
	}
}

func TestHolds(t *testing.T) {
	d := full()
	base := d.serve(t)
	for _, form := range formats() {
		args := []string{"hold", "list", "-o", form}
		t.Run(form, func(t *testing.T) { golden(t, "hold-list-"+form, cgq(t, base, nil, args...), args) })
	}
	d.outcome = control.Outcome{Matched: 412, Changed: 412, Messages: 412}
	got := cgq(t, base, nil, "hold", "remove", "restored")
	if got.status != exitNotConfirmed || !strings.Contains(got.errOut, "412 messages would be freed; add --yes") {
		t.Errorf("without a yes: %+v", got)
	}
	if got = cgq(t, base, nil, "hold", "remove", "restored", "--dry-run"); got.out != "would have freed 412 of 412 messages\nnothing was changed\n" {
		t.Errorf("dry run: %+v", got)
	}
	if got = cgq(t, base, nil, "hold", "remove", "restored", "--yes"); got.out != "freed 412 of 412 messages\n" {
		t.Errorf("with a yes: %+v", got)
	}
	want := []control.HoldAct{{Name: "restored", DryRun: true}, {Name: "restored", DryRun: true}, {Name: "restored"}}
	if !reflect.DeepEqual(d.freed, want) {
		t.Errorf("asked %+v, want %+v", d.freed, want)
	}
	d.err = control.Errorf(control.KindNoSuchHold, "", "no hold")
	if got := cgq(t, base, nil, "hold", "remove", "x", "--yes", "--fail-empty"); got.status != exitEmpty {
		t.Errorf("no such hold: %+v", got)
	}
	d.err = nil
	if got := cgq(t, base, nil, "__complete", "hold", "remove", "r"); !strings.Contains(got.out, "restored\trestored from") {
		t.Errorf("completion: %+v", got)
	}
}
