package server

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cgq/pkg/disk"
	"cgq/pkg/spool"
)

// archived is a file with a backup of so many messages.
func archived(t *testing.T, messages int) string {
	t.Helper()
	base := newBase(t, messages)
	fsys, err := disk.OpenOS(base)
	if err != nil {
		t.Fatal(err)
	}
	defer fsys.Close()
	s, _, err := spool.Open(fsys, "Queue", spool.Options{}, slog.New(slog.DiscardHandler))
	if err == nil {
		err = s.Index(t.Context(), func([]spool.Found, []error) {})
	}
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	name := filepath.Join(t.TempDir(), "queue.tar")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := s.Backup(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestRestore(t *testing.T) {
	file, base := archived(t, 3), newBase(t, 0)
	out, err := cgqd(base, "restore", file)
	if err != nil || !strings.HasPrefix(out, "restored 3 messages of the backup of 20") || !strings.Contains(out, "cgq hold remove restored") {
		t.Errorf("restore: %v\n%s", err, out)
	}
	out, err = cgqd(base, "fsck")
	if err != nil || !strings.Contains(out, "messages   3;") || !strings.Contains(out, "hold       restored from the backup of 20") {
		t.Errorf("fsck: %v\n%s", err, out)
	}
	if _, err := cgqd(base, "restore", file); err == nil || !strings.Contains(err.Error(), "the Queue is not empty: messages: 3, the first is 1,") {
		t.Errorf("restore again: %v", err)
	}
}

// What cannot be restored leaves the base directory as it was.
func TestRestoreThatIsRefused(t *testing.T) {
	file, base := archived(t, 3), newBase(t, 0)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, b []byte) string {
		name = filepath.Join(filepath.Dir(file), name)
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	before := tree(t, base)
	for _, tt := range []struct {
		name, want string
		args       []string
	}{
		{"cut off", "it has no end", []string{write("cut", b[:4096])}},
		{"changed", "its check sum is wrong", []string{write("changed", []byte(strings.Replace(string(b), "text", "tExt", 1)))}},
		{"something else", "not a whole backup", []string{write("else", []byte("Subject: \x1b"))}},
		{"a directory", "not a regular file", []string{filepath.Dir(file)}},
		{"no file", "no such file", []string{file + ".x"}},
		{"no name", "name one file", nil},
	} {
		out, err := cgqd(base, append([]string{"restore"}, tt.args...)...)
		if err == nil || !strings.Contains(err.Error(), tt.want) || out != "" {
			t.Errorf("%s: %v, want %q\n%s", tt.name, err, tt.want, out)
		}
	}
	if after := tree(t, base); len(after) != len(before) {
		t.Errorf("something was made: %d names, there were %d", len(after), len(before))
	}
	release, err := lock(base, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if _, err := cgqd(base, "restore", file); err == nil || !strings.Contains(err.Error(), "is in use by cgqd with process id") {
		t.Errorf("restore beside a daemon: %v", err)
	}
}
