package metrics

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
)

// Settings are the section metrics.
type Settings struct {
	Listen []string `toml:"listen" doc:"where Prometheus reads /metrics: addresses as 127.0.0.1:9480, or sockets as unix:metrics.sock (below the base directory, or an absolute path); there is no password, and the names of host queues are shown; empty: nowhere"`
	Queues int      `toml:"queues" doc:"how many single host queues are shown, the largest and the oldest; the sums of all are always shown; 0 to 10000"`
}

// Defaults are the settings of a new server.
func Defaults() Settings { return Settings{Listen: []string{}, Queues: 100} }

// Validate names the keys that cannot be used.
func (s *Settings) Validate() error {
	var errs []error
	for i, l := range s.Listen {
		if _, _, err := address("/", l); err != nil {
			errs = append(errs, fmt.Errorf("listen: %w", err))
		}
		for _, other := range s.Listen[:i] {
			if other == l {
				errs = append(errs, fmt.Errorf("listen: %q is there twice", l))
			}
		}
	}
	if s.Queues < 0 || s.Queues > 10_000 {
		errs = append(errs, fmt.Errorf("queues: %d is not between 0 and 10000", s.Queues))
	}
	return errors.Join(errs...)
}

// address is what an entry of Listen means, as [net.Listen] has it.
func address(base, s string) (network, at string, err error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if path == "" || strings.Contains(path, "\x00") || len(path) > 100 { // sun_path is 108 bytes
			return "", "", fmt.Errorf("%q: a socket needs a path of 1 to 100 bytes", s)
		}
		if !filepath.IsAbs(path) {
			path = filepath.Join(base, path)
		}
		return "unix", path, nil
	}
	if _, err := netip.ParseAddrPort(s); err != nil {
		return "", "", fmt.Errorf("%q is neither an address and a port, as 127.0.0.1:9480, nor a socket, as unix:metrics.sock", s)
	}
	return "tcp", s, nil
}
