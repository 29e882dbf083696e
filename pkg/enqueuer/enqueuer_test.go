package enqueuer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/enqueuer"
	"cgq/pkg/fact"
	"cgq/pkg/mail"
)

func TestSettingsAreHeldToTheirRanges(t *testing.T) {
	for _, tt := range []struct {
		set  func(*enqueuer.Settings)
		want string // the beginning of the error; empty: none
	}{
		{func(*enqueuer.Settings) {}, ""},
		{func(s *enqueuer.Settings) { s.HopCounterLimit = 1 }, ""},
		{func(s *enqueuer.Settings) { s.HopCounterLimit = 1000 }, ""},
		{func(s *enqueuer.Settings) { s.HopCounterLimit = 0 }, "hop_counter_limit: "},
		{func(s *enqueuer.Settings) { s.HopCounterLimit = 1001 }, "hop_counter_limit: "},
		{func(s *enqueuer.Settings) { s.QueueLimit = 1 << 30 }, ""},
		{func(s *enqueuer.Settings) { s.QueueLimit = -1 }, "queue_limit: "},
		{func(s *enqueuer.Settings) { s.QueueReserve = 0 }, ""},
		{func(s *enqueuer.Settings) { s.QueueReserve = 1_000_000 }, ""},
		{func(s *enqueuer.Settings) { s.QueueReserve = 1_000_001 }, "queue_reserve: "},
		{func(s *enqueuer.Settings) { s.QueueReserve = -1 }, "queue_reserve: "},
	} {
		s := enqueuer.Defaults()
		tt.set(&s)
		err := s.Validate()
		if (err == nil) != (tt.want == "") || err != nil && !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("Validate of %+v = %v, want %q", s, err, tt.want)
		}
	}
}

// Who may have mail relayed: the server itself, its users, hosts on this machine and
// the Client IP Addresses; to what is local, everybody may send.
func TestRelayPolicy(t *testing.T) {
	ann := func(e *mail.Envelope) { e.Auth = "ann@here.example" }
	nobody := func(*mail.Envelope) {}
	for _, tt := range []struct {
		name   string
		source mail.Source
		peer   string
		who    func(*mail.Envelope)
		relays bool
	}{
		{"loopback", mail.SMTP, "127.0.0.1", nobody, true},
		{"loopback, another address", mail.SMTP, "127.9.9.9", nobody, true},
		{"loopback v6", mail.SMTP, "::1", nobody, true},
		{"loopback v4 in v6", mail.SMTP, "::ffff:127.0.0.1", nobody, true},
		{"client", mail.SMTP, "192.0.2.7", nobody, true},
		{"client v4 in v6", mail.SMTP, "::ffff:192.0.2.7", nobody, true},
		{"client v6", mail.SMTP, "2001:db8::7", nobody, true},
		{"one client", mail.SMTP, "198.51.100.7", nobody, true},
		{"beside the client", mail.SMTP, "198.51.100.8", nobody, false},
		{"outside", mail.SMTP, "203.0.113.7", nobody, false},
		{"outside v4 in v6", mail.SMTP, "::ffff:203.0.113.7", nobody, false},
		{"outside v6", mail.SMTP, "2001:db8:1::7", nobody, false},
		{"nobody knows from where", mail.SMTP, "", nobody, false},
		{"everywhere, which is nowhere", mail.SMTP, "0.0.0.0", nobody, false},
		{"outside, authenticated", mail.SMTP, "203.0.113.7", ann, true},
		{"fetched", mail.RPOP, "203.0.113.7", nobody, false},
		{"PIPE", mail.PIPE, "", nobody, true},
		{"DSN", mail.DSN, "", nobody, true},
		{"RULE", mail.RULE, "203.0.113.7", nobody, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, crashdisk.New(-1))
			s.clients = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/48"),
				netip.MustParsePrefix("198.51.100.7/32")}
			for to, allowed := range map[string]bool{"ann@here.example": true, "ann": true, "x@away.example": tt.relays} {
				e := from(tt.source, tt.peer, to)
				tt.who(e)
				err := s.Check(t.Context(), e, e.Recipients[0])
				id, err2 := s.submit(t, e)
				if !allowed {
					refused(t, "Check "+to, err, mail.Status{5, 7, 1})
					refused(t, "Submit to "+to, err2, mail.Status{5, 7, 1})
				} else if err != nil || err2 != nil || id == 0 {
					t.Errorf("to %s: Check = %v, Submit = %d, %v; want it taken", to, err, id, err2)
				}
			}
			if !tt.relays && s.kernel.Len() != 2 {
				t.Errorf("%d messages in the queue, want the two that are local", s.kernel.Len())
			}
		})
	}
}

// The hop limit counts the Received fields that a message comes with, ours apart
// (chapter: Hop Counter Limit).
func TestHopLimit(t *testing.T) {
	s := newSite(t, crashdisk.New(-1))
	s.settings.HopCounterLimit = 3
	for hops, ok := range map[int]bool{0: true, 2: true, 3: true, 4: false, 100: false} {
		for _, size := range []int{0, 10_000} { // in memory, in a file
			text := strings.Repeat("Received: from a by b\n", hops) + "Subject: x\n\n" + strings.Repeat("x\n", size/2)
			before := s.kernel.Len()
			id, err := s.Submit(t.Context(), from(mail.SMTP, "127.0.0.1", "ann@here.example"), strings.NewReader(text))
			if ok {
				if err != nil {
					t.Errorf("%d hops: %v", hops, err)
				}
				continue
			}
			refused(t, fmt.Sprint("Submit with ", hops, " hops"), err, mail.Status{5, 4, 6})
			if s.kernel.Len() != before || id != 0 {
				t.Errorf("%d hops: message %d, %d in the queue, were %d", hops, id, s.kernel.Len(), before)
			}
		}
	}
	if log := s.log.String(); !strings.Contains(log, "4 hops, the limit is 3") {
		t.Errorf("the log does not say why: %s", log)
	}
}

func TestHopLimitLeavesNothing(t *testing.T) {
	s := newSite(t, crashdisk.New(-1))
	s.settings.HopCounterLimit = 1
	for _, size := range []int{0, 10_000} {
		_, err := s.Submit(t.Context(), from(mail.SMTP, "127.0.0.1", "ann@here.example"),
			strings.NewReader("Received: a\nReceived: b\n\n"+strings.Repeat("x\n", size/2)))
		refused(t, "Submit", err, mail.Status{5, 4, 6})
		s.nothingLeft(t)
	}
}

// What is routed to NULL is discarded: it goes, and nobody is told.
func TestNull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, crashdisk.New(-1))
		id, err := s.submit(t, from(mail.SMTP, "203.0.113.7", "NULL"))
		if err != nil {
			t.Fatal(err)
		}
		r, ok := s.kernel.NextReport(t.Context())
		if !ok || r.ID != id || !r.Last || len(r.Done) != 1 || r.Done[0].Wanted || r.Done[0].Result.Action != mail.Discarded {
			t.Fatalf("the Dequeuer gets %+v, want one discarded recipient, unwanted", r)
		}
		s.kernel.ReturnReport(id, r.Done[0].At)
		s.run(t)
		if s.kernel.Len() != 0 || len(s.here.delivered()) != 0 || len(s.away.delivered()) != 0 {
			t.Errorf("%d messages left, delivered %v and %v; want it gone and nobody told", s.kernel.Len(), s.here.got, s.away.got)
		}
	})
}

func TestError(t *testing.T) {
	s := newSite(t, crashdisk.New(-1))
	e := from(mail.PIPE, "", "ERROR")
	refused(t, "Check", s.Check(t.Context(), e, e.Recipients[0]), mail.Status{5, 1, 1})
	_, err := s.submit(t, e)
	refused(t, "Submit", err, mail.Status{5, 1, 1})
	s.nothingLeft(t)
}

// One of several recipients is refused only at Submit, such as an Account deleted since
// RCPT: it fails, its sender is told, and the others get their mail.
func TestOneOfSeveralIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, crashdisk.New(-1))
		e := from(mail.SMTP, "127.0.0.1", "ann@here.example", "bob@here.example", "carl@away.example")
		e.ReturnPath = address("ann@here.example")
		delete(s.here.knows, "bob")
		id, err := s.submit(t, e)
		if err != nil {
			t.Fatal(err)
		}
		s.run(t)
		if got := fmt.Sprint(s.here.delivered(), s.away.delivered()); got !=
			fmt.Sprintf("[%d SMTP ann@here.example %d DSN ann@here.example] [%d SMTP carl@away.example]", id, id+1, id) {
			t.Errorf("delivered %s, want both, and a report to ann", got)
		}
		if s.kernel.Len() != 0 {
			t.Errorf("%d messages are left", s.kernel.Len())
		}
		if log := s.log.String(); !strings.Contains(log, "bob@here.example failed: account unknown") {
			t.Errorf("the log does not say it: %s", log)
		}
	})
}

// All recipients are refused: so is the message, and nothing is left of it.
func TestAllAreRefused(t *testing.T) {
	s := newSite(t, crashdisk.New(-1))
	for _, text := range []string{"\nshort\n", "\n" + strings.Repeat("long\n", 3000)} {
		_, err := s.Submit(t.Context(), from(mail.SMTP, "127.0.0.1", "x@here.example", "y@here.example"), strings.NewReader(text))
		refused(t, "Submit", err, mail.Status{5, 1, 1})
		s.nothingLeft(t)
	}
}

func TestNoRecipients(t *testing.T) {
	s := newSite(t, crashdisk.New(-1))
	_, err := s.submit(t, from(mail.SMTP, "127.0.0.1"))
	refused(t, "Submit", err, mail.Status{5, 5, 1})
	s.nothingLeft(t)
}

// Nobody knows just now where a recipient goes: the message is not taken, to be tried
// again by its sender.
func TestRoutingFails(t *testing.T) {
	s := newSite(t, crashdisk.New(-1))
	s.here.fault = errors.New("the directory cannot be read")
	_, err := s.submit(t, from(mail.SMTP, "127.0.0.1", "x@away.example", "ann@here.example"))
	if !errors.Is(err, s.here.fault) {
		t.Errorf("Submit = %v, want %v", err, s.here.fault)
	}
	s.nothingLeft(t)
}

// An error of the reader comes back, and nothing is left behind.
func TestReaderFails(t *testing.T) {
	lost := errors.New("connection lost")
	for _, size := range []int{0, 100, 50_000} {
		s := newSite(t, crashdisk.New(-1))
		text := io.MultiReader(strings.NewReader("Subject: x\n\n"+strings.Repeat("x\n", size/2)), iotest.ErrReader(lost))
		id, err := s.Submit(t.Context(), from(mail.SMTP, "127.0.0.1", "ann@here.example"), text)
		if !errors.Is(err, lost) || id != 0 {
			t.Errorf("after %d bytes: Submit = %d, %v; want %v", size, id, err, lost)
		}
		s.nothingLeft(t)
		if s = s.dies(t); len(s.found.Messages) > 0 {
			t.Errorf("after %d bytes a start finds %+v", size, s.found.Messages)
		}
	}
}

// A disk that cannot take a message is the sender's reason to try again, not more;
// what there is too little of he is told.
func TestDiskFails(t *testing.T) {
	for _, tt := range []struct {
		fault   error
		status  mail.Status
		counted string
	}{
		{syscall.ENOSPC, mail.Status{4, 3, 1}, "enqueuerRefusedSpace"},
		{syscall.EDQUOT, mail.Status{4, 3, 1}, "enqueuerRefusedSpace"},
		{syscall.EIO, mail.Status{4, 3, 0}, "enqueuerRefusedFault"},
	} {
		for _, op := range []string{"create", "write", "datasync", "syncdir"} {
			s := newSite(t, crashdisk.New(-1))
			s.disk.Fail(func(o, name string) error {
				if o == op && !strings.HasSuffix(name, ".seg") {
					return tt.fault
				}
				return nil
			})
			id, err := s.Submit(t.Context(), from(mail.SMTP, "127.0.0.1", "ann@here.example"),
				strings.NewReader("\n"+strings.Repeat("long\n", 3000)))
			refused(t, op+" fails: Submit", err, tt.status)
			if n := s.counted(tt.counted); id != 0 || n != 1 {
				t.Errorf("%s fails: message %d, %d counted as %s", op, id, n, tt.counted)
			}
			s.nothingLeft(t)
		}
	}
}

// When Submit returns nil the message survives power loss, big or small, with its
// envelope, its text and where it goes.
func TestAcceptedSurvivesPowerLoss(t *testing.T) {
	for _, size := range []int{100, 200_000} {
		for seed := range uint64(8) {
			s := newSite(t, crashdisk.New(-1))
			e := from(mail.SMTP, "192.0.2.9", "ann@here.example", "bob@here.example")
			e.Auth, e.EnvelopeID, e.Return = "ann@here.example", "QQ314", mail.ReturnFull
			e.Recipients[1].Notify, e.Recipients[1].Original = mail.NotifyNever, "rfc822;Bob@here.example"
			text := "Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\n\n" + strings.Repeat("x\n", size/2)
			id, err := s.Submit(t.Context(), e, strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			s = newSite(t, s.disk.Restart(rand.New(rand.NewPCG(seed, 0))))
			if len(s.found.Messages) != 1 || len(s.found.Damage) > 0 {
				t.Fatalf("found %+v, damage %v; want one message", s.found.Messages, s.found.Damage)
			}
			f := s.found.Messages[0]
			want := []fact.Fact{
				fact.Routed{Rcpt: 0, Module: "LOCAL", Queue: "ann@here.example", Address: address("ann@here.example")},
				fact.Routed{Rcpt: 1, Module: "LOCAL", Queue: "bob@here.example", Address: address("bob@here.example")}}
			if f.ID != id || f.Subject != "grüße" || !slices.Equal(f.Facts, want) {
				t.Errorf("found %+v, want message %d with %+v", f, id, want)
			}
			got := f.Envelope
			if got.Auth != e.Auth || got.Peer != e.Peer || got.EnvelopeID != e.EnvelopeID || got.Return != e.Return ||
				got.Source != e.Source || !slices.Equal(got.Recipients, e.Recipients) || got.ReturnPath != e.ReturnPath ||
				got.Domain != "here.example" || got.Submitted.UnixMilli() != e.Submitted.UnixMilli() {
				t.Errorf("the envelope is %+v, was %+v", got, e)
			}
			if got := s.text(t, id); !strings.HasSuffix(got, text) || !strings.HasPrefix(got, "Received: from [192.0.2.9]") ||
				f.Size != int64(len(got)) {
				t.Errorf("the text has %d bytes, size %d, and begins %.40q", len(got), f.Size, got)
			}
		}
	}
}

// The journal has no room, and no checkpoint makes any: the sender is told to come again,
// and when there is room, it is taken.
func TestJournalIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, crashdisk.New(-1))
		taken := 0
		var err error
		for ; err == nil && taken < 10_000; taken++ {
			_, err = s.submit(t, from(mail.SMTP, "127.0.0.1", "ann@here.example"))
		}
		refused(t, "Submit", err, mail.Status{4, 3, 1})
		if taken--; s.kernel.Len() != taken || s.spool.Load().Messages != taken {
			t.Errorf("%d taken, %d in the queue, %d in the spool", taken, s.kernel.Len(), s.spool.Load().Messages)
		}
		if _, err := s.Beget(t.Context(), from(mail.DSN, "", "bob@here.example"), strings.NewReader("\n"), nil); err != nil {
			t.Errorf("Beget = %v: there is a share for what the server makes itself", err)
		}
		if err := s.spool.Checkpoint(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.submit(t, from(mail.SMTP, "127.0.0.1", "ann@here.example")); err != nil {
			t.Errorf("after a checkpoint: %v", err)
		}
	})
}

// The journal cannot be synced: the message was not accepted, and is not delivered; nor
// is anything taken after it.
func TestJournalIsBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, crashdisk.New(-1))
		s.disk.Fail(func(op, name string) error {
			if op == "datasync" && strings.HasSuffix(name, ".seg") {
				return syscall.EIO
			}
			return nil
		})
		for _, want := range []mail.Status{{4, 3, 0}, {4, 3, 2}} { // found out, and known
			_, err := s.submit(t, from(mail.SMTP, "127.0.0.1", "ann@here.example"))
			refused(t, "Submit", err, want)
			s.disk.Fail(nil) // it stays broken
		}
		s.run(t)
		if s.kernel.Len() > 0 || len(s.here.delivered()) > 0 {
			t.Errorf("%d messages in the queue, delivered %v; want none", s.kernel.Len(), s.here.got)
		}
		if log := s.log.String(); !strings.Contains(log, "cannot take a message") {
			t.Errorf("the log does not say it: %s", log)
		}
		_ = s.close()                 // it is broken
		for seed := range uint64(8) { // it may be found, as nobody was told the contrary; whole, then
			next := newSite(t, s.disk.Restart(rand.New(rand.NewPCG(seed, 0))))
			if n := len(next.found.Messages); len(next.found.Damage) > 0 || n > 1 || n == 1 && len(next.found.Messages[0].Facts) != 1 {
				t.Errorf("seed %d: found %+v", seed, next.found)
			}
		}
	})
}

// SPOOL J1: a client who hangs up while his message is being made durable does not decide
// any more: what he is told, or would be, is what becomes of it.
func TestClientHangsUpBeforeTheVerdict(t *testing.T) {
	for _, fault := range []error{nil, syscall.EIO} {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t, crashdisk.New(-1))
			hang := make(crashdisk.Hang)
			var first atomic.Bool
			s.disk.Fail(func(op, name string) error {
				switch {
				case !strings.HasSuffix(name, ".seg"):
				case op == "write" && first.CompareAndSwap(false, true):
					return hang
				case op == "datasync":
					return fault
				}
				return nil
			})
			ctx, cancel := context.WithCancel(t.Context())
			var id mail.ID
			var err error
			var client sync.WaitGroup
			client.Go(func() {
				id, err = s.Submit(ctx, from(mail.SMTP, "127.0.0.1", "<ann@here.example>"), strings.NewReader("Subject: x\n\ntext\n"))
			})
			synctest.Wait()
			cancel()
			synctest.Wait()
			close(hang)
			client.Wait()
			s.disk.Fail(nil)
			if (err == nil) != (fault == nil) {
				t.Errorf("fault %v: Submit = %d, %v", fault, id, err)
			}
			s.run(t)
			if n := len(s.here.delivered()); (n == 1) != (err == nil) {
				t.Errorf("fault %v: %d delivered, and the client was told %v", fault, n, err)
			}
		})
	}
}

// SPOOL E1: one failed sync of the journal loses nothing; what is here is delivered, reports
// too, and new mail is refused until a restart.
func TestJournalIsDegraded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, crashdisk.New(-1))
		var once atomic.Bool
		s.disk.Fail(func(op, name string) error {
			if op == "datasync" && strings.HasSuffix(name, ".seg") && once.CompareAndSwap(false, true) {
				return syscall.EIO
			}
			return nil
		})
		if _, err := s.submit(t, from(mail.SMTP, "127.0.0.1", "ann@here.example")); err != nil {
			t.Errorf("Submit = %v; want it taken, in another segment", err)
		}
		refused(t, "Admit", s.Admit(t.Context(), &mail.Envelope{}), mail.Status{4, 3, 2})
		_, err := s.submit(t, from(mail.SMTP, "127.0.0.1", "ann@here.example"))
		refused(t, "Submit", err, mail.Status{4, 3, 2})
		if _, err := s.Beget(t.Context(), from(mail.DSN, "", "bob@here.example"), strings.NewReader("Subject: x\n\n"), nil); err != nil {
			t.Errorf("Beget = %v; want a report taken", err)
		}
		s.run(t)
		if n := len(s.here.delivered()); n != 2 {
			t.Errorf("%d delivered, want both", n)
		}
		again := s.dies(t)
		if _, err := again.submit(t, from(mail.SMTP, "127.0.0.1", "ann@here.example")); err != nil {
			t.Errorf("Submit after a restart = %v", err)
		}
	})
}

// SPOOL J5: a disk that hangs for a minute: those who wait are told in the end, others are
// refused after ten seconds, and mail is taken again by itself.
func TestDiskHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, crashdisk.New(-1))
		hang := make(crashdisk.Hang)
		s.disk.Fail(func(op, name string) error {
			if op == "datasync" && strings.HasSuffix(name, ".seg") {
				return hang
			}
			return nil
		})
		var client sync.WaitGroup
		client.Go(func() {
			if _, err := s.submit(t, from(mail.SMTP, "127.0.0.1", "ann@here.example")); err != nil {
				t.Errorf("the one who waits: %v", err)
			}
		})
		time.Sleep(9 * time.Second)
		if err := s.Admit(t.Context(), &mail.Envelope{}); err != nil {
			t.Errorf("after 9 s: %v", err)
		}
		time.Sleep(2 * time.Second)
		refused(t, "Admit after 11 s", s.Admit(t.Context(), &mail.Envelope{}), mail.Status{4, 3, 0})
		_, err := s.submit(t, from(mail.SMTP, "127.0.0.1", "bob@here.example"))
		refused(t, "Submit after 11 s", err, mail.Status{4, 3, 0})
		time.Sleep(50 * time.Second)
		s.disk.Fail(nil)
		close(hang)
		client.Wait()
		if _, err := s.submit(t, from(mail.SMTP, "127.0.0.1", "bob@here.example")); err != nil {
			t.Errorf("Submit after the hang: %v", err)
		}
		s.run(t)
		if n := len(s.here.delivered()); n != 2 {
			t.Errorf("%d delivered, want 2", n)
		}
	})
}
