package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"

	"cgq/pkg/disk"
	"cgq/pkg/serverlog"
	"cgq/pkg/settings"
)

// The directories of the logs.
const (
	logDir    = "SystemLogs"
	auditDir  = "SystemLogs/Audit"  // supplementary: who did what
	emailsDir = "SystemLogs/EMails" // supplementary: what became of each recipient
)

// self is the name by which other logs know us.
const self = "cgqd"

// Logging is the section log.
type Logging struct {
	Level     string            `toml:"level" values:"0|1|2|3|4|5" doc:"what the components write to the Server Log: 0 Crashes Only, 1 Failures, 2 Major & Failures, 3 Problems, 4 Low Level, 5 All Info"`
	Keep      settings.Duration `toml:"keep" doc:"how long the files of old days of the Server Log and of EMails stay, 1d to 520w; 0s: for ever"`
	KeepAudit settings.Duration `toml:"keep_audit" doc:"the same of Audit"`
	KeepSize  settings.Size     `toml:"keep_size" doc:"how large all files of the Server Log may be together, and all of EMails; the oldest go first, today's never; 0: any size; 1M to 1T"`
	Levels    map[string]string `toml:"levels" doc:"the levels of single components by their tags, as ENQUEUER = \"4\" (chapter: Enqueuer Log, Dequeuer Log)"`
	Syslog    Syslog            `toml:"syslog" doc:"the same lines for syslog"`
	Journal   ToJournal         `toml:"journal" doc:"the same lines for the journal of systemd, with the fields CGQ_TAG, CGQ_LEVEL and CGQ_ID"`
}

// Syslog is what of the logs goes to syslog. Nobody waits for it.
type Syslog struct {
	Enabled  bool     `toml:"enabled" doc:"whether they go there"`
	Socket   string   `toml:"socket" doc:"where syslog takes datagrams"`
	Format   string   `toml:"format" doc:"rfc5424, or local: what the C library writes, which every receiver understands"`
	Facility string   `toml:"facility" doc:"mail, daemon, user, local0 to local7, and the others of RFC 5424"`
	Level    string   `toml:"level" values:"0|1|2|3|4|5" doc:"of what the Server Log has, the lines of this level and more important ones"`
	Logs     []string `toml:"logs" doc:"which logs: server, emails, audit"`
}

// ToJournal is what of the logs goes to the journal of systemd. Nobody waits for it.
type ToJournal struct {
	Enabled  bool     `toml:"enabled" doc:"whether they go there"`
	Socket   string   `toml:"socket" doc:"where the journal takes datagrams of its own protocol"`
	Facility string   `toml:"facility" doc:"as of syslog"`
	Level    string   `toml:"level" values:"0|1|2|3|4|5" doc:"as of syslog"`
	Logs     []string `toml:"logs" doc:"as of syslog"`
}

// common is what both have.
func (j *ToJournal) common() Syslog {
	return Syslog{Enabled: j.Enabled, Socket: j.Socket, Format: "local", Facility: j.Facility, Level: j.Level, Logs: j.Logs}
}

// loggingDefaults are the settings of a new server.
func loggingDefaults() Logging {
	return Logging{
		Level: "3", Levels: map[string]string{}, Keep: 30 * settings.Day, KeepAudit: 365 * settings.Day,
		Syslog:  Syslog{Socket: "/dev/log", Format: "rfc5424", Facility: "mail", Level: "3", Logs: []string{"server"}},
		Journal: ToJournal{Socket: "/run/systemd/journal/socket", Facility: "mail", Level: "3", Logs: []string{"server"}},
	}
}

// Validate names the keys that cannot be used.
func (l *Logging) Validate() error {
	var wrong []error
	if _, ok := serverlog.ParseLevel(l.Level); !ok {
		wrong = append(wrong, fmt.Errorf("level: %q is no level: 0 to 5, or its name", l.Level))
	}
	for tag, level := range l.Levels {
		if _, ok := serverlog.ParseLevel(level); !ok {
			wrong = append(wrong, fmt.Errorf("levels.%s: %q is no level: 0 to 5, or its name", tag, level))
		}
		if !slices.Contains(tags(), strings.ToUpper(tag)) {
			wrong = append(wrong, fmt.Errorf("levels.%s: no component has this tag; there are %s", tag, strings.Join(tags(), ", ")))
		}
	}
	for key, d := range map[string]settings.Duration{"keep": l.Keep, "keep_audit": l.KeepAudit} {
		if d != 0 && (d < settings.Day || d > 520*settings.Week) {
			wrong = append(wrong, fmt.Errorf("%s: %s is neither 0s nor 1d to 520w", key, d))
		}
	}
	if n := l.KeepSize; n != 0 && (n < settings.MiB || n > settings.TiB) {
		wrong = append(wrong, fmt.Errorf("keep_size: %s is neither 0 nor 1M to 1T", n))
	}
	j := l.Journal.common()
	return errors.Join(append(wrong, prefix("syslog", l.Syslog.validate()), prefix("journal", j.validate()))...)
}

// tags are those of the components that write to the Server Log.
func tags() []string {
	return []string{"ADMIN", "DEQUEUER", "ENQUEUER", "EXTFILTER", "LOCAL", "METRICS", "PIPE", "QUEUE", "ROUTER", "SMTP", "SMTPI",
		"SYSTEM", "TEMPFILE"}
}

func (s *Syslog) validate() error {
	if _, ok := serverlog.ParseLevel(s.Level); !ok {
		return fmt.Errorf("level: %q is no level: 0 to 5, or its name", s.Level)
	}
	if _, ok := serverlog.Facility(s.Facility); !ok {
		return fmt.Errorf("facility: %q is no facility of syslog, such as mail", s.Facility)
	}
	if s.Format != "rfc5424" && s.Format != "local" {
		return fmt.Errorf("format: %q is not rfc5424 or local", s.Format)
	}
	if !strings.HasPrefix(s.Socket, "/") || len(s.Socket) > 107 { // unix(7)
		return fmt.Errorf("socket: %q is not the path of a socket, from the root on, of 107 bytes at most", s.Socket)
	}
	for _, log := range s.Logs {
		if !slices.Contains([]string{"server", "emails", "audit"}, log) {
			return fmt.Errorf("logs: %q is not server, emails or audit", log)
		}
	}
	return nil
}

func (l *Logging) apply(log *serverlog.Log) {
	standard, own := l.parse()
	log.SetLevels(standard, own)
}

func (l *Logging) parse() (standard slog.Level, own map[string]slog.Level) {
	standard, _ = serverlog.ParseLevel(l.Level)
	own = map[string]slog.Level{}
	for tag, level := range l.Levels {
		own[strings.ToUpper(tag)], _ = serverlog.ParseLevel(level)
	}
	return standard, own
}

func (l *Logging) keep() serverlog.Keep {
	return serverlog.Keep{Age: l.Keep.D(), Size: int64(l.KeepSize)}
}

func (l *Logging) keepAudit() serverlog.Keep { return serverlog.Keep{Age: l.KeepAudit.D()} }

// openLogs opens the Server Log and the supplementary ones.
func (s *server) openLogs(fsys disk.FS, c *config) (err error) {
	standard, own := c.Log.parse()
	s.log, err = serverlog.Open(fsys, logDir, serverlog.Options{Level: standard, Levels: own, Keep: c.Log.keep(), Complain: complain})
	if err != nil {
		return err
	}
	s.system = s.log.Logger("SYSTEM")
	s.audit, err = serverlog.Open(fsys, auditDir, serverlog.Options{Level: serverlog.All, Keep: c.Log.keepAudit(), Complain: complain})
	if err != nil {
		return err
	}
	s.emails, err = serverlog.Open(fsys, emailsDir, serverlog.Options{Level: serverlog.All, Keep: c.Log.keep(), Complain: complain})
	if err != nil {
		return err
	}
	s.outlets.use(s, &c.Log)
	return nil
}

// useLogs gives the logs their settings.
func (s *server) useLogs(l *Logging) {
	l.apply(s.log)
	s.log.SetKeep(l.keep())
	s.audit.SetKeep(l.keepAudit())
	s.emails.SetKeep(l.keep())
	s.outlets.use(s, l)
}

// closeSupplements closes the supplementary logs, then what all logs have been sent to.
func (s *server) closeSupplements() (err error) {
	for _, log := range []*serverlog.Log{s.audit, s.emails} {
		if log != nil {
			err = errors.Join(err, log.Close())
		}
	}
	s.outlets.close()
	return err
}

// outlets are syslog and the journal, as far as they are wanted. Who reads the settings
// anew uses it.
type outlets struct {
	syslog Syslog
	to     ToJournal
	open   []*serverlog.Outlet
}

// use opens what the settings want in place of what is open, if that is something else.
func (o *outlets) use(s *server, l *Logging) {
	if reflect.DeepEqual(o.syslog, l.Syslog) && reflect.DeepEqual(o.to, l.Journal) {
		return
	}
	old := o.open
	o.syslog, o.to, o.open = l.Syslog, l.Journal, nil
	logs := map[string]*serverlog.Log{"server": s.log, "emails": s.emails, "audit": s.audit}
	lists := map[string][]*serverlog.Outlet{}
	add := func(name string, set Syslog, form func(string, int) serverlog.Form) {
		if !set.Enabled {
			return
		}
		level, _ := serverlog.ParseLevel(set.Level)
		facility, _ := serverlog.Facility(set.Facility)
		out := serverlog.OpenOutlet(serverlog.OutletOptions{Name: name, Socket: set.Socket, Level: level,
			Form: form(self, facility), Say: s.system})
		o.open = append(o.open, out)
		for _, log := range set.Logs {
			lists[log] = append(lists[log], out)
		}
	}
	form := serverlog.Syslog
	if l.Syslog.Format == "local" {
		form = serverlog.LocalSyslog
	}
	add("syslog", l.Syslog, form)
	add("journal", l.Journal.common(), serverlog.Journal)
	for name, log := range logs {
		log.SendTo(lists[name]...)
	}
	for _, out := range old {
		out.Close()
	}
	if len(o.open) > 0 {
		s.system.Log(context.Background(), serverlog.Major, "the log goes to other logs, too", "syslog", l.Syslog.Enabled, "journal", l.Journal.Enabled)
	}
}

func (o *outlets) close() {
	for _, out := range o.open {
		out.Close()
	}
	o.open = nil
}
