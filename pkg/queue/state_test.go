package queue

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"cgq/pkg/fact"
	"cgq/pkg/mail"
	"cgq/pkg/selection"
)

var limits = Limits{Channels: 3, QueueChannels: 2}

var epoch = time.Unix(1_700_000_000, 0)

func envelope(rcpts int) *mail.Envelope {
	e := &mail.Envelope{ReturnPath: mail.Address{Local: "s", Domain: "a.example"}, Submitted: epoch}
	for i := range rcpts {
		e.Recipients = append(e.Recipients, mail.Recipient{Address: mail.Address{Local: fmt.Sprint("r", i), Domain: "b.example"}})
	}
	return e
}

// add puts a message with one recipient into each of the host queues named.
func add(s *State, id mail.ID, queues ...string) {
	s.Add(Message{ID: id, Envelope: envelope(len(queues)), Size: 100})
	for i, q := range queues {
		s.Apply(id, fact.Routed{Rcpt: i, Module: "SMTP", Queue: q})
	}
}

func sel(t rapid.TB, terms selection.Terms) *selection.Selection {
	t.Helper()
	s, err := selection.Compile(terms)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// check holds the State to what its fields promise of each other.
func (s *State) check(t *rapid.T) {
	entries, keeps := map[*host]int{}, map[*host]int{}
	trash, alone := 0, 0
	for id, m := range s.messages.All() {
		left, trashes := int32(0), int32(0)
		open, idle, kept := map[*entry]int32{}, map[*entry]int32{}, map[*entry]int32{}
		for i := range m.rcpts {
			r := &m.rcpts[i]
			if r.is(trashed) {
				trashes++
				if !r.is(done) {
					t.Fatalf("message %d: recipient %d is in the trash and not done", id, i)
				}
			}
			if !r.is(done) {
				left++
				open[r.entry]++
				if !r.is(leased) {
					idle[r.entry]++
				}
				if r.is(held) {
					kept[r.entry]++
				}
				if got, want := r.is(held), s.holding(m, i); got != want {
					t.Fatalf("message %d: recipient %d is held: %v, want %v", id, i, got, want)
				}
			}
		}
		if left != m.left || trashes != m.trashed {
			t.Fatalf("message %d: left is %d, trashed %d; want %d, %d", id, m.left, m.trashed, left, trashes)
		}
		trash += int(trashes)
		if left == 0 && trashes > 0 {
			alone++
		}
		for e, n := range open {
			entries[e.host]++
			if e.isHeld() {
				keeps[e.host]++
			}
			chain := int32(0)
			for i, r := range e.recipients {
				if !r.is(done) {
					chain++
				}
				if i < int(e.first()) || i > int(e.tail) {
					t.Fatalf("message %d in %v: recipient %d is not between %d and %d", id, e.host.key, i, e.first(), e.tail)
				}
			}
			if e.open != n || e.idle != idle[e] || e.kept != kept[e] || chain != n {
				t.Fatalf("message %d in %v: open is %d, idle %d, kept %d, in the chain %d; want %d, %d, %d",
					id, e.host.key, e.open, e.idle, e.kept, chain, n, idle[e], kept[e])
			}
		}
	}
	for _, b := range s.trash.batches {
		n := 0
		for _, rcpts := range b.rows.All() {
			n += len(rcpts)
		}
		if n != b.n {
			t.Fatalf("a batch has %d rows, want %d", b.n, n)
		}
		trash -= n
	}
	if trash != 0 || alone != s.trash.messages {
		t.Fatalf("%d rows more in the trash than in its batches; %d messages alone, want %d", trash, s.trash.messages, alone)
	}
	for k, h := range s.hosts {
		n, rcpts, bytes := 0, 0, int64(0)
		for e := h.head; e != nil; e = e.next {
			n, rcpts, bytes = n+1, rcpts+int(e.open), bytes+e.msg.size
			if e.next != nil && e.next.msg.id < e.msg.id || e.next == nil && h.tail != e {
				t.Fatalf("%v: message %d is not in its order", k, e.msg.id)
			}
		}
		valid := 0
		for i, e := range h.line {
			if e == nil {
				continue
			}
			if valid++; e.place != ready || uint32(e.index) != h.began+uint32(i) {
				t.Fatalf("%v: message %d does not know its place in the line", k, e.msg.id)
			}
		}
		if h.held != keeps[h] {
			t.Fatalf("%v: held is %d, want %d", k, h.held, keeps[h])
		}
		if n != h.entries || n != entries[h] || rcpts != h.rcpts || bytes != h.bytes || valid != h.ready {
			t.Fatalf("%v: entries %d, rcpts %d, bytes %d, ready %d; want %d (%d), %d, %d, %d",
				k, h.entries, h.rcpts, h.bytes, h.ready, n, entries[h], rcpts, bytes, valid)
		}
	}
	for name, m := range s.modules {
		turns, workers := 0, 0
		for _, l := range m.line {
			if l.number == l.h.ticket && l.h.place == ready {
				turns++
			}
		}
		for _, h := range s.hosts {
			if h.module == m {
				workers += h.workers
			}
		}
		if turns != m.ready || workers != m.workers || m.workers > m.limits.Channels {
			t.Fatalf("%s: ready %d, workers %d; want %d, %d, and %d at most", name, m.ready, m.workers, turns, workers, m.limits.Channels)
		}
	}
}

// drain does what modules do, as long as they are given anything, and returns the
// rows that it was given.
func drain(t *rapid.T, s *State, now time.Time) (got []Row) {
	for {
		k, _, ok := s.Take("SMTP", now)
		if !ok {
			return got
		}
		for l, ok := s.Lease(k, now); ok; l, ok = s.Lease(k, now) {
			for _, r := range l.Rcpts {
				row := Row{l.ID, r}
				if slices.Contains(got, row) {
					t.Fatalf("%v was given out twice", row)
				}
				got = append(got, row)
				s.Apply(l.ID, fact.Settled{Rcpt: r, At: now, Result: mail.Result{Action: mail.Relayed}})
			}
			s.Return(l)
		}
		s.Release(k)
	}
}

// Whatever happens, in whatever order: every recipient is in exactly one place, and
// when all leases have ended and all delays are over, each that is not done is handed
// out, once. And replaying the facts leaves the same recipients.
func TestNothingIsForgottenAndNothingIsGivenTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, now := New(), epoch
		s.SetLimits("SMTP", limits)
		type change struct {
			id mail.ID
			f  fact.Fact
		}
		var history []change
		added := map[mail.ID]int{}
		do := func(id mail.ID, f fact.Fact) { history = append(history, change{id, f}); s.Apply(id, f) }
		var leases []Lease
		var taken []Key
		var rows []Row
		acts := uint64(0)
		next := mail.ID(0)
		until := func() time.Time {
			return now.Add(time.Duration(rapid.IntRange(-1, 3).Draw(t, "minutes")) * time.Minute)
		}
		anyID := func() mail.ID { return mail.ID(rapid.IntRange(0, int(next)).Draw(t, "id")) } // 0: none
		host := rapid.SampledFrom([]string{"a", "b", "c"})
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				step := rapid.IntRange(-3, 4).Draw(t, "step") // a start finds old ones late
				id := mail.ID(max(0, int(next)+step))
				if id == 0 || added[id] > 0 {
					return
				}
				next = max(next, id)
				n := rapid.IntRange(1, 3).Draw(t, "recipients")
				added[id] = n
				s.Add(Message{ID: id, Envelope: envelope(n), Size: 10})
				for i := range n {
					do(id, fact.Routed{Rcpt: i, Module: "SMTP", Queue: host.Draw(t, "host")})
				}
			},
			"list": func(t *rapid.T) {
				all, _, _ := s.after(nil, 0, 1000)
				if len(all) != s.Len()+s.trash.messages || !slices.IsSortedFunc(all, func(a, b *message) int { return cmp.Compare(a.id, b.id) }) {
					t.Fatalf("%d messages listed of %d, or not in order", len(all), s.Len())
				}
			},
			"take": func(t *rapid.T) {
				if k, _, ok := s.Take("SMTP", now); ok {
					taken = append(taken, k)
				}
			},
			"lease": func(t *rapid.T) {
				if len(taken) == 0 {
					return
				}
				if l, ok := s.Lease(rapid.SampledFrom(taken).Draw(t, "taken"), now); ok {
					leases = append(leases, l)
				}
			},
			"say": func(t *rapid.T) {
				if len(leases) == 0 {
					return
				}
				l := rapid.SampledFrom(leases).Draw(t, "lease")
				r := rapid.SampledFrom(l.Rcpts).Draw(t, "rcpt")
				switch rapid.IntRange(0, 3).Draw(t, "what") {
				case 0:
					do(l.ID, fact.Settled{Rcpt: r, At: now, Result: mail.Result{Action: mail.Failed}})
				case 1:
					do(l.ID, fact.Tried{Rcpt: r, At: now, Attempts: 1, Until: until()})
				case 2:
					do(l.ID, fact.Suspended{Module: l.Module, Queue: l.Queue, At: now, Attempts: 1, Until: until()})
				case 3:
					s.Delay(fact.Delay{Module: l.Module, Queue: l.Queue, At: now, Attempts: 1, Until: until()})
				}
			},
			"return": func(t *rapid.T) {
				if len(leases) > 0 {
					i := rapid.IntRange(0, len(leases)-1).Draw(t, "lease")
					s.Return(leases[i])
					leases = slices.Delete(leases, i, i+1)
				}
			},
			"release": func(t *rapid.T) {
				if len(taken) > 0 {
					i := rapid.IntRange(0, len(taken)-1).Draw(t, "taken")
					s.Release(taken[i])
					taken = slices.Delete(taken, i, i+1)
				}
			},
			"act": func(t *rapid.T) {
				c, err := s.LeaseRows(sel(t, selection.Terms{Queue: []string{host.Draw(t, "host")}}), 0, 100, -1, now)
				if err != nil {
					t.Fatal(err)
				}
				rows = append(rows, c.Free...)
			},
			"acted": func(t *rapid.T) {
				acts++
				for _, r := range rows {
					switch rapid.IntRange(0, 4).Draw(t, "what") {
					case 0:
						do(r.ID, fact.Rejected{Rcpt: r.Rcpt, At: now, Act: acts})
					case 1:
						do(r.ID, fact.Rejected{Rcpt: r.Rcpt, At: now, Report: true, Act: acts})
					case 2:
						do(r.ID, fact.Freed{Rcpt: r.Rcpt})
					case 3:
						do(r.ID, fact.Rerouted{Rcpt: r.Rcpt, Module: "SMTP", Queue: host.Draw(t, "to")})
					}
					s.ReturnRow(r)
				}
				rows = nil
			},
			"empty": func(t *rapid.T) {
				act := rapid.Uint64Range(0, acts).Draw(t, "act")
				undo := rapid.Bool().Draw(t, "undo")
				for _, row := range s.trashed(act) {
					if undo {
						do(row.ID, fact.Undone{Rcpt: row.Rcpt, Act: act})
					} else {
						do(row.ID, fact.Purged{Rcpt: row.Rcpt, Act: act})
					}
				}
				if s.trashed(act) != nil {
					t.Fatalf("batch %d is not empty", act)
				}
			},
			"hold": func(t *rapid.T) {
				acts++
				h := Hold{Number: acts, Lasts: rapid.Bool().Draw(t, "lasts"), Selection: sel(t, selection.Terms{Queue: []string{host.Draw(t, "host")}})}
				s.Hold(h)
				if !h.Lasts {
					if id := anyID(); added[id] > 0 {
						s.Apply(id, fact.Held{Rcpt: 0, Hold: h.Number})
					}
				}
				s.HoldSome(0, 1000)
			},
			"unhold": func(t *rapid.T) {
				s.Unhold(rapid.Uint64Range(0, acts).Draw(t, "act"))
				s.HoldSome(0, 1000)
			},
			"jump": func(t *rapid.T) {
				by := time.Duration(rapid.IntRange(-24, 24).Draw(t, "hours")) * time.Hour
				s.Jump(by)
				now = now.Add(by)
			},
			"gone": func(t *rapid.T) {
				if id := anyID(); added[id] > 0 {
					do(id, fact.Gone{})
				}
			},
			"later": func(t *rapid.T) { now = now.Add(time.Minute) },
			"pause": func(t *rapid.T) { s.Pause(Key{"SMTP", host.Draw(t, "host")}, anyID(), until()) },
			"":      s.check,
		})
		for _, l := range leases {
			s.Return(l)
		}
		for _, k := range taken {
			s.Release(k)
		}
		for _, r := range rows {
			s.ReturnRow(r)
		}
		for _, h := range s.Holds() {
			s.Unhold(h.Number)
		}
		s.HoldSome(0, 1000)
		again := New()
		for id, n := range added {
			again.Add(Message{ID: id, Envelope: envelope(n), Size: 10})
		}
		for _, c := range history {
			again.Apply(c.id, c.f)
		}
		want := map[Row]bool{}
		for id, m := range s.messages.All() {
			if twin := again.message(id); twin.left != m.left || twin.trashed != m.trashed {
				t.Fatalf("message %d: %d recipients left, %d in the trash; %d, %d when replayed", id, m.left, m.trashed, twin.left, twin.trashed)
			}
			for i := range m.rcpts {
				if !m.rcpts[i].is(done) {
					want[Row{id, i}] = true
				}
			}
		}
		for _, row := range drain(t, s, now.Add(time.Hour)) {
			if !want[row] {
				t.Fatalf("%v was given out and is not in the queue", row)
			}
			delete(want, row)
		}
		if len(want) > 0 {
			t.Fatalf("never given out: %v", want)
		}
		s.check(t)
	})
}

func TestWorkersComeAsTheLineGrows(t *testing.T) {
	for _, tt := range []struct {
		messages, want int
		answered       bool
		failed         bool // the last attempt
	}{{1, 1, true, false}, {9, 1, true, false}, {10, 2, true, false}, {100, 2, true, false}, {100, 1, true, true}, {100, 1, false, false}} {
		s := New()
		s.SetLimits("SMTP", limits)
		for id := range mail.ID(tt.messages) {
			add(s, id+1, "a")
		}
		if tt.answered && !s.Answered(Key{"SMTP", "a"}) {
			t.Error("that a host has answered is no news")
		}
		if tt.failed {
			s.Delay(fact.Delay{Module: "SMTP", Queue: "a", Attempts: 1, Until: epoch})
		}
		got := 0
		for _, _, ok := s.Take("SMTP", epoch); ok; _, _, ok = s.Take("SMTP", epoch) {
			got++
		}
		if got != tt.want {
			t.Errorf("%+v: %d workers", tt, got)
		}
	}
}

// A host queue with a hundred thousand messages gets one turn, like the others.
func TestLongQueuesDoNotStarveShortOnes(t *testing.T) {
	s := New()
	s.SetLimits("SMTP", Limits{Channels: 1, QueueChannels: 1})
	for id := range mail.ID(100) {
		add(s, id+1, "long")
	}
	add(s, 101, "short")
	k, _, _ := s.Take("SMTP", epoch)
	if k.Queue != "long" || !s.Crowded("SMTP") {
		t.Fatalf("Take = %v, crowded %v; want long first, and that another waits", k, s.Crowded("SMTP"))
	}
	l, _ := s.Lease(k, epoch)
	s.Apply(l.ID, fact.Settled{Rcpt: 0})
	s.Return(l)
	s.Release(k)
	if k, _, _ = s.Take("SMTP", epoch); k.Queue != "short" {
		t.Errorf("then %v, want short", k)
	}
}

func TestDelayOfAHostIsOneRecord(t *testing.T) {
	s := New()
	s.SetLimits("SMTP", limits)
	add(s, 1, "a")
	add(s, 2, "a")
	at := epoch.Add(time.Hour)
	s.Delay(fact.Delay{Module: "SMTP", Queue: "a", Attempts: 3, Until: at})
	if _, _, ok := s.Take("SMTP", at.Add(-1)); ok {
		t.Error("taken before its time")
	}
	if wake, any := s.Wake(); !any || !wake.Equal(at) {
		t.Errorf("Wake = %v, %v; want %v", wake, any, at)
	}
	if _, _, ok := s.Take("SMTP", at); !ok {
		t.Error("not taken at its time")
	}
	s.Release(Key{"SMTP", "a"})
	for id := mail.ID(1); id <= 2; id++ {
		s.Apply(id, fact.Gone{})
	}
	if d, ok := s.Delayed(Key{"SMTP", "a"}); !ok || d.Attempts != 3 {
		t.Errorf("an empty queue has forgotten its delay: %v, %v", d, ok)
	}
	if _, idle, _ := s.Take("SMTP", at.Add(time.Hour)); len(idle) != 1 {
		t.Errorf("idle = %v, want the queue: its delay may go", idle)
	}
	s.Delay(fact.Delay{Module: "SMTP", Queue: "a"})
	if len(s.Hosts()) != 0 {
		t.Errorf("hosts %v, want none", s.Hosts())
	}
}

func TestHeldMessagesStay(t *testing.T) {
	s := New()
	s.SetLimits("SMTP", limits)
	s.Add(Message{ID: 1, Envelope: envelope(1), Hold: "damaged"})
	s.Apply(1, fact.Routed{Module: "SMTP", Queue: "a"})
	if k, _, ok := s.Take("SMTP", epoch.Add(1000*time.Hour)); ok {
		t.Errorf("Take = %v, want none", k)
	}
	v, _ := s.Host(Key{"SMTP", "a"}, epoch)
	m, _ := s.Message(1, epoch)
	if v.Status() != Held || m.Recipients[0].Status != Held {
		t.Errorf("host %v, recipient %v; want both Held", v.Status(), m.Recipients[0].Status)
	}
}

// Senders that commit together come in any order: each finds its place from the tail, not
// from where a start has left off, however long the queue is.
func TestLateOnesArePlacedFromTheTail(t *testing.T) {
	s := New()
	const senders = 128
	var ids []mail.ID
	for group := range mail.ID(50) {
		for i := range mail.ID(senders) {
			ids = append(ids, 1000+group*senders+(i*37)%senders)
		}
	}
	add(s, ids[0], "b.example")
	h := s.hosts[Key{Module: "SMTP", Queue: "b.example"}]
	cheap := func(id mail.ID, most int) {
		t.Helper()
		if _, steps := h.before(id); steps > most {
			t.Errorf("%d steps to the place of message %d among %d, want %d at most", steps, id, h.entries, most)
		}
		add(s, id, "b.example")
	}
	for _, id := range ids[1:] {
		cheap(id, senders)
	}
	for id := range mail.ID(100) { // a start finds these
		cheap(100+id, 2)
	}
	var got []mail.ID
	for e := h.head; e != nil; e = e.next {
		got = append(got, e.msg.id)
	}
	if !slices.IsSorted(got) || len(got) != len(ids)+100 {
		t.Errorf("%d entries, in order: %v", len(got), slices.IsSorted(got))
	}
}
