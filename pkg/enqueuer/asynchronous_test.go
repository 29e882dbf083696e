package enqueuer_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/fact"
	"cgq/pkg/mail"
)

// Who is answered before the Enqueuer has seen the message (chapter: Enqueue Asynchronously).
func TestEnqueueAsynchronously(t *testing.T) {
	type submitter struct {
		name string
		auth string
		peer string
	}
	submitters := []submitter{{"stranger", "", "192.0.2.1"}, {"client", "", "198.51.100.7"}, {"authenticated", "ann@here.example", "192.0.2.1"}}
	for _, tt := range []struct {
		mode  string
		waits []string
	}{
		{"anybody", []string{"stranger", "client", "authenticated"}},
		{"nobody", nil},
		{"authenticated", []string{"authenticated"}},
		{"unauthenticated", []string{"stranger", "client"}},
		{"clients", []string{"client", "authenticated"}},
		{"non-clients", []string{"stranger"}},
	} {
		t.Run(tt.mode, func(t *testing.T) {
			for _, who := range submitters {
				s := newSite(t, crashdisk.New(-1))
				s.settings.Asynchronously = tt.mode
				s.clients = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
				e := from(mail.SMTP, who.peer, "ann@here.example")
				e.Auth = who.auth
				id, err := s.submit(t, e)
				if err != nil {
					t.Fatal(err)
				}
				where := "LOCAL(ann@here.example)ann@here.example"
				n := int64(0)
				if slices.Contains(tt.waits, who.name) {
					where, n = "ENQUEUER(incoming)ann@here.example", 1
				}
				if got := s.where(id); !slices.Equal(got, []string{where}) {
					t.Errorf("%s: it is in %v, want %s", who.name, got, where)
				}
				if got := s.gauge("numEnqueuerMessages"); got != n {
					t.Errorf("%s: numEnqueuerMessages = %d, want %d", who.name, got, n)
				}
			}
		})
	}
}

// What is refused while nobody listens any more is reported; what is refused while the
// submitter listens leaves no trace.
func TestRefusedBeforeAndAfterTheReply(t *testing.T) {
	loop := strings.Repeat("Received: from a by b; Wed, 25 Nov 2026 06:29:34 +0000\n", 101) + "Subject: round\n\ntext\n"
	for _, tt := range []struct {
		name   string
		to     []string
		text   string
		status mail.Status
		report bool // though the submitter got a positive reply
		mailed string
	}{
		{"hops", []string{"ann@here.example"}, loop, mail.Status{5, 4, 6}, true, "[]"},
		{"router", []string{"nobody@here.example"}, "Subject: a\n\nb\n", mail.Status{5, 1, 1}, true, "[]"},
		{"router, one of two", []string{"nobody@here.example", "ann@here.example"}, "Subject: a\n\nb\n", mail.Status{}, true,
			"[1 SMTP ann@here.example]"},
		{"nothing", []string{"ann@here.example"}, "Subject: a\n\nb\n", mail.Status{}, false, "[1 SMTP ann@here.example]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, mode := range []string{"nobody", "anybody"} {
				synctest.Test(t, func(t *testing.T) {
					s := newSite(t, crashdisk.New(-1))
					s.settings.Asynchronously = mode
					_, err := s.Submit(t.Context(), from(mail.SMTP, "192.0.2.1", tt.to...), strings.NewReader(tt.text))
					if mode == "nobody" && tt.status != (mail.Status{}) {
						refused(t, "Submit", err, tt.status)
						s.nothingLeft(t)
						s.run(t)
						if got := s.away.delivered(); len(got) > 0 {
							t.Errorf("sent %v, want no report", got)
						}
						return
					}
					if err != nil {
						t.Fatal(err)
					}
					s.run(t)
					sent := fmt.Sprint(s.away.delivered())
					if got := fmt.Sprint(s.here.delivered()); got != tt.mailed || strings.Contains(sent, "DSN sender@away.example") != tt.report {
						t.Errorf("%s: delivered %s, want %s; sent %s, want a report: %v", mode, got, tt.mailed, sent, tt.report)
					}
					s.emptied(t)
				})
			}
		})
	}
}

// A stranger's message that was accepted asynchronously is not relayed either.
func TestAsynchronouslyNothingIsRelayedForStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, crashdisk.New(-1))
		s.settings.Asynchronously = "anybody"
		if _, err := s.submit(t, from(mail.SMTP, "192.0.2.1", "victim@elsewhere.example")); err != nil {
			t.Fatal(err)
		}
		s.run(t)
		if got := fmt.Sprint(s.away.delivered()); strings.Contains(got, "victim") {
			t.Errorf("sent %s", got)
		}
	})
}

// The process dies between the reply and the Enqueuer: the next one enqueues it, once.
func TestEnqueuedAfterAStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, crashdisk.New(-1))
		s.settings.Asynchronously = "anybody"
		id, err := s.submit(t, from(mail.SMTP, "127.0.0.1", "ann@here.example", "x@away.example"))
		if err != nil {
			t.Fatal(err)
		}
		s = s.dies(t)
		s.resume(t)
		if got := s.where(id); !slices.Equal(got, []string{"ENQUEUER(incoming)ann@here.example", "ENQUEUER(incoming)x@away.example"}) {
			t.Errorf("it is in %v, want it with the Enqueuer", got)
		}
		s.run(t)
		want := fmt.Sprintf("[%d SMTP ann@here.example] [%d SMTP x@away.example]", id, id)
		if got := fmt.Sprint(s.here.delivered(), s.away.delivered()); got != want {
			t.Errorf("delivered %s, want %s", got, want)
		}
		s.emptied(t)
	})
}

// A message of which the Enqueuer never comes to an end, because the server dies, is held
// in the end; a person may let it go, and then it is tried again.
func TestUnfinishedRunsHoldAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, crashdisk.New(-1))
		s.settings.Asynchronously = "anybody"
		id, err := s.submit(t, from(mail.SMTP, "127.0.0.1", "ann@here.example"))
		if err != nil {
			t.Fatal(err)
		}
		for lives := 2; ; lives++ { // the first one died while it had it, as far as anybody knows
			s = s.dies(t)
			s.resume(t)
			m, _ := s.kernel.Message(id)
			if held := m.Hold != ""; held != (lives == 4) {
				t.Fatalf("life %d: the hold is %q", lives, m.Hold)
			} else if held {
				break
			}
			if _, err := s.spool.Append(fact.Change{ID: id, Fact: fact.Begun{At: time.Now()}}); err != nil {
				t.Fatal(err)
			}
		}
		stop := s.start(t)
		time.Sleep(time.Minute)
		if got := s.here.delivered(); len(got) > 0 {
			t.Errorf("delivered %v, want it held", got)
		}
		var name string
		for h := range s.kernel.Holds() {
			name = h.Name
		}
		if out, err := s.kernel.Unhold(name, false); err != nil || out.Messages != 1 {
			t.Errorf("Unhold(%q) = %+v, %v", name, out, err)
		}
		time.Sleep(time.Minute)
		stop()
		if got := s.here.delivered(); len(got) != 1 {
			t.Errorf("delivered %v, want it", got)
		}
		s.emptied(t)
	})
}

// Somebody rejects what the Enqueuer has not come to: it is gone; without a report it is in
// the trash, and what comes back from there is enqueued, over a restart, too.
func TestActsOnWhatIsNotEnqueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, crashdisk.New(-1))
		s.settings.Asynchronously = "anybody"
		id, err := s.submit(t, from(mail.SMTP, "127.0.0.1", "ann@here.example", "bob@here.example"))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.kernel.Decide(fact.Change{ID: id, Fact: fact.Rejected{Rcpt: 0, At: time.Now(), By: "root", Act: 7}}); err != nil {
			t.Fatal(err)
		}
		s = s.dies(t)
		s.resume(t)
		stop := s.start(t)
		time.Sleep(time.Minute)
		if got := fmt.Sprint(s.here.delivered()); got != fmt.Sprintf("[%d SMTP bob@here.example]", id) {
			t.Errorf("delivered %s, want bob's", got)
		}
		if err := s.kernel.Decide(fact.Change{ID: id, Fact: fact.Undone{Rcpt: 0, At: time.Now(), By: "root", Act: 7}}); err != nil {
			t.Fatal(err)
		}
		stop()
		s = s.dies(t)
		s.resume(t)
		s.run(t)
		if got := fmt.Sprint(s.here.delivered()); got != fmt.Sprintf("[%d SMTP ann@here.example]", id) {
			t.Errorf("delivered %s, want ann's", got)
		}
	})
}
