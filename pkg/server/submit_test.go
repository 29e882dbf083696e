package server

import (
	"io"
	"os"
	"path/filepath"
	"testing"
)

// Users of the machine can go through a base directory that init makes, to submit.sock;
// one that is there stays as it is.
func TestTheWayToTheSockets(t *testing.T) {
	top := t.TempDir()
	for dir := top; dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	there := filepath.Join(top, "there")
	if err := os.Mkdir(there, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		base   string
		mode   os.FileMode
		closed string
	}{{filepath.Join(top, "new"), 0o711, ""}, {there, 0o700, there}} {
		if err := initialize(tt.base, io.Discard, func(*config) {}); err != nil {
			t.Fatal(err)
		}
		is, err := os.Stat(tt.base)
		if err != nil || is.Mode().Perm() != tt.mode || closedTo(tt.base) != tt.closed {
			t.Errorf("%s: %v, %v, closed at %q; want %v and %q", tt.base, is.Mode(), err, closedTo(tt.base), tt.mode, tt.closed)
		}
	}
	if got := closedTo(filepath.Join(there, "Settings", "x")); got != filepath.Join(there, "Settings") {
		t.Errorf("below: closed at %q", got)
	}
}
