package server

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"cgq/pkg/program"
	"cgq/pkg/settings"
)

// An identity is the user that the server becomes when it is started as root.
type identity struct {
	name     string
	uid, gid int
}

// lookUp returns the identity of the setting user; nil: the server stays who it is.
func lookUp(name string) (*identity, error) {
	if name == "" {
		return nil, nil
	}
	u, err := program.LookUp(name)
	if err != nil {
		return nil, err
	}
	return &identity{name, int(u.UID), int(u.GID)}, nil
}

// own refuses a base directory that the server, once it is somebody else, could not
// use: all of it that it writes must be his.
func (id *identity) own(base string) error {
	if id == nil || os.Geteuid() != 0 {
		return nil
	}
	for _, name := range []string{".", settingsDir, "Queue", "Domains", "SystemLogs", "Submitted"} {
		st, err := os.Stat(filepath.Join(base, name))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return err
		}
		if sys, ok := st.Sys().(*syscall.Stat_t); ok && int(sys.Uid) != id.uid {
			return fmt.Errorf("Settings/server.toml: user: %s does not belong to %s: chown -R %s %s",
				filepath.Join(base, name), id.name, id.name, base)
		}
	}
	return nil
}

// become gives root's rights up, for good. Started by somebody else it refuses to be
// another than he is.
func (id *identity) become() error {
	if id == nil || os.Geteuid() == id.uid {
		return nil
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("Settings/server.toml: user: only root can become %s", id.name)
	}
	// Go makes these of all its threads.
	if err := syscall.Setgroups([]int{id.gid}); err != nil {
		return fmt.Errorf("become %s: groups: %w", id.name, err)
	}
	if err := syscall.Setgid(id.gid); err != nil {
		return fmt.Errorf("become %s: group: %w", id.name, err)
	}
	if err := syscall.Setuid(id.uid); err != nil {
		return fmt.Errorf("become %s: %w", id.name, err)
	}
	if syscall.Setuid(0) == nil {
		return fmt.Errorf("become %s: the way back to root is open", id.name)
	}
	return nil
}

// runs refuses a user for programs that the server, once it is somebody else, could not make of
// itself.
func runs(programs, server string) error {
	if programs == "" || server == "" || programs == server {
		return nil
	}
	return settings.Problems{{File: filepath.Join(settingsDir, "pipe.toml"), Key: "deliver.user", Why: fmt.Sprintf(
		"cgqd becomes %s (user in server.toml), and only root can start programs as %s; leave it empty", server, programs)}}
}
