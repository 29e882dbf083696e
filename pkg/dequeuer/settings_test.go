package dequeuer_test

import (
	"context"
	"log/slog"
	"net/netip"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"cgq/pkg/dequeuer"
	"cgq/pkg/fact"
	"cgq/pkg/mail"
	"cgq/pkg/queue"
	"cgq/pkg/settings"
	"cgq/pkg/stats"
)

// set is a desk whose settings are changed, and valid.
func set(t *testing.T, change func(*dequeuer.Settings)) *desk {
	t.Helper()
	d := newDesk()
	d.settings = dequeuer.Defaults()
	change(&d.settings)
	if err := d.settings.Validate(); err != nil {
		t.Fatal(err)
	}
	return d
}

// On Failure, Return × RET (chapter).
func TestOnFailureReturn(t *testing.T) {
	const headers, body = "text/rfc822-headers", "message/rfc822"
	asked := []mail.Return{0, mail.ReturnHeaders, mail.ReturnFull}
	for setting, want := range map[string][]string{
		"headers by default": {headers, headers, body},
		"body by default":    {body, headers, body},
		"always headers":     {headers, headers, headers},
		"always body":        {body, body, body},
	} {
		for i, ret := range asked {
			d := set(t, func(s *dequeuer.Settings) { s.OnFailureReturn = setting })
			work(t, d, func(hand func(queue.Report)) {
				r := about(true, failed(0))
				r.Envelope.Return = ret
				hand(r)
			})
			if p := parse(t, d.begotten[0].text); p.kind != want[i] {
				t.Errorf("%s, RET=%s: %s goes back, want %s", setting, ret, p.kind, want[i])
			}
		}
	}
}

// Of a message that is over the limit the header goes back, whoever wants more.
func TestReturnLimit(t *testing.T) {
	for limit, kind := range map[int]string{0: "message/rfc822", len(original): "message/rfc822", len(original) - 1: "text/rfc822-headers"} {
		d := set(t, func(s *dequeuer.Settings) { s.OnFailureReturn, s.ReturnLimit = "always body", settings.Size(limit) })
		work(t, d, func(hand func(queue.Report)) { hand(about(true, failed(0))) })
		if p := parse(t, d.begotten[0].text); p.kind != kind {
			t.Errorf("limit %d of %d: %s goes back, want %s", limit, len(original), p.kind, kind)
		}
	}
}

// Copy Failure Reports: the address gets the same message, once.
func TestCopyFailureReports(t *testing.T) {
	for to, want := range map[string][]string{
		"":                     {"ann@away.example"},
		"postmaster@a.example": {"ann@away.example", "postmaster@a.example"},
		"ann@AWAY.example":     {"ann@away.example"},
	} {
		d := set(t, func(s *dequeuer.Settings) { s.CopyReports = to })
		work(t, d, func(hand func(queue.Report)) { hand(about(true, failed(0))) })
		var got []string
		for _, r := range d.begotten[0].env.Recipients {
			got = append(got, r.Address.String())
			if r.Notify != mail.NotifyNever {
				t.Errorf("%s: of the report to %s somebody hears", to, r.Address)
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q: the report goes to %v, want %v", to, got, want)
		}
		if !d.begotten[0].env.ReturnPath.IsZero() {
			t.Error("its return path is not the null one")
		}
	}
}

// Send Return-Receipts to (chapter), by who has submitted the message; failures are for all.
func TestReturnReceipts(t *testing.T) {
	delivered := failed(0)
	delivered.Result = mail.Result{Action: mail.Delivered, Status: mail.Status{2, 0, 0}, Text: "Delivered to the user mailbox"}
	stranger, client := &mail.Envelope{Source: mail.SMTP, Peer: netip.MustParseAddr("192.0.2.9")}, &mail.Envelope{Source: mail.SMTP, Peer: netip.MustParseAddr("192.0.2.1")}
	known := &mail.Envelope{Source: mail.SMTP, Auth: "ann", Peer: netip.MustParseAddr("192.0.2.9")}
	for setting, want := range map[string][3]bool{
		"everybody":     {true, true, true},
		"clients":       {false, true, true},
		"authenticated": {false, false, true},
		"nobody":        {},
	} {
		for i, by := range []*mail.Envelope{stranger, client, known} {
			for _, last := range []bool{true, false} {
				d := set(t, func(s *dequeuer.Settings) { s.Receipts, s.CopyReports = setting, "postmaster@a.example" })
				r := about(last, delivered)
				r.Envelope.Source, r.Envelope.Peer, r.Envelope.Auth, r.Envelope.Return = by.Source, by.Peer, by.Auth, mail.ReturnFull
				work(t, d, func(hand func(queue.Report)) { hand(r) })
				if !want[i] {
					said := len(d.decided) == 1 && reflect.DeepEqual(d.decided[0].Fact, fact.Reported{Rcpts: []int{0}})
					if len(d.begotten) > 0 || last && len(d.gone) != 1 || !last && !said {
						t.Errorf("%s, %d, last %v: %d reports, gone %v, decided %v", setting, i, last, len(d.begotten), d.gone, d.decided)
					}
					continue
				}
				if len(d.begotten) != 1 {
					t.Errorf("%s, %d, last %v: %d reports, want one", setting, i, last, len(d.begotten))
					continue
				}
				p := parse(t, d.begotten[0].text)
				if p.rcpts[0].Get("Action") != "delivered" || p.kind != "text/rfc822-headers" || len(d.begotten[0].env.Recipients) != 1 {
					t.Errorf("%s, %d: %s, %s goes back, to %v", setting, i, p.rcpts[0].Get("Action"), p.kind, d.begotten[0].env.Recipients)
				}
			}
		}
	}
	d := set(t, func(s *dequeuer.Settings) { s.Receipts = "nobody" })
	other := delivered
	other.Rcpt = 1
	work(t, d, func(hand func(queue.Report)) { hand(about(true, failed(0), other)) })
	want := []fact.Change{{ID: 4711, Fact: fact.Reported{DSN: firstID, Rcpts: []int{0}}}, {ID: 4711, Fact: fact.Reported{Rcpts: []int{1}}}, {ID: 4711, Fact: fact.Gone{}}}
	if p := parse(t, d.begotten[0].text); len(p.rcpts) != 1 || !reflect.DeepEqual(d.begotten[0].changes, want) {
		t.Errorf("one has failed, one is delivered: %d recipients, %+v", len(p.rcpts), d.begotten[0].changes)
	}
}

func TestSettingsSayWhatIsWrong(t *testing.T) {
	for want, change := range map[string]func(*dequeuer.Settings){
		"processors: 0 is not between":           func(s *dequeuer.Settings) { s.Processors = 0 },
		"processors: 101 is not between":         func(s *dequeuer.Settings) { s.Processors = 101 },
		`on_failure_return: "all" is none of`:    func(s *dequeuer.Settings) { s.OnFailureReturn = "all" },
		`send_return_receipts_to: "all" is none`: func(s *dequeuer.Settings) { s.Receipts = "all" },
		"return_limit: ":                         func(s *dequeuer.Settings) { s.ReturnLimit = -1 },
		"copy_failure_reports: ":                 func(s *dequeuer.Settings) { s.CopyReports = "x@" },
	} {
		s := dequeuer.Defaults()
		change(&s)
		if err := s.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// A busy kernel always has a message that is done, and takes long to forget it.
type busy struct {
	dequeuer.Kernel
	gate      chan struct{}
	now, most atomic.Int32
}

func (b *busy) NextReport(ctx context.Context) (queue.Report, bool) {
	return about(true), ctx.Err() == nil
}

func (b *busy) Gone(mail.ID) error {
	n := b.now.Add(1)
	for most := b.most.Load(); n > most && !b.most.CompareAndSwap(most, n); most = b.most.Load() {
	}
	<-b.gate
	b.now.Add(-1)
	return nil
}

// Processors: so many messages are dealt with at the same time, and no more, whatever was
// set before.
func TestProcessors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &busy{gate: make(chan struct{})}
		var set atomic.Pointer[dequeuer.Settings]
		use := func(n int) {
			s := dequeuer.Defaults()
			s.Processors = n
			set.Store(&s)
		}
		use(3)
		q := dequeuer.New(k, nil, dequeuer.Server{Settings: set.Load}, &stats.Set{}, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { q.Run(ctx); close(done) }()
		for _, n := range []int32{3, 5, 1} {
			use(int(n))
			for range 10 {
				k.gate <- struct{}{}
			}
			synctest.Wait()
			if got := k.now.Load(); got != n {
				t.Errorf("%d at the same time, want %d", got, n)
			}
		}
		if most := k.most.Load(); most != 5 {
			t.Errorf("%d at the same time at most, want 5", most)
		}
		cancel()
		close(k.gate)
		<-done
	})
}
