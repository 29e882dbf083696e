package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// While something is granted others get through the base directory, unless something in it is
// open to them; a mode that somebody else has chosen stays.
func TestPassage(t *testing.T) {
	for _, tt := range []struct {
		name       string
		mode, file os.FileMode
		open       bool
		want       os.FileMode
		wrong      string
	}{
		{"nothing granted", 0o700, 0o600, false, 0o700, ""},
		{"granted", 0o700, 0o600, true, 0o711, ""},
		{"granted before", 0o711, 0o644, true, 0o711, ""},
		{"no more", 0o711, 0o600, false, 0o700, ""},
		{"open by hand", 0o755, 0o644, false, 0o755, ""},
		{"for a group by hand", 0o750, 0o600, true, 0o751, ""},
		{"a file for all", 0o700, 0o604, true, 0o700, "has the mode 0604"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			base := t.TempDir()
			file := filepath.Join(base, "Settings")
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(file, tt.file); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("/", filepath.Join(base, "elsewhere")); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(base, tt.mode); err != nil {
				t.Fatal(err)
			}
			err := passage(base, tt.open)
			if tt.wrong == "" && err != nil || tt.wrong != "" && (err == nil || !strings.Contains(err.Error(), tt.wrong)) {
				t.Errorf("%v, want %q", err, tt.wrong)
			}
			if st, err := os.Stat(base); err != nil || st.Mode().Perm() != tt.want {
				t.Errorf("mode %04o (%v), want %04o", st.Mode().Perm(), err, tt.want)
			}
		})
	}
}
