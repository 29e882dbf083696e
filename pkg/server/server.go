// Package server builds cgqd out of its parts, runs it and stops it. It is the
// only package that knows all the others.
package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"cgq/pkg/access"
	"cgq/pkg/admin"
	"cgq/pkg/cli/process"
	"cgq/pkg/control"
	"cgq/pkg/dequeuer"
	"cgq/pkg/directory"
	"cgq/pkg/disk"
	"cgq/pkg/dsn"
	"cgq/pkg/enqueuer"
	"cgq/pkg/extfilter"
	"cgq/pkg/kernel"
	"cgq/pkg/mail"
	"cgq/pkg/metrics"
	"cgq/pkg/module"
	"cgq/pkg/module/local"
	"cgq/pkg/module/pipe"
	"cgq/pkg/module/pipe/submitted"
	"cgq/pkg/module/smtp"
	"cgq/pkg/queue"
	"cgq/pkg/router"
	"cgq/pkg/serverlog"
	"cgq/pkg/settings"
	"cgq/pkg/spool"
	"cgq/pkg/stats"
)

// grace is how long transfers in progress may take when the server stops.
const grace = 30 * time.Second

// A server is everything that runs.
type server struct {
	base   string
	fs     *storage
	damage atomic.Int64 // things that a start could not believe
	config atomic.Pointer[config]

	reloading sync.Mutex                        // who changes the settings; guards refused
	refused   string                            // the version of files that were wrong, and that was said
	wrong     atomic.Pointer[settings.Problems] // why the files are not applied as they are now; nil: they are
	started   *config                           // what a start began with: some keys count until the next one
	names     names

	smtp    atomic.Pointer[smtp.Settings]
	enqueue atomic.Pointer[enqueuer.Settings]

	log       *serverlog.Log
	audit     *serverlog.Log // supplementary: who did what to the Queue
	emails    *serverlog.Log // supplementary: what became of each recipient (chapter: Log Message Delivery)
	system    *slog.Logger   // tag SYSTEM
	access    *access.Door
	outlets   outlets // where else the lines of the logs go
	stats     stats.Set
	metrics   *metrics.Server
	directory *directory.Directory
	router    *router.Router
	filters   *extfilter.Filters
	spool     *spool.Spool
	kernel    *kernel.Kernel
	enqueuer  *enqueuer.Enqueuer
	dequeuer  *dequeuer.Dequeuer
	doors     doors
	sources   []module.Source
	files     *submitted.Source
	read      chan struct{} // closed when the Queue is read, or that was stopped
	control   net.Listener
	mux       *control.Mux
	submit    net.Listener // for the programs of this machine
	submitMux *control.Mux
	state     atomic.Value // string: what it is doing
}

// build makes all parts around the open doors, and recovers the Queue. Nothing is
// delivered yet.
func build(ctx context.Context, base string, fsys *disk.OS, c *config, open []door) (s *server, err error) {
	s = &server{base: base, doors: doors{open: open}, read: make(chan struct{}), started: c}
	s.state.Store("starting")
	s.use(c)
	if err = s.openLogs(fsys, c); err != nil {
		return s, errors.Join(err, s.close())
	}
	defer func() {
		if err != nil {
			s.system.Error("cannot start: " + err.Error())
			err = errors.Join(err, s.close())
		}
	}()
	if s.fs, err = store(fsys, &c.Queue.Journal); err != nil {
		return s, err
	}
	for _, warning := range s.fs.warnings() {
		s.system.Error(warning)
	}
	began := time.Now()
	var found *spool.Recovery
	options := c.Queue.options()
	options.Free, options.Journal.InPlace = s.fs.space, fsys.NoCopyOnWrite
	if s.spool, found, err = spool.Open(s.fs, "Queue", options, s.log.Logger("TEMPFILE")); err != nil {
		return s, err
	}
	s.remember(c, nil, "found at the start")
	if len(c.lacks) > 0 {
		s.system.Error("the settings count without what is not there: " + c.lacks.Error())
	}
	s.assemble()
	s.kernel.RestoreStanding(s.spool.Standing(), time.Now())
	s.files.Recover()
	s.resume(ctx, found.Messages, found.Damage)
	s.system.Log(ctx, serverlog.Major, "the journal is read", "messages", len(found.Messages), "unread", s.spool.Unread(),
		"took", time.Since(began).Round(time.Millisecond))
	if s.control, err = s.socket("control.sock"); err != nil {
		return s, err
	}
	if s.submit, err = s.listenSubmit(); err != nil {
		return s, errors.Join(err, s.control.Close())
	}
	return s, nil
}

// resume puts into the queue what a start has found, and says what it could not believe.
func (s *server) resume(ctx context.Context, found []spool.Found, damage []error) {
	s.damage.Add(int64(len(damage)))
	for _, d := range damage {
		s.system.Error("damaged: " + d.Error())
	}
	for _, m := range found {
		s.enqueuer.Resume(ctx, m)
	}
}

// index reads the message files that the journal does not name. Everything else goes on
// meanwhile; acts wait for it (SPOOL R1, L4).
func (s *server) index(ctx context.Context) error {
	began, n := time.Now(), s.spool.Unread()
	defer close(s.read)
	err := s.spool.Index(ctx, func(found []spool.Found, damage []error) { s.resume(ctx, found, damage) })
	if err != nil {
		return nil // stopped: the next start reads on
	}
	s.kernel.Sweep()
	s.system.Log(ctx, serverlog.Major, "the Queue is read", "files", n, "took", time.Since(began).Round(time.Millisecond))
	return nil
}

// complain is for what the log cannot say of itself.
func complain(err error) { fmt.Fprintln(os.Stderr, "cgqd:", err) }

// use makes a configuration the current one.
func (s *server) use(c *config) {
	s.config.Store(c)
	s.names.use(c.General.Resolver)
	s.smtp.Store(&c.SMTP)
	s.enqueue.Store(&c.Queue.Enqueuer)
	if s.log != nil {
		s.useLogs(&c.Log)
	}
	if s.kernel != nil {
		s.tune(c)
	}
	if s.router != nil {
		s.router.Use(c.router)
	}
	if s.filters != nil {
		s.filters.Use(&c.Filters)
	}
	if s.files != nil {
		s.files.Use(&c.Pipe.Submitted)
	}
	if s.metrics != nil {
		_ = s.metrics.Use(&c.Metrics) // the log has it
	}
	if s.access != nil {
		s.grant(c)
	}
}

// tune gives kernel and spool their settings.
func (s *server) tune(c *config) {
	if err := s.spool.Tune(c.Queue.options()); err != nil {
		s.system.Error("the old foldering stays: " + err.Error())
	}
	s.kernel.SetReportingDelay(c.Queue.Dequeuer.ReportingDelay.D())
	s.kernel.SetWarnings(c.Queue.Dequeuer.Warnings())
	s.kernel.SetSettledSync(c.Queue.Journal.SettledSync.D())
	s.kernel.SetTrashAge(c.Queue.Acts.TrashAge.D())
}

func (s *server) mainDomain() string      { return s.config.Load().General.MainDomain }
func (s *server) clients() []netip.Prefix { return s.config.Load().clients }
func (s *server) plan(m string) kernel.Plan {
	return s.config.Load().plans[m]
}

// assemble puts the parts together: this is the list of what cgqd consists of.
func (s *server) assemble() {
	c := s.config.Load()
	s.directory = directory.New(s.fs, func() []string { return s.config.Load().Local.Domains })
	locals := local.New(s.fs, s.directory, s.spool.Identity(), s.mainDomain, s.log.Logger("LOCAL"))
	remotes := smtp.New(&s.smtp, &s.names, s.mainDomain, &s.stats, s.log.Logger("SMTP"))
	programs := pipe.New(s.base, func() *pipe.Deliver { return &s.config.Load().Pipe.Deliver }, s.spool.Lend, s.log.Logger("PIPE"))
	modules := []module.Module{locals, programs, remotes}

	queueLog, dequeuerLog := s.log.Logger("QUEUE"), s.log.Logger("DEQUEUER")
	s.kernel = kernel.New(s.spool, s.plan, kernel.Logs{Queue: queueLog, Dequeuer: dequeuerLog, Class: s.class,
		EMails: s.emails.Logger("EMAILS"), Deliveries: func() bool { return s.config.Load().Queue.Dequeuer.LogDelivery }}, modules...)
	s.tune(c)
	s.router = router.New(s.mainDomain, s.log.Logger("ROUTER"), modules...)
	s.router.SetLocal(s.directory.IsLocal)
	s.router.Use(c.router)
	s.filters = extfilter.New(s.base, s.mainDomain, s.log.Logger("EXTFILTER"))
	s.filters.Use(&c.Filters)
	s.files = submitted.New(s.base, s.fs, &c.Pipe.Submitted, s.mainDomain, s.read, &s.stats, s.log.Logger("PIPE"))
	s.enqueuer = enqueuer.New(s.spool, s.router, s.kernel, &s.enqueue, enqueuer.Server{MainDomain: s.mainDomain, Clients: s.clients,
		Rules: s.liveRules, Filters: s.filters, Base: s.base, Reclaim: s.files.Reclaim}, &s.stats, s.log.Logger("ENQUEUER"), queueLog)
	s.dequeuer = dequeuer.New(s.kernel, s.enqueuer, dequeuer.Server{
		MainDomain: s.mainDomain, Settings: func() *dequeuer.Settings { return &s.config.Load().Queue.Dequeuer },
		Words: func() *dsn.Languages { return s.config.Load().words }, Class: s.class,
		Client: s.enqueuer.IsClient, Open: s.spool.Open,
	}, &s.stats, dequeuerLog)
	receiver := smtp.NewReceiver(&s.smtp, s.mainDomain, &s.stats, s.log.Logger("SMTPI"))
	s.doors.hear = receiver.Listen
	s.doors.use(s.doors.all())
	s.sources = []module.Source{receiver, s.files}

	s.gauges()
	s.metrics = s.shown(modules)
	s.access = access.New(access.System(), s.log.Logger("ADMIN"))
	s.grant(c)
	face := &admin.Server{Access: admin.Access{Rights: s.access.Rights, Granted: s.access.Granted},
		Kernel: s.kernel, Directory: s.directory, Log: s.log, Stats: &s.stats, Open: s.spool.Open, Facts: s.spool.Facts, Backup: s.spool.Backup,
		Logs: admin.Logs{EMails: s.emails, Audit: s.audit}, Audit: s.audit.Logger("AUDIT"), Route: rerouted(s.router), Router: s.router, Pace: s.pace,
		Read: s.read, Unread: s.spool.Unread, Listeners: s.listening, Base: s.base, Version: process.Version(), Domain: s.mainDomain, Ready: time.Now(),
		State: func() string { return s.state.Load().(string) }, Health: s.health, Class: s.classOf,
		Rules:    admin.Rules{Live: s.liveRules, Route: routeText(s.router), Client: s.enqueuer.IsClient, Replace: s.replaceRules},
		Settings: s.settingsFace()}
	s.mux = face.Mux(s.log.Logger("ADMIN"))
	s.submitMux = s.submitter(face.Refused).Mux(s.log.Logger("ADMIN"))
}

// rerouted is the Router for one who asks it again of what is in the Queue: that is not
// thrown away because of what the Router says today.
func rerouted(r *router.Router) kernel.Where {
	return func(ctx context.Context, a mail.Address) (queue.Key, mail.Address, error) {
		to, err := r.Route(ctx, a)
		if err == nil && to.Null() {
			err = module.Reject(5, 1, 1, "it would be discarded")
		}
		return queue.Key{Module: to.Module, Queue: to.Queue}, to.Address, err
	}
}

// pace is that of a release.
func (s *server) pace() kernel.Pace {
	a := &s.config.Load().Queue.Acts
	return kernel.Pace{Burst: a.ReleaseBurst, PerSecond: a.ReleaseRate}
}

// listening lists the addresses at which mail comes in.
func (s *server) listening() (all []control.Listener) {
	for _, d := range s.doors.all() {
		all = append(all, control.Listener{Role: "mx", Address: d.Addr().String()})
	}
	return all
}

// serve runs all parts until ctx ends or a source fails, then stops them, those
// that others push into last.
func (s *server) serve(ctx context.Context, hangup <-chan os.Signal, errOut io.Writer) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	watching := s.stage(func(ctx context.Context) error { s.watch(ctx); return nil })
	looking := s.stage(func(ctx context.Context) error { s.look(ctx); return nil })
	checkpoints := s.stage(func(ctx context.Context) error { s.spool.Run(ctx); return nil })
	index := s.stage(s.index)
	reports := s.stage(func(ctx context.Context) error { s.dequeuer.Run(ctx); return nil })
	transfers := s.stage(func(ctx context.Context) error { s.kernel.Run(ctx, s.enqueuer, grace); return nil })
	face := s.stage(func(ctx context.Context) error { return s.mux.Serve(ctx, s.control) })
	metrics := s.stage(func(ctx context.Context) error { s.metrics.Run(ctx); return nil })
	programs := s.stage(func(ctx context.Context) error { return s.submitMux.Serve(ctx, s.submit) })
	intake := s.stage(func(ctx context.Context) error { return s.receive(ctx, stop) })
	_ = s.metrics.Use(&s.config.Load().Metrics) // the log has it
	s.ready(errOut)
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-hangup:
			s.reload()
		case <-s.spool.Broken(): // SPOOL E1
			s.system.Log(ctx, serverlog.Crash, "the journal is broken, stopping; the log names the transfers that the next start may repeat")
			stop(errBroken)
		}
	}
	s.state.Store("stopping")
	notify("STOPPING=1")
	s.system.Log(ctx, serverlog.Major, "stopping")
	err := errors.Join(watching(), intake(), programs(), index(), transfers(), reports(), face(), metrics(), checkpoints(), looking())
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		err = errors.Join(err, cause)
	}
	if err == nil {
		err = s.spool.Empty() // then the Queue directory is the whole truth (SPOOL C4)
	}
	return errors.Join(err, s.close())
}

var errBroken = errors.New("the journal is broken: see the log, and the disk; what was accepted is there at the next start")

// stage starts a part; what it returns stops it and waits.
func (s *server) stage(work func(context.Context) error) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- work(ctx) }()
	return func() error {
		cancel()
		return <-ended
	}
}

// receive runs the sources; one that fails stops the server.
func (s *server) receive(ctx context.Context, stop context.CancelCauseFunc) error {
	var work sync.WaitGroup
	for _, source := range s.sources {
		work.Go(func() {
			if err := source.Run(ctx, s.enqueuer); err != nil {
				s.system.Log(ctx, serverlog.Crash, "a source has failed, stopping: "+err.Error())
				stop(err)
			}
		})
	}
	work.Wait()
	return nil
}

// ready tells everybody.
func (s *server) ready(errOut io.Writer) {
	s.state.Store("running")
	for _, l := range s.listening() {
		s.system.Log(context.Background(), serverlog.Major, "listening", "role", l.Role, "address", l.Address)
		fmt.Fprintf(errOut, "cgqd: listening on %s (%s)\n", l.Address, l.Role)
	}
	for _, warning := range s.fs.warnings() {
		fmt.Fprintf(errOut, "cgqd: %s\n", warning)
	}
	fmt.Fprintf(errOut, "cgqd: ready, base directory %s\n", s.base)
	notify("READY=1")
}

// close gives back what build took.
func (s *server) close() (err error) {
	closeDoors(s.doors.all()) // most are closed by their source
	if s.filters != nil {
		s.filters.Close()
	}
	if s.spool != nil {
		err = s.spool.Close()
	}
	if s.log != nil {
		if err != nil {
			s.system.Error("stopped: " + err.Error())
		} else {
			s.system.Log(context.Background(), serverlog.Major, "stopped")
		}
		err = errors.Join(err, s.log.Close())
	}
	err = errors.Join(err, s.closeSupplements())
	if s.submitMux != nil {
		s.submitMux.Close()
	}
	if s.mux != nil {
		s.mux.Close() // who follows the log has seen its end
	}
	return err
}
