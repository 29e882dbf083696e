package admin_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cgq/pkg/admin"
	"cgq/pkg/bounce"
	"cgq/pkg/control"
	"cgq/pkg/directory"
	"cgq/pkg/disk"
	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/fact"
	"cgq/pkg/journal"
	"cgq/pkg/kernel"
	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/queue"
	"cgq/pkg/router"
	"cgq/pkg/serverlog"
	"cgq/pkg/spool"
	"cgq/pkg/stats"
)

// A house is a daemon as far as the requests reach: a kernel over a spool, a directory
// and a log, served at a socket.
type house struct {
	client   *control.Client
	socket   string
	base     string
	spool    *spool.Spool
	kernel   *kernel.Kernel
	fsys     disk.FS
	log      *serverlog.Log
	emails   *serverlog.Log
	stats    stats.Set
	state    string
	replaced string // Rules that were put live
	health   admin.Health
	hands    *hands
	read     chan struct{} // closed: the Queue is read
	unread   atomic.Int32  // messages that are not
}

// hands is a module that holds each message in its hand until it is let go, then
// delivers it.
type hands struct {
	has  chan mail.ID
	let  chan struct{}
	says func(ctx context.Context, queue string) module.Explanation // or nil
}

// Explain implements [module.Explainer].
func (h *hands) Explain(ctx context.Context, queue string) module.Explanation {
	if h.says == nil {
		return module.Explanation{}
	}
	return h.says(ctx, queue)
}

func (*hands) Name() string { return "SMTP" }

func (*hands) Claim(context.Context, mail.Address, bool) (module.Route, error) {
	return module.Route{}, module.ErrNotMine
}

func (h *hands) Transfer(ctx context.Context, q module.Queue) {
	for t := range q.Due(ctx) {
		h.has <- t.ID
		<-h.let
		for i := range t.Recipients {
			t.Settle(i, mail.Result{Action: mail.Relayed, Text: "relayed"})
		}
	}
}

// route is the Router: it sends everything to new.example, and refuses addresses of
// gone.example.
func (*house) route(_ context.Context, a mail.Address) (queue.Key, mail.Address, error) {
	if a.Domain == "gone.example" {
		return queue.Key{}, mail.Address{}, module.Reject(5, 1, 1, "no such host")
	}
	return queue.Key{Module: "SMTP", Queue: "new.example"}, a, nil
}

// post takes what is for its host, and of the others nothing.
type post struct{ hands }

func (*post) Claim(_ context.Context, a mail.Address, final bool) (module.Route, error) {
	switch {
	case a.Domain == "broken.example":
		return module.Route{}, errors.New("no disk")
	case !final:
		return module.Route{}, module.ErrNotMine
	}
	return module.Route{Queue: a.Domain, Address: a, Relay: true}, nil
}

func routes(t *testing.T) *router.Router {
	t.Helper()
	table, err := router.Parse("router.txt", []byte("old.example = new.example\n<ann> = ann@away.example\n<bait> = SPAMTRAP\nbad.example = ERROR\n"))
	if err != nil {
		t.Fatal(err)
	}
	r := router.New(func() string { return "a.example" }, nil, new(post))
	r.Use(table)
	return r
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h, fsys := empty(t)
	h.read = make(chan struct{})
	close(h.read)
	h.begin(t, fsys)
	return h
}

// empty is a house where nothing is served yet.
func empty(t *testing.T) (*house, disk.FS) {
	t.Helper()
	base, err := os.MkdirTemp("", "cgq") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	h := &house{base: base, state: "running", socket: filepath.Join(base, "control.sock"),
		hands: &hands{has: make(chan mail.ID, 10), let: make(chan struct{})}}
	fsys, err := disk.OpenOS(base)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fsys.Close() })
	h.fsys = fsys
	if h.log, err = serverlog.Open(fsys, "SystemLogs", serverlog.Options{Level: serverlog.All}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.log.Close() })
	if h.emails, err = serverlog.Open(fsys, "SystemLogs/EMails", serverlog.Options{Level: serverlog.All}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.emails.Close() })
	small := spool.Options{Journal: journal.Options{SegmentSize: 256 << 10, Segments: 4}}
	if h.spool, _, err = spool.Open(crashdisk.New(-1), "Queue", small, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.spool.Close() })
	quiet := slog.New(slog.DiscardHandler)
	h.kernel = kernel.New(h.spool, func(string) kernel.Plan {
		return kernel.Plan{Limits: queue.Limits{Channels: 10, QueueChannels: 1}, Retry: []time.Duration{24 * time.Hour}}
	}, kernel.Logs{Queue: quiet, Dequeuer: quiet}, h.hands)
	return h, fsys
}

// begin serves what a daemon does.
func (h *house) begin(t *testing.T, fsys disk.FS) {
	t.Helper()
	h.fsys = fsys
	h.serve(t, h.face(t).Mux(h.log.Logger("ADMIN")))
}

// face is what answers the requests.
func (h *house) face(t *testing.T) *admin.Server {
	t.Helper()
	return &admin.Server{Read: h.read, Domain: func() string { return "a.example" }, Unread: func() int { return int(h.unread.Load()) }, Kernel: h.kernel, Directory: directory.New(h.fsys, func() []string { return []string{"a.example", "b.example"} }),
		Log: h.log, Stats: &h.stats, Open: h.spool.Open, Facts: h.spool.Facts, Backup: h.spool.Backup, Base: h.base, Version: "1.2.3", Ready: time.Now().Add(-time.Minute),
		State: func() string { return h.state }, Health: func() admin.Health { return h.health },
		Class: func(text string) string { return string(bounce.Default().ClassOf(text)) },
		Logs:  admin.Logs{EMails: h.emails, Audit: h.log}, Audit: h.log.Logger("AUDIT"), Pace: func() kernel.Pace { return kernel.Pace{} }, Route: h.route, Router: routes(t), Rules: h.ruled(),
		Settings:  shelf(t, "").face(t),
		Listeners: func() []control.Listener { return []control.Listener{{Role: "mx", Address: "127.0.0.1:2525"}} }}
}

func (h *house) serve(t *testing.T, m *control.Mux) {
	t.Helper()
	l, err := control.Listen(h.socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- m.Serve(ctx, l) }()
	h.client = control.Dial(h.socket)
	t.Cleanup(func() {
		h.client.Close()
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
}

// run lets the module work till the test ends.
func (h *house) run(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { h.kernel.Run(ctx, nil, time.Minute); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
}

var submitted = time.Date(2026, 11, 23, 22, 15, 1, 123e6, time.UTC)

// put queues a message for addresses, each in the SMTP queue of its domain, or, in
// here.example, in the LOCAL queue of its own. Facts are what has happened since.
func (h *house) put(t *testing.T, to string, facts ...fact.Fact) mail.ID {
	t.Helper()
	e := &mail.Envelope{ReturnPath: mail.Address{Local: "sender", Domain: "a.example"}, Source: mail.SMTP, Auth: "sender@a.example",
		Peer: netip.MustParseAddr("192.0.2.1"), Submitted: submitted, EnvelopeID: "QQ314"}
	var routed []fact.Fact
	for i, s := range strings.Fields(to) {
		a, err := mail.ParseAddress(s)
		if err != nil {
			t.Fatal(err)
		}
		e.Recipients = append(e.Recipients, mail.Recipient{Address: a})
		r := fact.Routed{Rcpt: i, Module: "SMTP", Queue: a.Domain, Address: a}
		if a.Domain == "here.example" {
			r.Module, r.Queue = "LOCAL", a.String()
		}
		routed = append(routed, r)
	}
	d, err := h.spool.Draft(e)
	if err != nil {
		t.Fatal(err)
	}
	text := "Message-ID: <1@a.example>\nSubject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\n\ntext\n"
	if _, err := io.WriteString(d, text); err != nil {
		t.Fatal(err)
	}
	n, err := d.Commit(t.Context(), journal.Intake, nil, routed...)
	if err = errors.Join(err, h.spool.Wait(n)); err != nil {
		t.Fatal(err)
	}
	h.kernel.Insert(queue.Message{ID: d.ID, Envelope: e, Subject: "grüße", Size: int64(len(text))}, append(routed, facts...)...)
	return d.ID
}

// delay delays a host queue as a whole.
func (h *house) delay(t *testing.T, module, name string, until time.Time, why string) {
	t.Helper()
	d := fact.Delay{Module: module, Queue: name, At: time.Now(), Attempts: 3, Until: until, Result: mail.Result{Text: why}}
	stand := spool.Standing{Key: "delay " + module + " " + name, Value: string(fact.AppendDelay(nil, d))}
	if _, err := h.spool.Act(nil, []spool.Standing{stand}); err != nil {
		t.Fatal(err)
	}
	h.kernel.RestoreStanding(map[string]string{stand.Key: stand.Value}, time.Now())
}

// till is a time to wait for, to the millisecond, as facts keep it.
func till() time.Time { return time.Now().Add(time.Hour).Truncate(time.Millisecond) }

// all are the rows of a list; an error is one of the test.
func all[Row any](t *testing.T, rows iter.Seq2[Row, error]) (list []Row) {
	t.Helper()
	for row, err := range rows {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, row)
	}
	return list
}

// failure is the error that a list ends with.
func failure[Row any](rows iter.Seq2[Row, error]) (err error) {
	for _, err = range rows {
	}
	return err
}

// refused holds an error against its kind. There is a text for people.
func refused(t *testing.T, what string, err error, kind control.Kind) {
	t.Helper()
	var e *control.Error
	if !errors.As(err, &e) || e.Kind != kind || e.Text == "" {
		t.Errorf("%s: %v, want an error of the kind %s", what, err, kind)
	}
}

// undone says that no message has been touched.
func (h *house) undone(t *testing.T, messages, rcpts int) {
	t.Helper()
	n := 0
	for m, err := range h.kernel.Messages(nil) {
		if err != nil {
			t.Fatal(err)
		}
		n += len(m.Recipients)
	}
	if h.kernel.Len() != messages || n != rcpts {
		t.Errorf("%d messages with %d recipients, want %d and %d: something was done", h.kernel.Len(), n, messages, rcpts)
	}
}
