package extfilter

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"cgq/pkg/program"
	"cgq/pkg/settings"
)

// Settings are the section filters: the External Filters that Rules can name.
type Settings struct {
	Filters []Filter `toml:"filter" doc:"the External Filters"`
}

// A Filter is one External Filter. What does not belong to its kind is empty.
type Filter struct {
	Name     string            `toml:"name" doc:"the name that Rules give"`
	Kind     string            `toml:"kind" values:"helper|milter|rspamd" doc:"helper, a program of the product's protocol; milter; or rspamd"`
	Disabled bool              `toml:"disabled" doc:"the action of a Rule that names it does nothing"`
	WhenDown string            `toml:"when_down" values:"refuse|wait" doc:"what happens to mail while it is down: refuse (standard) or wait"`
	Timeout  settings.Duration `toml:"timeout" doc:"how long an answer may take; 1s to 1h; not given: 2m"`

	Program     string `toml:"program" doc:"of a helper: the command line, without a shell"`
	Processes   int    `toml:"processes" doc:"of a helper: so many share the messages; 1 to 64; not given: 1"`
	InFlight    int    `toml:"in_flight" doc:"of a helper: messages that one process has at the same time; 1 to 1000; not given: 16"`
	AutoRestart Pause  `toml:"auto_restart" doc:"of a helper: how long to wait until one that has ended is started again; 0s: never; not given: 5s"`

	Address string `toml:"address" doc:"of a milter: unix:/path, or host:port"`

	URL        string `toml:"url" doc:"of rspamd: http://127.0.0.1:11333, or unix:/path"`
	Password   string `toml:"password" doc:"of rspamd"`
	SpamHeader string `toml:"spam_header" doc:"of rspamd: the field that \"add header\" adds; not given: X-Spam: Yes"`
}

// A Pause is a length of time of which nothing is something else than nothing said.
type Pause struct {
	settings.Duration
	said bool
}

// After is the Pause of a length of time.
func After(d time.Duration) Pause { return Pause{settings.Duration(d), true} }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (p *Pause) UnmarshalText(text []byte) error {
	p.said = true
	return p.Duration.UnmarshalText(text)
}

// The kinds of filters, and what happens to mail when one is down.
const (
	kindHelper = "helper"
	kindMilter = "milter"
	kindRspamd = "rspamd"

	downRefuse = "refuse"
	downWait   = "wait"
)

const (
	standardTimeout  = 2 * time.Minute
	standardInFlight = 16
	standardRestart  = 5 * time.Second
	standardSpam     = "X-Spam: Yes"
)

// complete is a filter with what was left out.
func (f Filter) complete() Filter {
	f.WhenDown = cmp.Or(f.WhenDown, downRefuse)
	f.Timeout = cmp.Or(f.Timeout, settings.Duration(standardTimeout))
	f.Processes, f.InFlight = cmp.Or(f.Processes, 1), cmp.Or(f.InFlight, standardInFlight)
	if f.AutoRestart = cmp.Or(f.AutoRestart, After(standardRestart)); f.Kind != kindHelper {
		f.AutoRestart = Pause{} // of no importance
	}
	f.SpamHeader = cmp.Or(f.SpamHeader, standardSpam)
	return f
}

// Validate names every key that cannot be used: filter[2].timeout.
func (s *Settings) Validate() error {
	var all []error
	names := map[string]bool{}
	for i, f := range s.Filters {
		wrong := func(key, format string, args ...any) {
			all = append(all, fmt.Errorf("filter[%d].%s: %s", i+1, key, fmt.Sprintf(format, args...)))
		}
		switch key := strings.ToLower(f.Name); {
		case f.Name == "":
			wrong("name", "is empty; write the name that Rules give")
		case names[key]:
			wrong("name", "%q is there twice", f.Name)
		default:
			names[key] = true
		}
		f.check(wrong)
	}
	return errors.Join(all...)
}

func (f Filter) check(wrong func(key, format string, args ...any)) {
	f = f.complete()
	if !slices.Contains([]string{downRefuse, downWait}, f.WhenDown) {
		wrong("when_down", "%q is neither refuse nor wait", f.WhenDown)
	}
	if f.Timeout.D() < time.Second || f.Timeout.D() > time.Hour {
		wrong("timeout", "%s is not between 1s and 1h", f.Timeout)
	}
	switch f.Kind {
	case kindHelper:
		if args, err := program.Split(f.Program); err != nil {
			wrong("program", "%v; write a command line, as \"/usr/bin/scan -q\"", err)
		} else if strings.Contains(args[0], "\x00") {
			wrong("program", "%q is no path", args[0])
		}
		if f.Processes < 1 || f.Processes > 64 {
			wrong("processes", "%d is not between 1 and 64", f.Processes)
		}
		if f.InFlight < 1 || f.InFlight > 1000 {
			wrong("in_flight", "%d is not between 1 and 1000", f.InFlight)
		}
		if f.AutoRestart.D() < 0 || f.AutoRestart.D() > time.Hour {
			wrong("auto_restart", "%s is not between 0s and 1h", f.AutoRestart.Duration)
		}
	case kindMilter:
		if _, _, err := milterAddress(f.Address); err != nil {
			wrong("address", "%v", err)
		}
	case kindRspamd:
		if err := checkURL(f.URL); err != nil {
			wrong("url", "%v", err)
		}
		if !isField(f.SpamHeader) || strings.ContainsAny(f.SpamHeader, "\r\n\x00") {
			wrong("spam_header", "%q is no header field, as \"X-Spam: Yes\"", f.SpamHeader)
		}
	default:
		wrong("kind", "%q is none of helper, milter, rspamd", f.Kind)
	}
}

// milterAddress takes the address of a milter apart: unix:/path, or host:port, also
// inet:port@host as milters write it.
func milterAddress(s string) (network, address string, err error) {
	if p, ok := strings.CutPrefix(s, "unix:"); ok && filepath.IsAbs(p) {
		return "unix", p, nil
	}
	if p, ok := strings.CutPrefix(s, "inet:"); ok {
		if port, host, both := strings.Cut(p, "@"); both {
			s = net.JoinHostPort(host, port)
		} else {
			s = p
		}
	}
	if host, port, err := net.SplitHostPort(s); err == nil && host != "" && port != "" {
		return "tcp", s, nil
	}
	return "", "", fmt.Errorf("%q is no address; write unix:/path, or host:port", s)
}

func checkURL(s string) error {
	if p, ok := strings.CutPrefix(s, "unix:"); ok && filepath.IsAbs(p) {
		return nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("%q is no address; write http://127.0.0.1:11333, or unix:/path", s)
	}
	return nil
}

// Document is the file of a new server: no filter, and examples.
func (s *Settings) Document() (string, error) { return document, nil }

const document = `# External Filters: programs that say what becomes of a message. A filter is asked by
# the action ["ExternalFilter", "name"] of a Rule (rules.toml). docs/filters.md is the manual.
#
# name          what Rules call it
# kind          "helper": a program that speaks the Helper protocol; "milter"; "rspamd"
# disabled      true: the action of a Rule that names it does nothing
# when_down     what becomes of mail while the filter is down or does not answer in time:
#               "refuse": it is refused for now, with 451 (standard); "wait": it is accepted and
#               waits until the filter has seen it. It never passes unfiltered.
# timeout       how long an answer may take; 1s to 1h; standard 2m
#
# [[filter]]
# name = "antivirus"
# kind = "helper"
# program = "/usr/local/bin/scan -q"  # without a shell; in the base directory
# processes = 1          # so many share the messages; 1 to 64
# in_flight = 16         # messages that each has at the same time; 1 to 1000
# auto_restart = "5s"    # until one that has ended is started again; "0s": never
#
# [[filter]]
# name = "dkim"
# kind = "milter"
# address = "unix:/run/opendkim/opendkim.sock"   # or host:port
#
# [[filter]]
# name = "spam"
# kind = "rspamd"
# url = "http://127.0.0.1:11333"
# password = ""
# spam_header = "X-Spam: Yes"   # what is added where rspamd says "add header"
`
