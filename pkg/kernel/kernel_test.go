package kernel_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"cgq/pkg/fact"
	"cgq/pkg/journal"
	"cgq/pkg/kernel"
	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/queue"
	"cgq/pkg/selection"
	"cgq/pkg/spool"
)

func sel(t *testing.T, terms selection.Terms) *selection.Selection {
	t.Helper()
	s, err := selection.Compile(terms)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A memLedger writes down what it is told. Wait asks gate, if there is one.
type memLedger struct {
	mu    sync.Mutex
	n     journal.Number
	said  []string
	stood map[string]string
	gate  chan error
	fault error // of every write
	full  error // of every Reserve
	rooms int   // reserved frames that were not given back
}

// A memRoom counts what was reserved.
type memRoom struct {
	*memLedger
	frames int
}

func (l *memLedger) Reserve(frames int) (spool.Room, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.full != nil {
		return nil, l.full
	}
	l.rooms += frames
	return &memRoom{l, frames}, nil
}

func (r *memRoom) Release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rooms -= r.frames
}

func (l *memLedger) Append(changes ...fact.Change) (journal.Number, error) {
	return l.Act(changes, nil)
}

func (l *memLedger) Act(changes []fact.Change, stands []spool.Standing) (journal.Number, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault != nil {
		return 0, l.fault
	}
	for _, c := range changes {
		l.said = append(l.said, fmt.Sprintf("%d %s", c.ID, fact.Append(nil, c.Fact)))
	}
	for _, s := range stands {
		if l.stood == nil {
			l.stood = map[string]string{}
		}
		l.stood[s.Key] = s.Value
	}
	l.n++
	return l.n, nil
}

func (l *memLedger) Wait(journal.Number) error {
	if l.gate != nil {
		return <-l.gate
	}
	return nil
}

func (*memLedger) Open(mail.ID) (io.ReadSeekCloser, error) {
	return nil, errors.New("no text in this test")
}

// standing is the value that stands under a key.
func (l *memLedger) standing(key string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stood[key]
}

// lines is all that was written.
func (l *memLedger) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.said)
}

// count is how many facts of a kind were written.
func (l *memLedger) count(kind string) (n int) {
	for _, s := range l.lines() {
		if _, rest, _ := strings.Cut(s, " "); strings.HasPrefix(rest, kind) {
			n++
		}
	}
	return n
}

// A scripted module does what its function says, and notes when it was called.
type scripted struct {
	mu       sync.Mutex
	began    time.Time
	calls    []time.Duration
	settled  map[mail.ID]int
	transfer func(ctx context.Context, m *scripted, call int, q module.Queue)
}

func newScripted(f func(ctx context.Context, m *scripted, call int, q module.Queue)) *scripted {
	return &scripted{began: time.Now(), settled: map[mail.ID]int{}, transfer: f}
}

func (*scripted) Name() string { return "SMTP" }
func (*scripted) Claim(context.Context, mail.Address, bool) (module.Route, error) {
	return module.Route{}, module.ErrNotMine
}
func (m *scripted) Transfer(ctx context.Context, q module.Queue) {
	m.mu.Lock()
	m.calls = append(m.calls, time.Since(m.began))
	n := len(m.calls)
	m.mu.Unlock()
	m.transfer(ctx, m, n, q)
}

// done is how often a message, or, for 0, how many messages were settled.
func (m *scripted) done(id mail.ID) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if id == 0 {
		return len(m.settled)
	}
	return m.settled[id]
}

// called is when the module was called, from its beginning.
func (m *scripted) called() []time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.calls)
}

// relay settles everything.
func (m *scripted) relay(ctx context.Context, q module.Queue) {
	for t := range q.Due(ctx) {
		for i := range t.Recipients {
			t.Settle(i, mail.Result{Action: mail.Relayed, Text: "relayed"})
			m.mu.Lock()
			m.settled[t.ID]++
			m.mu.Unlock()
		}
	}
}

func plan(string) kernel.Plan {
	return kernel.Plan{Limits: queue.Limits{Channels: 10, QueueChannels: 1},
		Retry: []time.Duration{5 * time.Minute, 30 * time.Minute}, Expire: 24 * time.Hour}
}

func discard() kernel.Logs {
	l := slog.New(slog.DiscardHandler)
	return kernel.Logs{Queue: l, Dequeuer: l}
}

func envelope(rcpts int) *mail.Envelope {
	e := &mail.Envelope{ReturnPath: mail.Address{Local: "s", Domain: "a.example"}, Submitted: time.Now()}
	for i := range rcpts {
		e.Recipients = append(e.Recipients, mail.Recipient{Address: mail.Address{Local: fmt.Sprint("r", i), Domain: "b.example"}})
	}
	return e
}

// insert puts a message with one recipient into each queue named.
func insert(k *kernel.Kernel, id mail.ID, queues ...string) {
	var facts []fact.Fact
	for i, q := range queues {
		facts = append(facts, fact.Routed{Rcpt: i, Module: "SMTP", Queue: q})
	}
	k.Insert(queue.Message{ID: id, Envelope: envelope(len(queues))}, facts...)
}

// running runs a kernel with a module in a bubble, and stops it after f.
func running(t *testing.T, m *scripted, f func(k *kernel.Kernel, l *memLedger)) {
	t.Helper()
	filled(t, m, func(*kernel.Kernel) {}, f)
}

// filled is running of a kernel that has its first messages before the module works.
func filled(t *testing.T, m *scripted, fill func(*kernel.Kernel), f func(k *kernel.Kernel, l *memLedger)) {
	t.Helper()
	l := &memLedger{}
	k := kernel.New(l, plan, discard(), m)
	fill(k)
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { k.Run(ctx, nil, time.Minute) })
	f(k, l)
	cancel()
	run.Wait()
}

func TestDelayedQueueIsRetriedOnSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newScripted(func(ctx context.Context, m *scripted, call int, q module.Queue) {
			if call <= 3 {
				q.Delay(mail.Result{Text: "connection refused"})
				return
			}
			m.relay(ctx, q)
		})
		running(t, m, func(k *kernel.Kernel, l *memLedger) {
			for id := mail.ID(1); id <= 3; id++ {
				insert(k, id, "example.com")
			}
			time.Sleep(10 * time.Minute)
			if v, _ := k.Host(queue.Key{Module: "SMTP", Queue: "example.com"}); v.Attempts != 2 || v.LastError.Text != "connection refused" || v.Until.IsZero() {
				t.Errorf("after two attempts: %+v", v)
			}
			if stood := l.standing("delay SMTP example.com"); !strings.HasPrefix(stood, "delay SMTP example.com ") || l.count("") != 0 {
				t.Errorf("standing %q and %d facts, want one standing delay alone", stood, l.count(""))
			}
			time.Sleep(2 * time.Hour)
			if stood := l.standing("delay SMTP example.com"); stood != "" {
				t.Errorf("the delay still stands: %q", stood)
			}
		})
		want := []time.Duration{0, 5 * time.Minute, 35 * time.Minute, 65 * time.Minute}
		if !slices.Equal(m.calls, want) || len(m.settled) != 3 {
			t.Errorf("attempts at %v, settled %v; want %v and all three", m.calls, m.settled, want)
		}
	})
}

// What a peer has said is the same before a restart and after it: a fact cuts it at a rune.
func TestALongTextIsWhatItsFactKeeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		said := "a" + strings.Repeat("ä", fact.MaxText)
		m := newScripted(func(_ context.Context, _ *scripted, _ int, q module.Queue) { q.Delay(mail.Result{Text: said}) })
		running(t, m, func(k *kernel.Kernel, _ *memLedger) {
			insert(k, 1, "example.com")
			time.Sleep(time.Minute)
			v, _ := k.Host(queue.Key{Module: "SMTP", Queue: "example.com"})
			if got := v.LastError.Text; got != fact.Limit(said) || !utf8.ValidString(got) {
				t.Errorf("the last error is %q", got)
			}
		})
	})
}

// The three levels of the chapter: one recipient, one message, the queue.
func TestRecipientsAndMessagesAreDelayedAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newScripted(func(ctx context.Context, m *scripted, call int, q module.Queue) {
			if call > 1 {
				m.relay(ctx, q)
				return
			}
			for tr := range q.Due(ctx) {
				switch tr.ID {
				case 1:
					tr.Settle(0, mail.Result{Text: "mailbox busy"})
					tr.Settle(0, mail.Result{Action: mail.Failed, Text: "said twice"})
					tr.Settle(1, mail.Result{Action: mail.Relayed, Text: "relayed"})
				case 2:
					tr.Delay(mail.Result{Text: "greylisted", After: time.Now().Add(time.Minute)})
				case 3:
					tr.Settle(0, mail.Result{Action: mail.Failed, Text: "no such user"})
				}
			}
		})
		fill := func(k *kernel.Kernel) {
			insert(k, 1, "q", "q")
			insert(k, 2, "q", "q")
			insert(k, 3, "q")
		}
		filled(t, m, fill, func(k *kernel.Kernel, l *memLedger) {
			time.Sleep(time.Second)
			for id, want := range map[mail.ID][]queue.Status{1: {queue.Suspended}, 2: {queue.Suspended, queue.Suspended}, 3: nil} {
				v, _ := k.Message(id)
				var got []queue.Status
				for _, r := range v.Recipients {
					got = append(got, r.Status)
				}
				if !slices.Equal(got, want) {
					t.Errorf("message %d: %v, want %v", id, got, want)
				}
			}
			if l.count("tried") != 1 || l.count("suspended") != 1 || l.count("Settled") != 2 {
				t.Errorf("facts: %q", l.lines())
			}
			time.Sleep(time.Hour)
		})
		if want := []time.Duration{0, time.Minute, 5 * time.Minute}; !slices.Equal(m.calls, want) {
			t.Errorf("attempts at %v, want %v: the peer's time for one, the schedule's for the other", m.calls, want)
		}
	})
}

func TestLeaseEndsHoweverTheModuleLeaves(t *testing.T) {
	for _, leave := range []string{"break", "return", "panic", "ignore"} {
		t.Run(leave, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newScripted(func(ctx context.Context, m *scripted, call int, q module.Queue) {
					if call > 1 {
						m.relay(ctx, q)
						return
					}
					for range q.Due(ctx) {
						switch leave {
						case "break":
							return
						case "panic":
							panic("module bug")
						}
					}
				})
				running(t, m, func(k *kernel.Kernel, _ *memLedger) {
					for id := mail.ID(1); id <= 3; id++ {
						insert(k, id, "q")
					}
					time.Sleep(time.Hour)
				})
				if len(m.settled) != 3 || m.settled[1] != 1 || len(m.calls) > 5 {
					t.Errorf("settled %v in %d calls; want each of 1, 2, 3 once, and no spinning", m.settled, len(m.calls))
				}
			})
		})
	}
}

// Three panics in a row park the module, and not the server.
func TestModuleThatKeepsPanickingIsParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newScripted(func(context.Context, *scripted, int, module.Queue) { panic("always") })
		running(t, m, func(k *kernel.Kernel, _ *memLedger) {
			insert(k, 1, "q")
			time.Sleep(100 * time.Hour)
			if _, ok := k.Message(1); !ok || len(m.called()) != 3 {
				t.Errorf("called %d times, message there: %v; want three times, and there", len(m.called()), ok)
			}
		})
	})
}

// Age ends a recipient only after an attempt has failed past its limit, in each of
// the three ways to fail (SPOOL L9).
func TestTooOldFailsAfterItsLastAttempt(t *testing.T) {
	for _, level := range []string{"queue", "message", "recipient"} {
		t.Run(level, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newScripted(func(ctx context.Context, m *scripted, _ int, q module.Queue) {
					if level == "queue" {
						q.Delay(mail.Result{Text: "no route to host"})
						return
					}
					for tr := range q.Due(ctx) {
						if level == "message" {
							tr.Delay(mail.Result{Text: "no route to host"})
						} else {
							tr.Settle(0, mail.Result{Text: "no route to host"})
						}
					}
				})
				running(t, m, func(k *kernel.Kernel, l *memLedger) {
					insert(k, 1, "q")
					time.Sleep(24 * time.Hour)
					if l.count("Settled") != 0 {
						t.Error("failed before its time")
					}
					time.Sleep(time.Hour)
					said := l.lines()
					if l.count("Settled") != 1 || !strings.Contains(said[len(said)-1], "failed 4.4.7") ||
						!strings.Contains(said[len(said)-1], "no%20route") {
						t.Errorf("after a day and an hour: %q", said)
					}
				})
			})
		})
	}
}

// SPOOL L8: what is in progress when the server stops finishes; nothing new begins.
func TestStopFinishesWhatIsInProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newScripted(func(ctx context.Context, m *scripted, _ int, q module.Queue) {
			for tr := range q.Due(ctx) {
				time.Sleep(20 * time.Second)
				if ctx.Err() != nil {
					t.Error("cut short")
				}
				tr.Settle(0, mail.Result{Action: mail.Relayed})
				m.mu.Lock()
				m.settled[tr.ID]++
				m.mu.Unlock()
			}
		})
		running(t, m, func(k *kernel.Kernel, _ *memLedger) {
			insert(k, 1, "q")
			insert(k, 2, "q")
			time.Sleep(time.Second)
		})
		if len(m.settled) != 1 {
			t.Errorf("settled %v, want the first alone", m.settled)
		}
	})
}

func TestOutOfGraceIsCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newScripted(func(ctx context.Context, _ *scripted, _ int, q module.Queue) {
			for range q.Due(ctx) {
				<-ctx.Done()
			}
		})
		began := time.Now()
		running(t, m, func(k *kernel.Kernel, _ *memLedger) { insert(k, 1, "q"); time.Sleep(time.Second) })
		if got := time.Since(began); got != time.Minute+time.Second {
			t.Errorf("stopped after %v, want the grace of a minute", got)
		}
	})
}

// SPOOL E1: what cannot be recorded is not done any more, or a restart would repeat
// it all. A journal that is only full is another matter.
func TestBrokenJournalStopsTransfers(t *testing.T) {
	for _, tt := range []struct {
		fault error
		want  int
	}{{errors.New("input/output error"), 1}, {spool.ErrFull, 3}} {
		synctest.Test(t, func(t *testing.T) {
			m := newScripted(relayAll)
			running(t, m, func(k *kernel.Kernel, l *memLedger) {
				l.mu.Lock()
				l.fault = tt.fault
				l.mu.Unlock()
				for id := mail.ID(1); id <= 3; id++ {
					insert(k, id, "q")
				}
				time.Sleep(time.Hour)
			})
			if len(m.settled) != tt.want {
				t.Errorf("%v: %d transferred, want %d", tt.fault, len(m.settled), tt.want)
			}
		})
	}
}

// SPOOL E1: of what was written and did not become durable it is said what may repeat.
func TestWhatMayRepeatIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		l := &memLedger{gate: make(chan error)}
		log := slog.New(slog.NewTextHandler(&said, nil))
		k := kernel.New(l, plan, kernel.Logs{Queue: log, Dequeuer: slog.New(slog.DiscardHandler)}, newScripted(relayAll))
		for id := mail.ID(1); id <= 3; id++ {
			insert(k, id, "q")
		}
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { k.Run(ctx, nil, time.Minute) })
		time.Sleep(time.Second)
		l.gate <- errors.New("input/output error")
		synctest.Wait()
		insert(k, 4, "q")
		time.Sleep(time.Hour)
		cancel()
		close(l.gate)
		run.Wait()
		if !strings.Contains(said.String(), "a restart may repeat the transfer of [1] [2] [3]\"") {
			t.Errorf("it said\n%s", said.String())
		}
		if v, ok := k.Message(4); !ok || v.Recipients[0].Status != queue.Ready {
			t.Errorf("message 4: %+v, want it left alone", v)
		}
	})
}

// SPOOL J5: nothing is transferred that could not be recorded, and what was reserved
// is given back.
func TestNoRoomNoTransfer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newScripted(relayAll)
		running(t, m, func(k *kernel.Kernel, l *memLedger) {
			l.mu.Lock()
			l.full = spool.ErrFull
			l.mu.Unlock()
			insert(k, 1, "q", "q")
			insert(k, 2, "q")
			time.Sleep(time.Minute)
			if n := m.done(0); n != 0 || len(m.called()) > 130 {
				t.Errorf("%d transferred, %d calls of the module; want none, and one a second for each message", n, len(m.called()))
			}
			l.mu.Lock()
			l.full = nil
			l.mu.Unlock()
			time.Sleep(2 * time.Second)
			l.mu.Lock()
			defer l.mu.Unlock()
			if n := m.done(0); n != 2 || l.rooms != 0 {
				t.Errorf("%d transferred, %d frames still reserved; want both, and none", n, l.rooms)
			}
		})
	})
}

// SPOOL L9: the clock has jumped back by a year while the server was down: what waits, waits
// one step.
func TestNoDelayIsForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newScripted(relayAll)
		year := time.Now().Add(365 * 24 * time.Hour)
		fill := func(k *kernel.Kernel) {
			k.RestoreStanding(map[string]string{"delay SMTP c": string(fact.AppendDelay(nil, fact.Delay{Module: "SMTP", Queue: "c", At: year, Attempts: 1,
				Until: year})), "a later version's": "x"}, time.Now())
			for id, f := range map[mail.ID]fact.Fact{1: fact.Tried{At: year, Attempts: 1, Until: year},
				2: fact.Suspended{Module: "SMTP", Queue: "q", At: year, Attempts: 1, Until: year}, 3: nil} {
				name, facts := "q", []fact.Fact{fact.Routed{Module: "SMTP", Queue: "q"}, f}
				if f == nil {
					name, facts = "c", nil
				}
				k.Restore(queue.Message{ID: id, Envelope: envelope(1)}, facts, []fact.Routed{{Module: "SMTP", Queue: name}}, nil)
			}
		}
		filled(t, m, fill, func(*kernel.Kernel, *memLedger) {
			time.Sleep(29 * time.Minute)
			if n := m.done(0); n != 0 {
				t.Errorf("%d transferred before their time", n)
			}
			time.Sleep(2 * time.Minute)
			if n := m.done(0); n != 3 {
				t.Errorf("%d transferred after the longest step, want all 3", n)
			}
		})
	})
}
