package local

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"cgq/pkg/directory"
	"cgq/pkg/settings"
)

// Settings is the section local.
type Settings struct {
	Domains       []string            `toml:"domains" doc:"the local domains, whose Accounts are here; in lower case"`
	Channels      int                 `toml:"channels" doc:"deliveries at the same time, 1 to 1000 (chapter: Processors)"`
	QueueChannels int                 `toml:"queue_channels" doc:"deliveries into one Account at a time, 1 to channels"`
	Retry         []settings.Duration `toml:"retry" doc:"the waits between attempts, 1s to 1w each; the last one repeats"`
	Expire        settings.Duration   `toml:"expire" doc:"how long delivery is tried before a message fails, 1m to 30d"`
}

// Defaults returns the settings of a new server.
func Defaults() Settings {
	minutes := func(n int) settings.Duration { return settings.Duration(n) * settings.Duration(time.Minute) }
	return Settings{
		Domains:       []string{},
		Channels:      20,
		QueueChannels: 1,
		Retry:         []settings.Duration{minutes(1), minutes(5), minutes(15), minutes(30), minutes(60)},
		Expire:        5 * settings.Day,
	}
}

// Validate says what is out of its range, each with its key in front.
func (s Settings) Validate() error {
	var errs []error
	wrong := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf(key+": "+format, args...))
	}
	for i, d := range s.Domains {
		switch name, err := directory.ParseDomain(d); {
		case err != nil:
			wrong("domains", "%w", err)
		case name != d:
			wrong("domains", "%q: write it in lower case: %q", d, name)
		case slices.Contains(s.Domains[:i], d):
			wrong("domains", "%q is there twice", d)
		}
	}
	working := settings.Working{Channels: s.Channels, QueueChannels: s.QueueChannels, Retry: s.Retry, Expire: s.Expire}
	return errors.Join(append(errs, working.Validate())...)
}
