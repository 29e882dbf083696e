package dequeuer_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"cgq/pkg/dequeuer"
	"cgq/pkg/dsn"
	"cgq/pkg/fact"
	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/queue"
	"cgq/pkg/settings"
)

// late is a report about message 4711, whose other recipients wait.
func late(done ...queue.Done) queue.Report {
	r := about(false, done...)
	r.Age = 4 * time.Hour
	for i := 1; i < 3; i++ {
		r.Waiting = append(r.Waiting, queue.Done{Rcpt: i, Key: queue.Key{Module: "SMTP", Queue: "example.com"}, Wanted: true,
			At: attempt, Until: attempt.Add(100 * time.Hour), Result: mail.Result{Status: mail.Status{4, 4, 1}, Text: "no route"}})
	}
	return r
}

// A warning says who waits, for what, and for how long it is tried; what has failed
// meanwhile stands in the same report.
func TestWarning(t *testing.T) {
	for name, tt := range map[string]struct {
		report  queue.Report
		subject string
		rcpts   int
		changes []fact.Change
	}{
		"alone": {late(), "WARNING. Mail Delayed: ", 2,
			[]fact.Change{{ID: 4711, Fact: fact.Warned{DSN: firstID, Rcpts: []int{1, 2}, Age: 4 * time.Hour}}}},
		"with a failure": {late(failed(0)), "Undeliverable mail: ", 3, []fact.Change{{ID: 4711, Fact: fact.Reported{DSN: firstID, Rcpts: []int{0}}},
			{ID: 4711, Fact: fact.Warned{DSN: firstID, Rcpts: []int{1, 2}, Age: 4 * time.Hour}}}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk()
			work(t, d, func(hand func(queue.Report)) { hand(tt.report) })
			if len(d.begotten) != 1 || !reflect.DeepEqual(d.begotten[0].changes, tt.changes) || len(d.returned) != 1 {
				t.Fatalf("%d reports, %+v; want one that means %+v, and the message back", len(d.begotten), d.begotten, tt.changes)
			}
			p := parse(t, d.begotten[0].text)
			if !strings.HasPrefix(p.Get("Subject"), tt.subject) || len(p.rcpts) != tt.rcpts {
				t.Fatalf("Subject: %s, %d recipients; want %s and %d", p.Get("Subject"), len(p.rcpts), tt.subject, tt.rcpts)
			}
			for field, want := range map[string]string{
				"Action": "delayed", "Status": "4.4.1", "Final-Recipient": "rfc822; dora@example.com",
				"Last-Attempt-Date": "Mon, 23 Nov 2026 22:15:00 +0000", "Will-Retry-Until": "Sat, 28 Nov 2026 02:15:00 +0000",
			} {
				if got := p.rcpts[tt.rcpts-1].Get(field); got != want {
					t.Errorf("%s: %q, want %q", field, got, want)
				}
			}
			want := map[string]int64{"dequeuerReports": 1, "dequeuerWarnings": int64(3 - tt.rcpts)}
			for name, n := range want {
				if got := d.stats.Counter(name).Value(); got != n {
					t.Errorf("%s is %d, want %d", name, got, n)
				}
			}
		})
	}
}

// Programs and lists have no use for warnings, unless they have asked.
func TestProgramsAreNotWarned(t *testing.T) {
	for _, field := range []string{"List-Id: <l.example>", "Precedence: bulk", "AUTO-SUBMITTED: auto-generated"} {
		d := newDesk()
		d.texts[4711] = field + "\n" + original
		work(t, d, func(hand func(queue.Report)) {
			r := late()
			r.Envelope.Recipients[2].Notify = mail.NotifyDelay
			hand(r)
			hand(late())
		})
		want := []fact.Change{{ID: 4711, Fact: fact.Warned{DSN: firstID, Rcpts: []int{2}, Age: 4 * time.Hour}},
			{ID: 4711, Fact: fact.Warned{Rcpts: []int{1}, Age: 4 * time.Hour}}}
		if len(d.begotten) != 1 || !reflect.DeepEqual(d.begotten[0].changes, want) {
			t.Errorf("%s: %+v, want one who has asked to be warned: %+v", field, d.begotten, want)
		}
		want = []fact.Change{{ID: 4711, Fact: fact.Warned{Rcpts: []int{1, 2}, Age: 4 * time.Hour}}}
		if !reflect.DeepEqual(d.decided, want) {
			t.Errorf("%s: decided %+v, want %+v", field, d.decided, want)
		}
	}
}

// A warning that nobody takes is not tried for ever.
func TestWarningThatIsRefused(t *testing.T) {
	d := newDesk()
	d.begetFails = func() error { return module.Reject(5, 1, 1, "account unknown") }
	work(t, d, func(hand func(queue.Report)) { hand(late()) })
	want := []fact.Change{{ID: 4711, Fact: fact.Warned{Rcpts: []int{1, 2}, Age: 4 * time.Hour}}}
	if !reflect.DeepEqual(d.decided, want) || len(d.returned) != 1 {
		t.Errorf("decided %+v, returned %v; want %+v and the message back", d.decided, d.returned, want)
	}
}

// postmaster is a desk whose failed reports go to that.
func postmaster(t *testing.T) *desk {
	d := newDesk()
	d.settings = dequeuer.Defaults()
	d.settings.FailedReports = "postmaster@here.example"
	if err := d.settings.Validate(); err != nil {
		t.Fatal(err)
	}
	return d
}

// orphan is a report that a report has failed.
func orphan(source mail.Source, done queue.Done) queue.Report {
	r := about(true, done)
	r.Envelope.ReturnPath, r.Envelope.Source, r.Envelope.Recipients = mail.Address{}, source, r.Envelope.Recipients[:1]
	r.Done[0].Wanted = false
	return r
}

// A report that fails goes to the postmaster or, without one, to nobody, and is counted;
// and there is no report about that one.
func TestFailedReports(t *testing.T) {
	gone := []fact.Change{{ID: 4711, Fact: fact.Reported{DSN: firstID, Rcpts: []int{0}}}, {ID: 4711, Fact: fact.Gone{}}}
	byPerson := failed(0)
	byPerson.Person = true
	his := orphan(mail.DSN, failed(0))
	his.Envelope.Recipients[0].Address = address("postmaster@HERE.example")
	never := orphan(mail.SMTP, failed(0))
	never.Envelope.Recipients[0].Notify = mail.NotifyNever
	for name, tt := range map[string]struct {
		desk           *desk
		report         queue.Report
		moved, dropped int64
	}{
		"dropped":                 {newDesk(), orphan(mail.DSN, failed(0)), 0, 1},
		"to the postmaster":       {postmaster(t), orphan(mail.DSN, failed(0)), 1, 0},
		"of somebody else":        {postmaster(t), orphan(mail.SMTP, failed(0)), 1, 0},
		"of one who wants none":   {postmaster(t), never, 0, 0},
		"that was the postmaster": {postmaster(t), his, 0, 1},
		"rejected by a person":    {postmaster(t), orphan(mail.DSN, byPerson), 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			d := tt.desk
			work(t, d, func(hand func(queue.Report)) { hand(tt.report) })
			moved, dropped := d.stats.Counter("dequeuerFailedReportsMoved").Value(), d.stats.Counter("dequeuerFailedReportsDropped").Value()
			if moved != tt.moved || dropped != tt.dropped {
				t.Errorf("%d moved, %d dropped; want %d, %d", moved, dropped, tt.moved, tt.dropped)
			}
			if tt.moved == 0 {
				if len(d.begotten) > 0 || len(d.gone) != 1 {
					t.Errorf("%d reports, gone %v; want the message gone", len(d.begotten), d.gone)
				}
				return
			}
			if len(d.begotten) != 1 || len(d.gone) > 0 || !reflect.DeepEqual(d.begotten[0].changes, gone) {
				t.Fatalf("%+v, gone %v; want one report that means %+v", d.begotten, d.gone, gone)
			}
			env := d.begotten[0].env
			if !env.ReturnPath.IsZero() || len(env.Recipients) != 1 || env.Recipients[0].Address.String() != "postmaster@here.example" {
				t.Errorf("its envelope is %+v", env)
			}
			if p := parse(t, d.begotten[0].text); len(p.rcpts) != 1 || p.rcpts[0].Get("Action") != "failed" {
				t.Errorf("it reports %+v", p.rcpts)
			}
		})
	}
}

// A report that the Router refuses goes to the postmaster, too; when not even he can have
// it, it is dropped.
func TestReportThatIsRefusedGoesToThePostmaster(t *testing.T) {
	for _, both := range []bool{false, true} {
		d := postmaster(t)
		n := 0
		d.begetFails = func() error {
			if n++; n == 1 || both {
				return module.Reject(5, 1, 1, "account unknown")
			}
			return nil
		}
		work(t, d, func(hand func(queue.Report)) { hand(about(true, failed(0))) })
		switch {
		case both && (len(d.begotten) > 0 || len(d.decided) != 2 || d.stats.Counter("dequeuerFailedReportsDropped").Value() != 1):
			t.Errorf("%d reports, decided %+v; want it dropped", len(d.begotten), d.decided)
		case !both && (len(d.begotten) != 1 || d.begotten[0].env.Recipients[0].Address.Local != "postmaster" ||
			d.stats.Counter("dequeuerFailedReportsMoved").Value() != 1):
			t.Errorf("%+v; want one report, to the postmaster", d.begotten)
		}
	}
}

// What cannot be written for now is tried again, also on the way to the postmaster.
func TestFailedReportIsTriedAgain(t *testing.T) {
	d := postmaster(t)
	d.begetFails = func() error { return module.Reject(4, 2, 1, "busy") }
	work(t, d, func(hand func(queue.Report)) { hand(orphan(mail.DSN, failed(0))) })
	if len(d.returned) != 1 || d.returned[0].at.IsZero() || len(d.gone)+len(d.decided) > 0 {
		t.Errorf("returned %v, gone %v; want it back for later", d.returned, d.gone)
	}
}

func TestSettingsOfWarnings(t *testing.T) {
	for _, tt := range []struct {
		after time.Duration
		n     int
		to    string
		want  string
	}{
		{time.Hour, 2, "", ""}, {0, 0, "postmaster@x.example", ""}, {time.Hour, 11, "", "send_warnings_after: 11 ages"},
		{time.Millisecond, 1, "", "send_warnings_after: 1ms is not between"}, {31 * 24 * time.Hour, 1, "", "send_warnings_after: "},
		{time.Hour, 1, "post master", "failed_reports_to: "},
	} {
		s := dequeuer.Defaults()
		s.WarnAfter, s.FailedReports = nil, tt.to
		for range tt.n {
			s.WarnAfter = append(s.WarnAfter, settings.Duration(tt.after))
		}
		err := s.Validate()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.want)) {
			t.Errorf("%+v: %v, want %q", tt, err, tt.want)
		}
	}
}

// What a report tells people is chosen by the message, and by why it has failed.
func TestWordsOfAReport(t *testing.T) {
	d := newDesk()
	d.class, d.words = "full", dsn.File{Language: "en", OfSender: true}
	d.texts[4711] = "Content-Language: de-CH\n" + original
	work(t, d, func(hand func(queue.Report)) { hand(about(true, failed(0))) })
	p := parse(t, d.begotten[0].text)
	if !strings.HasPrefix(p.Get("Subject"), "Unzustellbar: ") || !strings.Contains(p.text, "Nicht zustellbar an '<bob@example.com>'") ||
		!strings.Contains(p.text, "Das Postfach ist voll.") {
		t.Errorf("Subject: %s, %q", p.Get("Subject"), p.text)
	}
}
