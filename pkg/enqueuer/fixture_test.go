package enqueuer_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cgq/pkg/dequeuer"
	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/dsn"
	"cgq/pkg/enqueuer"
	"cgq/pkg/journal"
	"cgq/pkg/kernel"
	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/queue"
	"cgq/pkg/router"
	"cgq/pkg/rules"
	"cgq/pkg/spool"
	"cgq/pkg/stats"
)

// A destination is a module that knows its Accounts, or, with none, takes whatever is
// left and leaves this server. It delivers everything, and notes that.
type destination struct {
	name   string
	mu     sync.Mutex
	knows  map[string]bool // local parts at here.example; nil: it is the way out
	fault  error           // of Claim
	closed bool            // it delays every queue
	relay  string          // its one queue; empty: the domain
	asked  []string        // by Claim, of what is its own
	got    []string        // "ID source recipient", in order
	// repeated are the messages that it may have had before, as it was told.
	repeated map[mail.ID]bool
	skipped  map[mail.ID]bool // whose Account Rules it was told to skip
	read     []string         // the texts that it got
}

func (d *destination) Name() string { return d.name }

func (d *destination) Claim(_ context.Context, a mail.Address, final bool) (module.Route, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if own := (d.knows != nil) == (a.Domain == "here.example"); own && final == (d.knows == nil) {
		d.asked = append(d.asked, a.String())
	}
	switch {
	case d.knows == nil && !final, d.knows != nil && a.Domain != "here.example":
		return module.Route{}, module.ErrNotMine
	case d.fault != nil:
		return module.Route{}, d.fault
	case d.knows == nil:
		return module.Route{Queue: cmp.Or(d.relay, a.Domain), Address: a, Relay: true}, nil
	case !d.knows[a.Local]:
		return module.Route{}, module.Reject(5, 1, 1, "account unknown")
	}
	return module.Route{Queue: a.String(), Address: a}, nil
}

func (d *destination) Transfer(ctx context.Context, q module.Queue) {
	d.mu.Lock()
	closed := d.closed
	d.mu.Unlock()
	if closed {
		q.Delay(mail.Result{Text: "nobody at home"})
		return
	}
	for t := range q.Due(ctx) {
		text, err := t.Open()
		if err != nil {
			panic(err)
		}
		b, err := io.ReadAll(text)
		if err := errors.Join(err, text.Close()); err != nil {
			panic(err)
		}
		d.mu.Lock()
		d.read, d.skipped[t.ID] = append(d.read, string(b)), t.SkipRules
		d.mu.Unlock()
		for i, r := range t.Recipients {
			d.mu.Lock()
			d.repeated[t.ID] = t.Repeated
			d.got = append(d.got, t.ID.String()+" "+t.Envelope.Source.String()+" "+r.To.String())
			d.mu.Unlock()
			t.Settle(i, mail.Result{Action: mail.Delivered, Text: "delivered"})
		}
	}
}

// texts are those that it got.
func (d *destination) texts() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.read)
}

// shut lets all its mail wait.
func (d *destination) shut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
}

func (d *destination) open() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = false
}

func (d *destination) delivered() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.got)
}

// A site is one process: an Enqueuer with all that is below it, over a disk.
type site struct {
	*enqueuer.Enqueuer
	disk     *crashdisk.Disk
	spool    *spool.Spool
	close    func() error // once
	found    *spool.Recovery
	kernel   *kernel.Kernel
	router   *router.Router
	here     *destination
	away     *destination
	settings enqueuer.Settings // set before the first message
	clients  []netip.Prefix
	rules    *rules.Set
	filters  *verdict
	reclaim  func(submission string, restored func())
	base     string
	stats    stats.Set
	log      lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// small journals have room for some dozen messages; texts over 4 KiB go to files.
var small = spool.Options{Journal: journal.Options{SegmentSize: 128 << 10, Segments: 4}, InlineLimit: 4 << 10, Syncers: 2}

// newSite starts one on a disk. Its Accounts are ann and bob at here.example.
func newSite(t *testing.T, d *crashdisk.Disk) *site {
	t.Helper()
	base := t.TempDir()
	s, err := trySite(d, base)
	if err != nil {
		t.Fatal(err)
	}
	s.base = base
	t.Cleanup(func() { _ = s.close() })
	return s
}

// trySite is newSite on a disk that may lose power.
func trySite(d *crashdisk.Disk, base string) (*site, error) {
	destinations := func(name string, knows map[string]bool) *destination {
		return &destination{name: name, knows: knows, repeated: map[mail.ID]bool{}, skipped: map[mail.ID]bool{}}
	}
	s := &site{disk: d, settings: enqueuer.Defaults(), filters: &verdict{},
		reclaim: func(_ string, restored func()) { restored() },
		here:    destinations("LOCAL", map[string]bool{"ann": true, "bob": true}), away: destinations("SMTP", nil)}
	var err error
	if s.spool, s.found, err = spool.Open(d, "Queue", small, slog.New(slog.DiscardHandler)); err != nil {
		return nil, err
	}
	if err := s.spool.Index(context.Background(), func(found []spool.Found, damage []error) {
		s.found.Messages, s.found.Damage = append(s.found.Messages, found...), append(s.found.Damage, damage...)
	}); err != nil {
		return nil, errors.Join(err, s.spool.Close())
	}
	s.close = sync.OnceValue(s.spool.Close)
	log := slog.New(slog.NewTextHandler(&s.log, nil))
	s.kernel = kernel.New(s.spool, func(string) kernel.Plan {
		return kernel.Plan{Limits: queue.Limits{Channels: 10, QueueChannels: 1}, Retry: []time.Duration{time.Hour}}
	}, kernel.Logs{Queue: log, Dequeuer: log}, s.here, s.away)
	domain := func() string { return "here.example" }
	settings := new(atomic.Pointer[enqueuer.Settings])
	settings.Store(&s.settings)
	s.router = router.New(domain, nil, s.here, s.away)
	s.Enqueuer = enqueuer.New(s.spool, s.router, s.kernel, settings,
		enqueuer.Server{MainDomain: domain, Clients: func() []netip.Prefix { return s.clients },
			Rules: func() *rules.Set { return s.rules }, Filters: s.filters, Base: base,
			Reclaim: func(submission string, restored func()) { s.reclaim(submission, restored) }}, &s.stats, log, log)
	return s, nil
}

// counted is the value of a statistics element.
func (s *site) counted(name string) int64 { return s.stats.Counter(name).Value() }

// gauge is the value of one that is asked.
func (s *site) gauge(name string) int64 {
	for _, e := range s.stats.All() {
		if e.Name == name {
			return e.Value
		}
	}
	return -1
}

// run lets kernel and Dequeuer work until they have nothing left to do; in a bubble.
func (s *site) run(t *testing.T) {
	t.Helper()
	stop := s.start(t)
	time.Sleep(10 * time.Minute)
	stop()
}

// start is run until stop is called, once: a kernel does not begin again.
func (s *site) start(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var parts sync.WaitGroup
	set, words := dequeuer.Defaults(), dsn.Default()
	dq := dequeuer.New(s.kernel, s.Enqueuer, dequeuer.Server{
		MainDomain: func() string { return "here.example" }, Settings: func() *dequeuer.Settings { return &set },
		Words: words.Languages, Class: func(mail.Result) string { return "" }, Client: s.IsClient, Open: s.spool.Open,
	}, &stats.Set{}, slog.New(slog.NewTextHandler(&s.log, nil)))
	parts.Go(func() { dq.Run(ctx) })
	parts.Go(func() { s.kernel.Run(ctx, s.Enqueuer, time.Minute) })
	return func() {
		cancel()
		parts.Wait()
	}
}

// dies closes the spool as it is, and starts another process on what is found.
func (s *site) dies(t *testing.T) *site {
	t.Helper()
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	return newSite(t, s.disk)
}

// emptied says that no message is left; files go with the next checkpoint.
func (s *site) emptied(t *testing.T) {
	t.Helper()
	if n := s.kernel.Len(); n > 0 || s.spool.Len() > 0 {
		t.Errorf("%d messages in the queue, %d in the spool; want none", n, s.spool.Len())
	}
}

// nothingLeft says that no trace of a message is left, in the queue or on the disk.
func (s *site) nothingLeft(t *testing.T) {
	t.Helper()
	var files []string
	for _, suffix := range []string{".msg", ".tmp"} {
		for name := range s.disk.Files(suffix) {
			files = append(files, name)
		}
	}
	if n := s.kernel.Len(); n > 0 || s.spool.Load().Messages > 0 || len(files) > 0 {
		t.Errorf("%d messages in the queue, %d in the spool, files %v; want nothing left", n, s.spool.Load().Messages, files)
	}
}

func address(s string) mail.Address {
	a, err := mail.ParsePath(s)
	if err != nil {
		panic(err)
	}
	return a
}

// from is an envelope of a peer.
func from(source mail.Source, peer string, to ...string) *mail.Envelope {
	e := &mail.Envelope{Source: source, ReturnPath: address("sender@away.example"), Trace: mail.Trace{Helo: "client", With: "ESMTP"}}
	if peer != "" {
		e.Peer = netip.MustParseAddr(peer)
	}
	for _, a := range to {
		e.Recipients = append(e.Recipients, mail.Recipient{Address: address(a)})
	}
	return e
}

// submit submits a short message.
func (s *site) submit(t *testing.T, e *mail.Envelope) (mail.ID, error) {
	t.Helper()
	return s.Submit(t.Context(), e, strings.NewReader("Subject: hello\n\ntext\n"))
}

func (s *site) text(t *testing.T, id mail.ID) string {
	t.Helper()
	r, err := s.spool.Open(id)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// refused holds an error against the enhanced status of the rejection that it has to be.
func refused(t *testing.T, what string, err error, status mail.Status) {
	t.Helper()
	var r *module.Rejection
	if !errors.As(err, &r) || r.Result.Status != status || r.Result.Text == "" {
		t.Errorf("%s = %v, want a rejection with %s and a text", what, err, status)
	}
	if ok := r != nil && (r.Result.Action == mail.Delayed) == (status[0] == 4); r != nil && !ok {
		t.Errorf("%s: %s is %s", what, status, r.Result.Action)
	}
}
