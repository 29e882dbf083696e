package server

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"time"

	"cgq/pkg/access"
	"cgq/pkg/admin"
	"cgq/pkg/bounce"
	"cgq/pkg/dequeuer"
	"cgq/pkg/directory"
	"cgq/pkg/disk"
	"cgq/pkg/dsn"
	"cgq/pkg/enqueuer"
	"cgq/pkg/extfilter"
	"cgq/pkg/kernel"
	"cgq/pkg/metrics"
	"cgq/pkg/module/local"
	"cgq/pkg/module/pipe"
	"cgq/pkg/module/pipe/submitted"
	"cgq/pkg/module/smtp"
	"cgq/pkg/queue"
	"cgq/pkg/router"
	"cgq/pkg/rules"
	"cgq/pkg/settings"
	"cgq/pkg/spool"
)

// General is the section server.
type General struct {
	MainDomain string   `toml:"main_domain" doc:"the name of this server: in greetings, Received fields and reports (chapter: main domain)"`
	Clients    []string `toml:"client_ip_addresses" doc:"networks whose hosts may have mail relayed, as in 192.0.2.0/24; hosts on this machine always may (chapter: Client IP Addresses)"`
	User       string   `toml:"user" doc:"the user that cgqd becomes when root starts it, as soon as it has its addresses; the base directory must belong to him; empty: it stays who it is; takes effect at the next start"`
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

// prefix puts the name of a table in front of each key that is wrong in it.
func prefix(table string, err error) error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range joined.Unwrap() {
			all = append(all, prefix(table, e))
		}
		return errors.Join(all...)
	}
	return fmt.Errorf("%s.%w", table, err)
}

// Pipe is the section pipe: mail of programs, and for them.
type Pipe struct {
	Submitted submitted.Settings   `toml:"submitted" doc:"mail from files: docs/pipe.md"`
	Submit    admin.SubmitSettings `toml:"submit" doc:"mail that programs of this machine hand in, with cgq submit or sendmail"`
	Deliver   pipe.Deliver         `toml:"deliver" doc:"mail to programs, to which records of the Router table lead"`
}

// Validate names the first key that cannot be used.
func (p *Pipe) Validate() error {
	return errors.Join(prefix("submitted", p.Submitted.Validate()), prefix("submit", p.Submit.Validate()), prefix("deliver", p.Deliver.Validate()))
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
	Pipe    Pipe
	Rules   rules.File
	Filters extfilter.Settings
	Reports dsn.File
	Metrics metrics.Settings
	Bounces bounce.File
	Access  access.Settings

	lacks   settings.Problems // it names what the machine does not have, and does without
	clients []netip.Prefix
	plans   map[string]kernel.Plan // by module
	rules   *rules.Set
	router  *router.Table
	words   *dsn.Languages
	files   settings.Files // what all this was read from
	classes *bounce.Rules  // those of Bounces, then the built-in ones
	access  *access.Table
}

func defaults() *config {
	return &config{
		General: General{MainDomain: "localhost", Clients: []string{}},
		Log:     loggingDefaults(),
		Queue: Queue{Enqueuer: enqueuer.Defaults(), Dequeuer: dequeuer.Defaults(), Acts: actsDefaults(),
			Files: Files{Foldering: string(spool.Hundred)}, Journal: journalDefaults()},
		SMTP:  smtp.Defaults(),
		Local: local.Defaults(), Reports: dsn.Default(), Metrics: metrics.Defaults(),
		Pipe: Pipe{Submitted: submitted.Defaults(), Submit: admin.SubmitDefaults(), Deliver: pipe.Defaults()},
	}
}

func (c *config) sections() []settings.Section {
	return []settings.Section{
		{Name: "server", Value: &c.General, Doc: "The server as a whole."},
		{Name: "log", Value: &c.Log, Doc: "The Server Log."},
		{Name: "queue", Value: &c.Queue, Doc: "The chapter's Queue page: the Enqueuer, the Dequeuer, the Queue itself."},
		{Name: "smtp", Value: &c.SMTP, Doc: "The SMTP module."},
		{Name: "local", Value: &c.Local, Doc: "The Local Delivery module, and the local domains."},
		{Name: "pipe", Value: &c.Pipe, Doc: "Mail of programs, and mail to programs: [pipe.md](pipe.md)."},
		{Name: "rules", Value: &c.Rules, Doc: "Server-wide Rules: [rules.md](rules.md)."},
		{Name: "filters", Value: &c.Filters, Doc: "External Filters: [filters.md](filters.md)."},
		{Name: "reports", Value: &c.Reports, Doc: "The words of reports; the built-in ones count where a text is not given."},
		{Name: "bounce-classes", Value: &c.Bounces, Doc: "Rules of one's own for bounce classes."},
		{Name: "metrics", Value: &c.Metrics, Doc: "Metrics for Prometheus."},
		{Name: "access", Value: &c.Access, Doc: "Who may use cgq, and for what."},
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

// loadFiles is load of files that are read. If nothing is wrong but that the machine lacks
// something that they name, such as a user, the configuration does without it.
func loadFiles(files settings.Files) (*config, error) {
	c, fsys := defaults(), files.FS(settingsDir)
	c.files = files
	table, wrong := loadRouter(fsys)
	wrong = also(settings.Load(fsys, settingsDir, c.sections()...), wrong)
	if wrong != nil && !(errors.As(wrong, &c.lacks) && c.lacks.Absent()) {
		return nil, wrong
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
	if err := runs(c.Pipe.Deliver.User, c.General.User); err != nil {
		return nil, err
	}
	if c.access, err = access.Compile(&c.Access, access.System()); c.access == nil {
		return nil, err // Validate has seen it
	}
	c.rules, c.words = set, c.Reports.Languages()
	own, err := bounce.Compile(&c.Bounces)
	if err != nil {
		return nil, err // Validate has seen it
	}
	c.classes = own.Before(bounce.Default())
	c.plans = map[string]kernel.Plan{
		"SMTP":  plan(c.SMTP.Send.Channels, c.SMTP.Send.QueueChannels, c.SMTP.Send.Retry, c.SMTP.Send.Expire),
		"LOCAL": plan(c.Local.Channels, c.Local.QueueChannels, c.Local.Retry, c.Local.Expire),
		"PIPE":  plan(c.Pipe.Deliver.Channels, c.Pipe.Deliver.QueueChannels, c.Pipe.Deliver.Retry, c.Pipe.Deliver.Expire),
	}
	e := &c.Queue.Enqueuer
	p := plan(e.Processors, e.Processors, e.Retry, e.Expire)
	p.Eager = true
	c.plans[queue.Enqueuer] = p
	return c, wrong
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
	for _, key := range c.Queue.Journal.later(&old.Queue.Journal) {
		all = append(all, filepath.Join(settingsDir, "queue.toml")+": journal."+key)
	}
	if c.General.User != old.General.User {
		all = append(all, filepath.Join(settingsDir, "server.toml")+": user")
	}
	return all
}
