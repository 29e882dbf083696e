package dequeuer_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	netmail "net/mail"
	"net/netip"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cgq/pkg/dequeuer"
	"cgq/pkg/dsn"
	"cgq/pkg/fact"
	"cgq/pkg/mail"
	"cgq/pkg/queue"
	"cgq/pkg/stats"
)

// A desk is the kernel and the Enqueuer as the Dequeuer sees them: it hands out one
// report at a time, writes down what comes back, and fails as it is told.
type desk struct {
	reports  chan queue.Report
	settings dequeuer.Settings
	stats    stats.Set
	class    string // of all failures
	words    dsn.File
	texts    map[mail.ID]string
	log      bytes.Buffer

	// What each does before anything else; nil: nothing.
	begetFails, decideFails, goneFails, openFails func() error

	returned []again
	decided  []fact.Change
	gone     []mail.ID
	begotten []begotten
}

type again struct {
	id mail.ID
	at time.Time
}

type begotten struct {
	env     *mail.Envelope
	text    string
	changes []fact.Change
}

// firstID is the id of the first report.
const firstID = 5001

func (d *desk) NextReport(ctx context.Context) (queue.Report, bool) {
	select {
	case r := <-d.reports:
		return r, true
	case <-ctx.Done():
		return queue.Report{}, false
	}
}

func (d *desk) ReturnReport(id mail.ID, at time.Time) { d.returned = append(d.returned, again{id, at}) }

func (d *desk) Decide(changes ...fact.Change) error {
	if err := fails(d.decideFails); err != nil {
		return err
	}
	d.decided = append(d.decided, changes...)
	return nil
}

func (d *desk) Gone(id mail.ID) error {
	if err := fails(d.goneFails); err != nil {
		return err
	}
	d.gone = append(d.gone, id)
	return nil
}

func (d *desk) Beget(_ context.Context, env *mail.Envelope, text io.Reader, parents func(mail.ID) []fact.Change) (mail.ID, error) {
	b, err := io.ReadAll(text)
	if err == nil {
		err = fails(d.begetFails)
	}
	if err != nil {
		return 0, err
	}
	id := mail.ID(firstID + len(d.begotten))
	d.begotten = append(d.begotten, begotten{env, string(b), parents(id)})
	return id, nil
}

func fails(f func() error) error {
	if f == nil {
		return nil
	}
	return f()
}

type nopCloser struct{ io.ReadSeeker }

func (nopCloser) Close() error { return nil }

func (d *desk) open(id mail.ID) (io.ReadSeekCloser, error) {
	if err := fails(d.openFails); err != nil {
		return nil, err
	}
	text, ok := d.texts[id]
	if !ok {
		return nil, errors.New("no such message")
	}
	return nopCloser{strings.NewReader(text)}, nil
}

// work runs a Dequeuer in a bubble; hand hands it a report, and returns when it is done
// with that.
func work(t *testing.T, d *desk, f func(hand func(queue.Report))) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d.reports = make(chan queue.Report)
		if d.settings.Processors == 0 {
			d.settings = dequeuer.Defaults()
		}
		if d.words.Language == "" {
			d.words = dsn.Default()
		}
		srv := dequeuer.Server{
			MainDomain: func() string { return "here.example" }, Settings: func() *dequeuer.Settings { return &d.settings },
			Words: d.words.Languages, Class: func(r mail.Result) string { return d.class }, Open: d.open,
			Client: func(a netip.Addr) bool { return a == netip.MustParseAddr("192.0.2.1") },
		}
		q := dequeuer.New(d, d, srv, &d.stats, slog.New(slog.NewTextHandler(&d.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { q.Run(ctx) })
		f(func(r queue.Report) {
			d.reports <- r
			synctest.Wait()
		})
		cancel()
		run.Wait()
	})
}

func address(s string) mail.Address {
	a, err := mail.ParsePath(s)
	if err != nil {
		panic(err)
	}
	return a
}

// A parsed report is what a program finds in one.
type parsed struct {
	netmail.Header
	text     string                 // for people
	message  textproto.MIMEHeader   // of the delivery status
	rcpts    []textproto.MIMEHeader // of the delivery status
	kind     string                 // of what goes back
	original string
}

func parse(t *testing.T, text string) (p parsed) {
	t.Helper()
	m, err := netmail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	p.Header = m.Header
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || params["report-type"] != "delivery-status" {
		t.Fatalf("Content-Type %s %v, %v", kind, params, err)
	}
	r := multipart.NewReader(m.Body, params["boundary"])
	for n := 0; ; n++ {
		part, err := r.NextPart()
		if err == io.EOF && n == 3 {
			return p
		}
		if err != nil {
			t.Fatalf("part %d: %v in %s", n, err, text)
		}
		b, err := io.ReadAll(part)
		if err != nil {
			t.Fatal(err)
		}
		switch n {
		case 0:
			p.text = string(b)
		case 1:
			p.message, p.rcpts = blocks(t, string(b))
		case 2:
			p.kind, p.original = part.Header.Get("Content-Type"), string(b)
		}
	}
}

// blocks reads a delivery status: a block of the message, and one of each recipient.
func blocks(t *testing.T, status string) (message textproto.MIMEHeader, rcpts []textproto.MIMEHeader) {
	t.Helper()
	r := textproto.NewReader(bufio.NewReader(strings.NewReader(status + "\n\n")))
	for {
		h, err := r.ReadMIMEHeader()
		switch {
		case err != nil && err != io.EOF:
			t.Fatalf("delivery status: %v in %s", err, status)
		case len(h) == 0:
			return message, rcpts
		case message == nil:
			message = h
		default:
			rcpts = append(rcpts, h)
		}
	}
}
