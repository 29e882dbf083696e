package pipe

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"cgq/pkg/program"
	"cgq/pkg/settings"
)

// Deliver is the table deliver of the section pipe: how messages are given to programs.
type Deliver struct {
	Directory     string              `toml:"directory" doc:"where the programs are, and no others can be started; below the base directory, or absolute"`
	User          string              `toml:"user" doc:"who runs them; only a cgqd that stays root can name another than itself; empty: who runs cgqd"`
	TimeLimit     settings.Duration   `toml:"time_limit" doc:"how long a program may run, until it and all that it has started are killed, and the message is tried again; 1s to 1h"`
	Output        settings.Size       `toml:"output" doc:"how much of what a program writes is kept; what is more is thrown away; 1K to 16M"`
	Channels      int                 `toml:"channels" doc:"programs at the same time, 1 to 1000 (chapter: Processors)"`
	QueueChannels int                 `toml:"queue_channels" doc:"runs of one program at a time, 1 to channels"`
	Retry         []settings.Duration `toml:"retry" doc:"the waits between attempts, 1s to 1w each; the last one repeats"`
	Expire        settings.Duration   `toml:"expire" doc:"how long a program is tried before a message fails, 1m to 30d"`
}

// Defaults returns the settings of a new server.
func Defaults() Deliver {
	minutes := func(n int) settings.Duration { return settings.Duration(n) * settings.Duration(time.Minute) }
	return Deliver{
		Directory:     "Programs",
		TimeLimit:     minutes(2),
		Output:        64 << 10,
		Channels:      10,
		QueueChannels: 2,
		Retry:         []settings.Duration{minutes(1), minutes(5), minutes(15), minutes(30), minutes(60)},
		Expire:        5 * settings.Day,
	}
}

// Validate says what is out of its range, each with its key in front.
func (d *Deliver) Validate() error {
	var errs []error
	wrong := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf(key+": "+format, args...))
	}
	if !filepath.IsAbs(d.Directory) && !filepath.IsLocal(d.Directory) {
		wrong("directory", "%q is neither absolute nor below the base directory", d.Directory)
	}
	if _, err := runAs(d.User); err != nil {
		wrong("user", "%w", err)
	}
	if l := d.TimeLimit.D(); l < time.Second || l > time.Hour {
		wrong("time_limit", "%s is not in 1s to 1h", d.TimeLimit)
	}
	if d.Output < settings.KiB || d.Output > 16*settings.MiB {
		wrong("output", "%s is not in 1K to 16M", d.Output)
	}
	working := settings.Working{Channels: d.Channels, QueueChannels: d.QueueChannels, Retry: d.Retry, Expire: d.Expire}
	return errors.Join(append(errs, working.Validate())...)
}

// runAs is who runs programs; nil: who we are. Only root can make somebody else of himself.
func runAs(name string) (*program.User, error) {
	if name == "" {
		return nil, nil
	}
	u, err := program.LookUp(name)
	switch {
	case err != nil:
		return nil, settings.Absent(err)
	case int(u.UID) == os.Geteuid():
		return nil, nil
	case os.Geteuid() != 0:
		return nil, fmt.Errorf("only root can start programs as %s; leave it empty", name)
	}
	return u, nil
}
