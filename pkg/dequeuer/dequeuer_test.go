package dequeuer_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"cgq/pkg/dequeuer"
	"cgq/pkg/fact"
	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/queue"
	"cgq/pkg/settings"
)

const original = "Received: from client.example\nFrom: ann@away.example\nSubject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\n\nDear Bob\n"

var attempt = time.Date(2026, 11, 23, 22, 15, 0, 0, time.UTC)

var noUser = mail.Result{Action: mail.Failed, Status: mail.Status{5, 1, 1}, Code: 550, Text: "no such user", MTA: "mx.example.com"}

// failed is a recipient that has failed in the queue of example.com.
func failed(rcpt int) queue.Done {
	return queue.Done{Rcpt: rcpt, Key: queue.Key{Module: "SMTP", Queue: "example.com"}, At: attempt, Result: noUser, Wanted: true}
}

// about is a report about message 4711, of whose three recipients these are done.
func about(last bool, done ...queue.Done) queue.Report {
	return queue.Report{ID: 4711, Last: last, Done: done, Envelope: &mail.Envelope{
		ReturnPath: address("ann@away.example"), Source: mail.SMTP, Submitted: attempt.Add(-time.Hour),
		EnvelopeID: "QQ 314=+", Recipients: []mail.Recipient{
			{Address: address("bob@example.com"), Original: "rfc822;Bob@Example.COM"},
			{Address: address("carl@example.com")}, {Address: address("dora@example.com")}}}}
}

func newDesk() *desk { return &desk{texts: map[mail.ID]string{4711: original}} }

func TestSettingsAreHeldToTheirRanges(t *testing.T) {
	for delay, ok := range map[time.Duration]bool{0: true, time.Minute: true, 24 * time.Hour: true, -1: false, 24*time.Hour + 1: false} {
		s := dequeuer.Defaults()
		s.ReportingDelay = settings.Duration(delay)
		if err := s.Validate(); (err == nil) != ok || err != nil && !strings.HasPrefix(err.Error(), "reporting_delay: ") {
			t.Errorf("Validate of %v = %v", delay, err)
		}
	}
}

// A failure is reported to the return path: by whom, about what, with what the peer has
// said; and with the report it is on record that it was.
func TestReport(t *testing.T) {
	d := newDesk()
	work(t, d, func(hand func(queue.Report)) { hand(about(true, failed(0))) })
	if len(d.begotten) != 1 || len(d.returned)+len(d.gone)+len(d.decided) > 0 {
		t.Fatalf("%d reports, %+v", len(d.begotten), d)
	}
	b := d.begotten[0]
	want := &mail.Envelope{Source: mail.DSN, Body: mail.Body8BitMIME,
		Recipients: []mail.Recipient{{Address: address("ann@away.example"), Notify: mail.NotifyNever}}}
	if !reflect.DeepEqual(b.env, want) {
		t.Errorf("its envelope is %+v, want %+v", b.env, want)
	}
	if want := []fact.Change{{ID: 4711, Fact: fact.Reported{DSN: firstID, Rcpts: []int{0}}}, {ID: 4711, Fact: fact.Gone{}}}; !reflect.DeepEqual(b.changes, want) {
		t.Errorf("it means %+v, want %+v", b.changes, want)
	}
	p := parse(t, b.text)
	for field, want := range map[string]string{
		"From": "<MAILER-DAEMON@here.example>", "To": "<ann@away.example>", "Auto-Submitted": "auto-replied",
		"Subject": "Undeliverable mail: =?utf-8?q?gr=C3=BC=C3=9Fe?=",
	} {
		if got := p.Get(field); got != want {
			t.Errorf("%s: %q, want %q", field, got, want)
		}
	}
	if id := p.Get("Message-ID"); !strings.HasPrefix(id, "<4711.") || !strings.HasSuffix(id, "@here.example>") {
		t.Errorf("Message-ID: %s", id)
	}
	for field, want := range map[string]string{
		"Reporting-Mta": "dns; here.example", "Original-Envelope-Id": "QQ 314=+", "Arrival-Date": "Mon, 23 Nov 2026 21:15:00 +0000",
	} {
		if got := p.message.Get(field); got != want {
			t.Errorf("%s: %q, want %q", field, got, want)
		}
	}
	if len(p.rcpts) != 1 {
		t.Fatalf("%d recipients, want one", len(p.rcpts))
	}
	for field, want := range map[string]string{
		"Original-Recipient": "rfc822; Bob@Example.COM", "Final-Recipient": "rfc822; bob@example.com", "Action": "failed",
		"Status": "5.1.1", "Remote-Mta": "dns; mx.example.com", "Diagnostic-Code": "smtp; 550 5.1.1 no such user",
		"Last-Attempt-Date": "Mon, 23 Nov 2026 22:15:00 +0000",
	} {
		if got := p.rcpts[0].Get(field); got != want {
			t.Errorf("%s: %q, want %q", field, got, want)
		}
	}
	if !strings.Contains(p.text, "Failed to deliver to '<bob@example.com>'\nSMTP module(domain example.com) reports:\n"+
		" host mx.example.com says: 550 5.1.1 no such user\n") {
		t.Errorf("for people: %q", p.text)
	}
	if log := d.log.String(); !strings.Contains(log, "report generated: [5001] to <ann@away.example>") || !strings.Contains(log, "id=4711") {
		t.Errorf("log %s", log)
	}
}

// RET says how much goes back; not given, the header (RFC 3461 §4.3).
func TestHowMuchGoesBack(t *testing.T) {
	for ret, want := range map[mail.Return]struct{ kind, text string }{
		0:                  {"text/rfc822-headers", original[:strings.Index(original, "\n\n")+1]},
		mail.ReturnHeaders: {"text/rfc822-headers", original[:strings.Index(original, "\n\n")+1]},
		mail.ReturnFull:    {"message/rfc822", original},
	} {
		d := newDesk()
		work(t, d, func(hand func(queue.Report)) {
			r := about(true, failed(0))
			r.Envelope.Return = ret
			hand(r)
		})
		p := parse(t, d.begotten[0].text)
		if p.kind != want.kind || strings.TrimSpace(p.original) != strings.TrimSpace(want.text) {
			t.Errorf("RET=%s: %s %q, want %s %q", ret, p.kind, p.original, want.kind, want.text)
		}
	}
}

// Several failures are one report; whoever does not want to hear is not in it.
func TestSeveralInOneReport(t *testing.T) {
	d := newDesk()
	unwanted := failed(1)
	unwanted.Wanted = false
	other := failed(2)
	other.Key, other.Result = queue.Key{Module: "LOCAL", Queue: "dora@here.example"}, mail.Result{Action: mail.Failed, Status: mail.Status{5, 2, 2}, Text: "over quota"}
	work(t, d, func(hand func(queue.Report)) { hand(about(false, failed(0), unwanted, other)) })
	if len(d.begotten) != 1 {
		t.Fatalf("%d reports, want one", len(d.begotten))
	}
	b := d.begotten[0]
	if want := []fact.Change{{ID: 4711, Fact: fact.Reported{DSN: firstID, Rcpts: []int{0, 2}}}}; !reflect.DeepEqual(b.changes, want) {
		t.Errorf("it means %+v, want %+v", b.changes, want)
	}
	p := parse(t, b.text)
	if len(p.rcpts) != 2 || p.rcpts[0].Get("Final-Recipient") != "rfc822; bob@example.com" ||
		p.rcpts[1].Get("Final-Recipient") != "rfc822; dora@example.com" || p.rcpts[1].Get("Status") != "5.2.2" {
		t.Errorf("reported %v", p.rcpts)
	}
	if !strings.Contains(p.text, "LOCAL module(account dora@here.example) reports:\n over quota\n") || strings.Contains(p.text, "carl") {
		t.Errorf("for people: %q", p.text)
	}
	if want := []again{{4711, time.Time{}}}; !reflect.DeepEqual(d.returned, want) { // a recipient is left
		t.Errorf("returned %v, want %v", d.returned, want)
	}
}

// Nobody wants to hear of it: the message goes, or waits for the rest of its recipients.
func TestUnwantedResults(t *testing.T) {
	done := failed(0)
	done.Wanted = false
	d := newDesk()
	work(t, d, func(hand func(queue.Report)) {
		hand(about(false, done))
		if want := []again{{4711, time.Time{}}}; !reflect.DeepEqual(d.returned, want) || len(d.gone) > 0 {
			t.Errorf("returned %v, gone %v; want it returned", d.returned, d.gone)
		}
		hand(about(true, done))
	})
	if len(d.gone) != 1 || d.gone[0] != 4711 || len(d.begotten)+len(d.decided) > 0 || len(d.returned) != 1 {
		t.Errorf("gone %v, %d reports, decided %v; want it gone, silently", d.gone, len(d.begotten), d.decided)
	}
}

// The text of a person stands alone: no module has said it.
func TestTextOfAPersonStandsAlone(t *testing.T) {
	done := failed(0)
	done.Person, done.Result = true, mail.Result{Action: mail.Failed, Status: mail.Status{5, 7, 1}, Text: "closed for good"}
	d := newDesk()
	work(t, d, func(hand func(queue.Report)) { hand(about(true, done)) })
	p := parse(t, d.begotten[0].text)
	if want := "Failed to deliver to '<bob@example.com>'\n closed for good\n"; strings.ReplaceAll(p.text, "\r", "") != want {
		t.Errorf("for people: %q, want %q", p.text, want)
	}
	if p.rcpts[0].Get("Status") != "5.7.1" || p.rcpts[0].Get("Diagnostic-Code") != "" || p.rcpts[0].Get("Remote-Mta") != "" {
		t.Errorf("for programs: %v", p.rcpts[0])
	}
}

// A recipient that never came to a queue was refused by the Router: no module has said it.
func TestRefusedByTheRouter(t *testing.T) {
	done := failed(0)
	done.Key, done.Result = queue.Key{}, mail.Result{Action: mail.Failed, Status: mail.Status{5, 1, 1}, Text: "account unknown"}
	d := newDesk()
	work(t, d, func(hand func(queue.Report)) { hand(about(true, done)) })
	if p := parse(t, d.begotten[0].text); strings.Contains(p.text, "module") || !strings.Contains(p.text, " account unknown\n") {
		t.Errorf("for people: %q", p.text)
	}
}

// A report to an internationalized address needs SMTPUTF8 (RFC 6533).
func TestReturnPathOfUTF8(t *testing.T) {
	d := newDesk()
	work(t, d, func(hand func(queue.Report)) {
		r := about(true, failed(0))
		r.Envelope.ReturnPath = address("änne@away.example")
		hand(r)
	})
	if env := d.begotten[0].env; !env.SMTPUTF8 || env.Recipients[0].Address.Local != "änne" {
		t.Errorf("its envelope is %+v", env)
	}
}

// Nobody can be told: that is on record, so that nobody tries again.
func TestReportThatIsRefused(t *testing.T) {
	for _, last := range []bool{true, false} {
		d := newDesk()
		d.begetFails = func() error { return module.Reject(5, 1, 1, "account unknown") }
		work(t, d, func(hand func(queue.Report)) { hand(about(last, failed(0), failed(2))) })
		want := []fact.Change{{ID: 4711, Fact: fact.Reported{DSN: 0, Rcpts: []int{0, 2}}}}
		returned := []again{{4711, time.Time{}}}
		if last {
			want, returned = append(want, fact.Change{ID: 4711, Fact: fact.Gone{}}), nil
		}
		if !reflect.DeepEqual(d.decided, want) || !reflect.DeepEqual(d.returned, returned) {
			t.Errorf("last %v: decided %+v, returned %v; want %+v, %v", last, d.decided, d.returned, want, returned)
		}
		if log := d.log.String(); !strings.Contains(log, "the report to <ann@away.example> cannot be delivered and is dropped: 5.1.1 account unknown") {
			t.Errorf("log %s", log)
		}
	}
}

// Whatever fails for now is tried again, later, and then nothing is said twice.
func TestReportIsTriedAgain(t *testing.T) {
	unwanted := failed(0)
	unwanted.Wanted = false
	busy := errors.New("the disk is gone")
	again := "cannot report, trying again"
	for name, tt := range map[string]struct {
		fail func(d *desk, f func() error)
		err  error
		done queue.Done
		says string // as often as it fails; what all wait for is said once
	}{
		"busy":   {func(d *desk, f func() error) { d.begetFails = f }, module.Reject(4, 2, 1, "busy"), failed(0), again},
		"full":   {func(d *desk, f func() error) { d.begetFails = f }, module.Reject(4, 3, 1, "full"), failed(0), ""},
		"broken": {func(d *desk, f func() error) { d.begetFails = f }, busy, failed(0), again},
		"open":   {func(d *desk, f func() error) { d.openFails = f }, busy, failed(0), again},
		"gone":   {func(d *desk, f func() error) { d.goneFails = f }, busy, unwanted, again},
		"decide": {func(d *desk, f func() error) {
			d.begetFails = func() error { return module.Reject(5, 1, 1, "account unknown") }
			d.decideFails = f
		}, busy, failed(0), again},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk()
			times := 0
			tt.fail(d, func() error {
				if times++; times <= 2 {
					return tt.err
				}
				return nil
			})
			work(t, d, func(hand func(queue.Report)) {
				for n := 1; n <= 2; n++ {
					now := time.Now()
					hand(about(true, tt.done))
					if len(d.returned) != n || !d.returned[n-1].at.After(now) || d.returned[n-1].at.After(now.Add(time.Minute)) {
						t.Fatalf("returned %v at %v, want it back soon, and not at once", d.returned, now)
					}
					if len(d.begotten)+len(d.decided)+len(d.gone) > 0 {
						t.Fatalf("something was said: %+v", d)
					}
					time.Sleep(time.Until(d.returned[n-1].at))
				}
				hand(about(true, tt.done))
			})
			if len(d.returned) != 2 || len(d.begotten)+len(d.decided)/2+len(d.gone) != 1 {
				t.Errorf("returned %v, %d reports, decided %v, gone %v; want one end", d.returned, len(d.begotten), d.decided, d.gone)
			}
			log := d.log.String()
			if tt.says != "" && strings.Count(log, tt.says) != 2 || tt.says == "" && strings.Count(log, "reports wait: 4.3.1 full") != 1 {
				t.Errorf("log %s", log)
			}
		})
	}
}

// One who is stopped while he reports gives the message back, and complains of nothing.
func TestStopWhileReporting(t *testing.T) {
	d := newDesk()
	work(t, d, func(hand func(queue.Report)) {
		stop := make(chan struct{})
		d.begetFails = func() error { <-stop; return context.Canceled }
		hand(about(true, failed(0)))
		time.AfterFunc(time.Second, func() { close(stop) }) // after the end of the Run's context
	})
	if len(d.returned) != 1 || d.log.Len() > 0 {
		t.Errorf("returned %v, log %s; want it back, silently", d.returned, d.log.String())
	}
}
