package server

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"cgq/pkg/directory"
	"cgq/pkg/disk"
	"cgq/pkg/mail"
	"cgq/pkg/rules"
	"cgq/pkg/settings"
)

// initialize makes a base directory; set changes the defaults. It refuses settings
// that would not work, and writes nothing then.
func initialize(base string, out io.Writer, set func(*config)) error {
	c := defaults()
	if host, err := os.Hostname(); err == nil {
		if name, err := directory.ParseDomain(strings.TrimSuffix(host, ".")); err == nil {
			c.General.MainDomain, c.Local.Domains = name, []string{name}
		}
	}
	c.Rules = rules.Example()
	set(c)
	for _, s := range c.sections() {
		if v, ok := s.Value.(settings.Validator); ok {
			if err := v.Validate(); err != nil {
				return fmt.Errorf("these settings would not work: %s: %w", s.Name, err)
			}
		}
	}
	if err := makeBase(base); err != nil {
		return err
	}
	fsys, err := disk.OpenOS(base)
	if err != nil {
		return err
	}
	defer fsys.Close()
	if err := settings.WriteDefaults(fsys, settingsDir, c.sections()...); err != nil {
		return err
	}
	if err := writeRouter(fsys); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Join(settingsDir, routerFile), err)
	}
	if dir := c.Pipe.Submitted.Directory; !filepath.IsAbs(dir) {
		if err := fsys.Mkdir(dir); err != nil {
			return err
		}
	}
	// RFC 5321 §4.5.1: there is always a postmaster.
	d := directory.New(fsys, func() []string { return c.Local.Domains })
	for _, domain := range c.Local.Domains {
		if _, err := d.Create(mail.Address{Local: "postmaster", Domain: domain}); err != nil && !errors.Is(err, directory.ErrExist) {
			return err
		}
	}
	fmt.Fprintf(out, "settings written to %s\n", filepath.Join(base, settingsDir))
	return nil
}

// makeBase makes the base directory. Others may go through it, to the sockets, and read
// nothing there. One that is there stays as it is.
func makeBase(base string) error {
	if _, err := os.Stat(base); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(base, 0o700); err != nil {
		return err
	}
	return os.Chmod(base, 0o711) //nolint:gosec // see above
}
