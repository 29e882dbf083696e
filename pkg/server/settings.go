package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"cgq/pkg/dequeuer"
	"cgq/pkg/directory"
	"cgq/pkg/disk"
	"cgq/pkg/dsn"
	"cgq/pkg/enqueuer"
	"cgq/pkg/extfilter"
	"cgq/pkg/kernel"
	"cgq/pkg/module/local"
	"cgq/pkg/module/smtp"
	"cgq/pkg/queue"
	"cgq/pkg/router"
	"cgq/pkg/rules"
	"cgq/pkg/serverlog"
	"cgq/pkg/settings"
	"cgq/pkg/spool"
)

// General is the section server.
type General struct {
	MainDomain string   `toml:"main_domain" doc:"the name of this server: in greetings, Received fields and reports (chapter: main domain)"`
	Clients    []string `toml:"client_ip_addresses" doc:"networks whose hosts may have mail relayed, as in 192.0.2.0/24; hosts on this machine always may (chapter: Client IP Addresses)"`
	User       string   `toml:"user" doc:"the user that cgqd becomes when root starts it, as soon as it has its addresses; the base directory must belong to him; empty: it stays who it is"`
	Resolver   string   `toml:"resolver" doc:"address of the DNS server, host:port; empty: that of the operating system"`
}

// Validate names the first key that cannot be used.
func (g *General) Validate() error {
	if _, err := directory.ParseDomain(g.MainDomain); err != nil {
		return fmt.Errorf("main_domain: %w", err)
	}
	for _, c := range g.Clients {
		if _, err := parsePrefix(c); err != nil {
			return fmt.Errorf("client_ip_addresses: %q is neither a network, as 192.0.2.0/24, nor an address", c)
		}
	}
	if _, err := lookUp(g.User); err != nil {
		return fmt.Errorf("user: %w", err)
	}
	if g.Resolver != "" {
		if _, err := netip.ParseAddrPort(g.Resolver); err != nil {
			return fmt.Errorf("resolver: %q is not an address and a port, as 192.0.2.1:53", g.Resolver)
		}
	}
	return nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	return netip.ParsePrefix(s)
}

// Logging is the section log.
type Logging struct {
	Level  string            `toml:"level" values:"0|1|2|3|4|5" doc:"what the components write to the Server Log: 0 Crashes Only, 1 Failures, 2 Major & Failures, 3 Problems, 4 Low Level, 5 All Info"`
	Levels map[string]string `toml:"levels" doc:"the levels of single components by their tags, as ENQUEUER = \"4\" (chapter: Enqueuer Log, Dequeuer Log)"`
}

// Validate names the first key that cannot be used.
func (l *Logging) Validate() error {
	if _, ok := serverlog.ParseLevel(l.Level); !ok {
		return fmt.Errorf("level: %q is no level: 0 to 5, or its name", l.Level)
	}
	for tag, level := range l.Levels {
		if _, ok := serverlog.ParseLevel(level); !ok {
			return fmt.Errorf("levels.%s: %q is no level: 0 to 5, or its name", tag, level)
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

// Queue is the section queue: the chapter's Queue page.
type Queue struct {
	Enqueuer enqueuer.Settings `toml:"enqueuer" doc:"how messages get into the Queue"`
	Dequeuer dequeuer.Settings `toml:"dequeuer" doc:"how they leave it, and who is told"`
	Acts     Acts              `toml:"acts" doc:"what administrators do with it"`
	Files    Files             `toml:"files" doc:"the files of messages"`
	Journal  Journal           `toml:"journal" doc:"what keeps messages until they have a file, and the disk that it is on"`
}

// options are those of the spool.
func (q *Queue) options() spool.Options {
	o := q.Journal.options()
	o.Foldering, o.Recycle = spool.Foldering(q.Files.Foldering), q.Files.Recycle
	return o
}

// Acts is how administrators' acts are done.
type Acts struct {
	TrashAge     settings.Duration `toml:"trash_age" doc:"how long what was rejected without a report, or dropped, rests in the trash, from where it can be restored; 0s to 720h"`
	ReleaseBurst int               `toml:"release_burst" doc:"how many delayed messages of a host queue go at once when many are released; 1 to 1000000"`
	ReleaseRate  int               `toml:"release_rate" doc:"how many more of them go a second, so that nobody takes the sender for an attacker; 0: all at once; 0 to 100000"`
}

// Validate names the first key that cannot be used.
func (a *Acts) Validate() error {
	switch {
	case a.TrashAge.D() < 0 || a.TrashAge.D() > 720*time.Hour:
		return fmt.Errorf("trash_age: %s is not between 0s and 720h", a.TrashAge)
	case a.ReleaseBurst < 1 || a.ReleaseBurst > 1_000_000:
		return fmt.Errorf("release_burst: %d is not between 1 and 1000000", a.ReleaseBurst)
	case a.ReleaseRate < 0 || a.ReleaseRate > 100_000:
		return fmt.Errorf("release_rate: %d is not between 0 and 100000", a.ReleaseRate)
	}
	return nil
}

// actsDefaults are the settings of a new server.
func actsDefaults() Acts {
	return Acts{TrashAge: settings.Duration(kernel.DefaultTrashAge), ReleaseBurst: 100, ReleaseRate: 50}
}

// Files is how the spool keeps files.
type Files struct {
	Foldering string `toml:"queue_foldering" values:"0|10|100|Auto" doc:"into how many sub-directories the Queue is split: 0, 10, 100, or Auto: 100 while it has more than 5000 messages; files move when this changes, but not with Auto (chapter: Queue Foldering)"`
	Recycle   bool   `toml:"recycle_temp_files" doc:"discarded temporary files are not deleted, but used again (chapter: Recycle Temp Files)"`
}

// Validate names the first key that cannot be used.
func (f *Files) Validate() error {
	if err := spool.Foldering(f.Foldering).Validate(); err != nil || f.Foldering == "" {
		return fmt.Errorf("queue_foldering: %q is not 0, 10, 100 or Auto", f.Foldering)
	}
	return nil
}

// Validate names the first key that cannot be used.
func (q *Queue) Validate() error {
	return errors.Join(prefix("enqueuer", q.Enqueuer.Validate()), prefix("dequeuer", q.Dequeuer.Validate()),
		prefix("acts", q.Acts.Validate()), prefix("files", q.Files.Validate()), prefix("journal", q.Journal.Validate()))
}

func prefix(table string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s.%w", table, err)
}

// settingsDir is below the base directory.
const settingsDir = "Settings"

// A config is all settings at one moment, and what is made of them.
type config struct {
	General General
	Log     Logging
	Queue   Queue
	SMTP    smtp.Settings
	Local   local.Settings
	Rules   rules.File
	Filters extfilter.Settings
	Reports dsn.File

	clients []netip.Prefix
	plans   map[string]kernel.Plan // by module
	rules   *rules.Set
	router  *router.Table
	words   *dsn.Languages
	files   settings.Files // what all this was read from
}

func defaults() *config {
	return &config{
		General: General{MainDomain: "localhost", Clients: []string{}},
		Log:     Logging{Level: "3", Levels: map[string]string{}},
		Queue: Queue{Enqueuer: enqueuer.Defaults(), Dequeuer: dequeuer.Defaults(), Acts: actsDefaults(),
			Files: Files{Foldering: string(spool.Hundred)}, Journal: journalDefaults()},
		SMTP:  smtp.Defaults(),
		Local: local.Defaults(), Reports: dsn.Default(),
	}
}

func (c *config) sections() []settings.Section {
	return []settings.Section{
		{Name: "server", Value: &c.General, Doc: "The server as a whole."},
		{Name: "log", Value: &c.Log, Doc: "The Server Log."},
		{Name: "queue", Value: &c.Queue, Doc: "The chapter's Queue page: the Enqueuer, the Dequeuer, the Queue itself."},
		{Name: "smtp", Value: &c.SMTP, Doc: "The SMTP module."},
		{Name: "local", Value: &c.Local, Doc: "The Local Delivery module, and the local domains."},
		{Name: "rules", Value: &c.Rules, Doc: "Server-wide Rules: [rules.md](rules.md)."},
		{Name: "filters", Value: &c.Filters, Doc: "External Filters: [filters.md](filters.md)."},
		{Name: "reports", Value: &c.Reports, Doc: "The words of reports; the built-in ones count where a text is not given."},
	}
}

// load reads all settings, or says everything that is wrong with them.
func load(fsys disk.FS) (*config, error) {
	files, err := settings.ReadFiles(fsys, settingsDir)
	if err != nil {
		return nil, settings.Problems{{File: settingsDir, Why: err.Error()}}
	}
	return loadFiles(files)
}

// loadFiles is load of files that are read.
func loadFiles(files settings.Files) (*config, error) {
	c, fsys := defaults(), files.FS(settingsDir)
	c.files = files
	table, wrong := loadRouter(fsys)
	if err := also(settings.Load(fsys, settingsDir, c.sections()...), wrong); err != nil {
		return nil, err
	}
	c.router = table
	for _, s := range c.General.Clients {
		p, err := parsePrefix(s)
		if err != nil {
			return nil, err // Validate has seen it
		}
		c.clients = append(c.clients, p)
	}
	set, err := rules.Compile(&c.Rules)
	if err != nil {
		return nil, err // Validate has seen it
	}
	if err := named(set, &c.Filters); err != nil {
		return nil, err
	}
	c.rules, c.words = set, c.Reports.Languages()
	c.plans = map[string]kernel.Plan{
		"SMTP":  plan(c.SMTP.Send.Channels, c.SMTP.Send.QueueChannels, c.SMTP.Send.Retry, c.SMTP.Send.Expire),
		"LOCAL": plan(c.Local.Channels, c.Local.QueueChannels, c.Local.Retry, c.Local.Expire),
	}
	e := &c.Queue.Enqueuer
	p := plan(e.Processors, e.Processors, e.Retry, e.Expire)
	p.Eager = true
	c.plans[queue.Enqueuer] = p
	return c, nil
}

func plan(channels, queueChannels int, retry []settings.Duration, expire settings.Duration) kernel.Plan {
	p := kernel.Plan{Limits: queue.Limits{Channels: channels, QueueChannels: queueChannels}, Expire: expire.D()}
	for _, d := range retry {
		p.Retry = append(p.Retry, d.D())
	}
	return p
}

// later names what of a new configuration takes effect at the next start only.
func (c *config) later(old *config) (all []string) {
	if !slices.Equal(c.SMTP.Receive.Listen, old.SMTP.Receive.Listen) {
		all = append(all, filepath.Join(settingsDir, "smtp.toml")+": receive.listen")
	}
	for _, key := range c.Queue.Journal.later(&old.Queue.Journal) {
		all = append(all, filepath.Join(settingsDir, "queue.toml")+": journal."+key)
	}
	if c.General.User != old.General.User {
		all = append(all, filepath.Join(settingsDir, "server.toml")+": user")
	}
	return all
}
