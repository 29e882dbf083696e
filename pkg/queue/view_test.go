package queue

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"cgq/pkg/fact"
	"cgq/pkg/mail"
	"cgq/pkg/selection"
)

// The statuses of the chapter, word for word.
func TestStatuses(t *testing.T) {
	s := New()
	s.SetLimits("SMTP", limits)
	hour := epoch.Add(time.Hour)
	add(s, 1, "ready")
	add(s, 2, "delayed")
	s.Delay(fact.Delay{Module: "SMTP", Queue: "delayed", Attempts: 1, Until: hour, Result: mail.Result{Text: "no route"}})
	add(s, 3, "suspended")
	s.Apply(3, fact.Suspended{Module: "SMTP", Queue: "suspended", Attempts: 1, Until: hour, Result: mail.Result{Text: "greylisted"}})
	add(s, 4, "address")
	s.Apply(4, fact.Tried{Attempts: 1, Until: hour, Result: mail.Result{Text: "mailbox busy"}})
	add(s, 5, "processing")
	for k, _, ok := s.Take("SMTP", epoch); ok; k, _, ok = s.Take("SMTP", epoch) {
		if k.Queue == "processing" {
			s.Lease(k, epoch)
		}
	}
	for id, want := range map[mail.ID]string{1: "Ready", 2: "Delayed no route", 3: "Suspended greylisted",
		4: "Suspended mailbox busy", 5: "Processing"} {
		m, _ := s.Message(id, epoch)
		r := m.Recipients[0]
		got := r.Status.String()
		if r.LastError.Text != "" {
			got += " " + r.LastError.Text
		}
		if got != want {
			t.Errorf("message %d is %q, want %q", id, got, want)
		}
		if wait := r.Until.Equal(hour); wait != (id >= 2 && id <= 4) {
			t.Errorf("message %d: Retry In until %v", id, r.Until)
		}
	}
}

// The set listed is the set acted on, whatever is selected; and a list by slices
// has each message once.
func TestListedIsActedOn(t *testing.T) {
	s := New()
	s.SetLimits("SMTP", limits)
	for id := mail.ID(1); id <= 50; id++ {
		add(s, id, fmt.Sprint("q", id%3), fmt.Sprint("q", id%5))
	}
	s.Delay(fact.Delay{Module: "SMTP", Queue: "q0", Attempts: 1, Until: epoch.Add(time.Hour)})
	for _, terms := range []selection.Terms{
		{All: true}, {Queue: []string{"q1"}}, {Queue: []string{"q1", "q4"}, Module: []string{"SMTP"}},
		{Module: []string{"LOCAL"}}, {IDs: []mail.ID{7, 3, 7, 99}}, {State: []string{"delayed"}},
		{State: []string{"ready"}, IDs: []mail.ID{3, 6, 10}}, {Recipient: []string{"r1@*"}}, {Where: "id % 7 == 3 and rcpt contains 'r0'"},
	} {
		sel := sel(t, terms)
		listed := map[Row]bool{}
		for after, more := mail.ID(0), true; more; {
			var views []MessageView
			views, after, more, _ = s.Messages(sel, after, 7, epoch)
			for _, v := range views {
				for _, r := range v.Recipients {
					if listed[Row{v.ID, r.Index}] {
						t.Errorf("%+v: row %d/%d is listed twice", sel, v.ID, r.Index)
					}
					listed[Row{v.ID, r.Index}] = true
				}
			}
		}
		n := len(listed)
		for c := (Choice{More: true}); c.More; {
			c, _ = s.LeaseRows(sel, c.Last, 7, -1, epoch)
			for _, row := range c.Free {
				if !listed[row] {
					t.Errorf("%+v: %v is acted on and not listed", terms, row)
				}
				delete(listed, row)
				s.ReturnRow(row)
			}
		}
		if len(listed) > 0 || n == 0 && terms.Module == nil {
			t.Errorf("%+v: %d of %d rows are listed and not acted on", terms, len(listed), n)
		}
	}
}

// Whatever is selected, at any instant: who lists, who acts, who only looks what he would
// do, and who counts are about the same recipients; and two conditions select what each of
// them does.
func TestOneSelectionForAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, now := New(), epoch.Add(3*time.Hour)
		s.SetLimits("SMTP", limits)
		host := rapid.SampledFrom([]string{"a", "b", "c.example"})
		for id := mail.ID(1); id <= 30; id++ {
			n := rapid.IntRange(1, 3).Draw(t, "recipients")
			e := envelope(n)
			e.Submitted = epoch.Add(time.Duration(rapid.IntRange(0, 180).Draw(t, "minutes")) * time.Minute)
			s.Add(Message{ID: id, Envelope: e, Size: int64(rapid.IntRange(1, 3000).Draw(t, "size"))})
			for i := range n {
				s.Apply(id, fact.Routed{Rcpt: i, Module: "SMTP", Queue: host.Draw(t, "host")})
			}
			if rapid.Bool().Draw(t, "tried") {
				s.Apply(id, fact.Tried{Attempts: 1, Until: epoch.Add(4 * time.Hour), Result: mail.Result{Text: "greylisted"}})
			}
		}
		if rapid.Bool().Draw(t, "delayed") {
			s.Delay(fact.Delay{Module: "SMTP", Queue: "a", Attempts: 1, Until: epoch.Add(4 * time.Hour), Result: mail.Result{Text: "down"}})
		}
		one := map[string]selection.Terms{"queue": {Queue: []string{host.Draw(t, "queue")}}, "age": {Age: []string{">2h"}},
			"size": {Size: []string{"1k.."}}, "state": {State: []string{"suspended", "delayed"}}, "error": {Error: []string{"grey"}},
			"rcpt": {Recipient: []string{"r1@*"}}, "ids": {IDs: []mail.ID{2, 3, 5, 7, 11}}, "where": {Where: "attempts == 0"}}
		names := slices.Sorted(maps.Keys(one))
		a, b := one[rapid.SampledFrom(names).Draw(t, "one")], one[rapid.SampledFrom(names).Draw(t, "other")]
		rows := func(terms selection.Terms) map[Row]bool { return s.selected(t, sel(t, terms), now) }
		first, second, both := rows(a), rows(b), rows(and(a, b))
		for row := range first {
			if second[row] != both[row] {
				t.Fatalf("%+v and %+v: row %v is of both: %v, and selected: %v", a, b, row, second[row], both[row])
			}
		}
		for row := range both {
			if !first[row] {
				t.Fatalf("%+v and %+v: row %v is selected and not of the first", a, b, row)
			}
		}
	})
}

// and has the conditions of two terms, of which no field has two.
func and(a, b selection.Terms) selection.Terms {
	x, y := reflect.ValueOf(&a).Elem(), reflect.ValueOf(b)
	for i := range x.NumField() {
		if !y.Field(i).IsZero() {
			x.Field(i).Set(y.Field(i))
		}
	}
	return a
}

// selected are the rows of a selection, which all who ask have to agree on.
func (s *State) selected(t *rapid.T, sel *selection.Selection, now time.Time) map[Row]bool {
	listed, looked, counted := map[Row]bool{}, map[Row]bool{}, 0
	for after, more := mail.ID(0), true; more; {
		var views []MessageView
		var err error
		if views, after, more, err = s.Messages(sel, after, 7, now); err != nil {
			t.Fatal(err)
		}
		for _, v := range views {
			for _, r := range v.Recipients {
				listed[Row{v.ID, r.Index}] = true
			}
		}
	}
	for c := (Choice{More: true}); c.More; {
		var err error
		if c, err = s.Rows(sel, c.Last, 4, -1, now); err != nil {
			t.Fatal(err)
		}
		for _, row := range c.Free {
			looked[row] = true
		}
	}
	for after, more := mail.ID(0), true; more; {
		var err error
		if after, more, err = s.Each(sel, after, 9, now, func(selection.Subject, time.Duration) { counted++ }); err != nil {
			t.Fatal(err)
		}
	}
	for c := (Choice{More: true}); c.More; {
		c, _ = s.LeaseRows(sel, c.Last, 5, -1, now)
		for _, row := range c.Free {
			if !listed[row] || !looked[row] {
				t.Fatalf("%s: %v is acted on, listed: %v, looked at: %v", sel, row, listed[row], looked[row])
			}
			delete(looked, row)
			s.ReturnRow(row)
		}
	}
	if counted != len(listed) || len(looked) > 0 {
		t.Fatalf("%s: %d listed, %d counted, %v looked at and not acted on", sel, len(listed), counted, looked)
	}
	return listed
}

// An act on a limited number of messages is on the first, with all their rows; those that
// are in somebody's hands count.
func TestLimit(t *testing.T) {
	s := New()
	s.SetLimits("SMTP", limits)
	for id := mail.ID(1); id <= 5; id++ {
		add(s, id, "a", "b")
	}
	k, _, _ := s.Take("SMTP", epoch)
	s.Lease(k, epoch)
	c, err := s.LeaseRows(sel(t, selection.Terms{All: true}), 0, 10, 2, epoch)
	if err != nil || fmt.Sprint(c.Free) != "[{1 1} {2 0} {2 1}]" || fmt.Sprint(c.Busy) != "[{1 0}]" || c.Messages != 2 || c.More {
		t.Errorf("LeaseRows = %+v, %v", c, err)
	}
}

// An expression that cannot be computed takes nothing.
func TestNothingIsTakenAfterAnError(t *testing.T) {
	s := New()
	add(s, 1, "a")
	add(s, 2, "a")
	sel := sel(t, selection.Terms{Where: "id % (id - 2) >= 0"})
	if c, err := s.LeaseRows(sel, 0, 10, -1, epoch); err == nil {
		t.Errorf("LeaseRows = %+v, want an error", c)
	}
	if m, _ := s.Message(1, epoch); m.Recipients[0].Status != Ready {
		t.Errorf("message 1 is %v", m.Recipients[0].Status)
	}
	if _, _, _, err := s.Messages(sel, 0, 10, epoch); err == nil {
		t.Error("Messages has no error")
	}
}

func TestOlder(t *testing.T) {
	s := New()
	add(s, 1, "a", "a")
	late := envelope(1)
	late.Submitted = epoch.Add(time.Hour)
	s.Add(Message{ID: 2, Envelope: late})
	s.Apply(2, fact.Routed{Module: "SMTP", Queue: "a"})
	got := fmt.Sprint(s.Older(Key{"SMTP", "a"}, time.Hour, 10, epoch.Add(90*time.Minute)))
	if want := fmt.Sprint([]Old{{Row: Row{1, 0}}, {Row: Row{1, 1}}}); got != want {
		t.Errorf("Older = %s, want %s", got, want)
	}
}

// A host that greylists delays messages, never its queue: the list still says why.
func TestAHostQueueHasTheErrorOfItsOldestFailedMessage(t *testing.T) {
	s := New()
	s.SetLimits("SMTP", limits)
	hour := epoch.Add(time.Hour)
	add(s, 1, "a")
	add(s, 2, "a")
	add(s, 3, "a")
	s.Apply(2, fact.Tried{Attempts: 3, Until: hour, Result: mail.Result{Text: "greylisted"}})
	s.Apply(3, fact.Suspended{Module: "SMTP", Queue: "a", Attempts: 1, Until: hour, Result: mail.Result{Text: "too busy"}})
	v, _ := s.Host(Key{Module: "SMTP", Queue: "a"}, epoch)
	if v.OwnError.Text != "greylisted" || v.OwnTries != 3 || v.LastError.Text != "" {
		t.Errorf("own error %q after %d, the queue's %q; want greylisted after 3, and none", v.OwnError.Text, v.OwnTries, v.LastError.Text)
	}
	own := func() string {
		v, _ := s.Host(Key{Module: "SMTP", Queue: "a"}, epoch)
		return v.OwnError.Text
	}
	s.Apply(2, fact.Settled{At: epoch, Result: mail.Result{Action: mail.Failed}})
	if got := own(); got != "too busy" {
		t.Errorf("then %q, want too busy", got)
	}
	s.Apply(3, fact.Settled{At: epoch, Result: mail.Result{Action: mail.Relayed}})
	if got := own() + own(); got != "" {
		t.Errorf("then %q, want nothing", got)
	}
	s.Apply(1, fact.Tried{Attempts: 1, Until: hour, Result: mail.Result{Text: "greylisted again"}})
	if got := own(); got != "greylisted again" {
		t.Errorf("at last %q, want greylisted again", got)
	}
}

// Of very many recipients not all are looked at for an error of their own. One that is behind
// those is found as soon as these have gone, also if somebody has looked before.
func TestAnErrorBehindManyIsFoundLater(t *testing.T) {
	s := New()
	s.SetLimits("SMTP", limits)
	for id, rcpts := range map[mail.ID]int{1: ownLook - 4, 2: 10} {
		env := &mail.Envelope{Submitted: epoch}
		for i := range rcpts {
			env.Recipients = append(env.Recipients, mail.Recipient{Address: mail.Address{Local: fmt.Sprint("r", i), Domain: "a"}})
		}
		s.Add(Message{ID: id, Envelope: env})
		for i, r := range env.Recipients {
			s.Apply(id, fact.Routed{Rcpt: i, Module: "SMTP", Queue: "a", Address: r.Address})
		}
	}
	s.Apply(2, fact.Tried{Rcpt: 9, Attempts: 1, Until: epoch.Add(time.Hour), Result: mail.Result{Text: "greylisted"}})
	own := func() string {
		v, _ := s.Host(Key{Module: "SMTP", Queue: "a"}, epoch)
		return v.OwnError.Text
	}
	if got := own(); got != "" {
		t.Errorf("behind %d others %q is found", ownLook+5, got)
	}
	for i := range ownLook - 4 {
		s.Apply(1, fact.Settled{Rcpt: i, At: epoch, Result: mail.Result{Action: mail.Relayed}})
	}
	if got := own(); got != "greylisted" {
		t.Errorf("behind nine others %q is found, want greylisted", got)
	}
}
