package server

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// grant makes the rights of a configuration count, and lets those through to the control
// socket who have any.
func (s *server) grant(c *config) {
	s.access.Use(c.access)
	if err := passage(s.base, c.access.Others()); err != nil {
		s.system.Error("others cannot reach control.sock: " + err.Error())
	}
}

// What init makes of the base directory, and what lets others through it to what they know by name:
// they can neither list nor change it.
const (
	closedMode = 0o700
	openMode   = 0o711
)

// passage opens the base directory for others, or closes what it has opened. Other modes
// are somebody's wish, and stay. What is in the directory is for nobody but its owner:
// while that is not so it is not opened.
func passage(base string, open bool) error {
	st, err := os.Stat(base)
	if err != nil {
		return err
	}
	switch mode := st.Mode().Perm(); {
	case open && mode&0o001 == 0:
		if err := private(base); err != nil {
			return err
		}
		return os.Chmod(base, mode|openMode&^closedMode) //nolint:gosec // to pass through
	case !open && mode == openMode:
		return os.Chmod(base, closedMode) //nolint:gosec // a directory
	}
	return nil
}

// private returns an error that names something in base that others could use once they
// are through. A socket asks who comes.
func private(base string) error {
	entries, err := os.ReadDir(base)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return err
		}
		if t := info.Mode().Type(); t == fs.ModeSocket || t == fs.ModeSymlink {
			continue
		}
		if info.Mode().Perm()&0o077 != 0 {
			name := filepath.Join(base, e.Name())
			return fmt.Errorf("%s has the mode %04o, and others could use it, too: chmod go-rwx %s, then reread the settings", name, info.Mode().Perm(), name)
		}
	}
	return nil
}
