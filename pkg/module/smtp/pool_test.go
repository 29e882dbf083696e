package smtp_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cgq/pkg/module/moduletest"
	"cgq/pkg/module/smtp"
)

// inBubble runs a test over pipes, and lets everything that sleeps end behind it.
func inBubble(t *testing.T, run func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		run(t)
		time.Sleep(24 * time.Hour)
		synctest.Wait()
	})
}

func piped(to *sink, edit func(*smtp.Send)) *sender {
	s := one(to, edit)
	s.pipe = true
	return s
}

func TestConnectionIsKeptForItsQueue(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		to := &sink{ext: pipelining}
		s := piped(to, nil)
		s.transfer(t, t.Context(), "example.com", letter("b@example.com"), letter("b@example.com"))
		time.Sleep(4 * time.Second)
		s.transfer(t, t.Context(), "example.com", letter("b@example.com"))
		if total, _ := to.connections(); total != 1 || len(to.received()) != 3 {
			t.Errorf("%d connections, %d messages; want 1, 3", total, len(to.received()))
		}
		if slices.Contains(to.heard(), "RSET") {
			t.Errorf("commands %q; a transaction that went well needs no RSET", to.heard())
		}
		time.Sleep(5*time.Second - 1)
		synctest.Wait()
		if slices.Contains(to.heard(), "QUIT") {
			t.Error("closed before keep_idle")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if !slices.Contains(to.heard(), "QUIT") {
			t.Error("not closed after keep_idle")
		}
		s.transfer(t, t.Context(), "example.com", letter("b@example.com"))
		if total, _ := to.connections(); total != 2 {
			t.Errorf("%d connections; want 2", total)
		}
	})
}

func TestStopClosesWhatWaits(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		to := &sink{ext: pipelining}
		ctx, cancel := context.WithCancel(t.Context())
		piped(to, nil).transfer(t, ctx, "example.com", letter("b@example.com"))
		cancel()
		synctest.Wait()
		if !slices.Contains(to.heard(), "QUIT") {
			t.Errorf("commands %q; want QUIT when the context ends", to.heard())
		}
	})
}

func TestNothingIsKept(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		to := &sink{ext: pipelining}
		piped(to, func(s *smtp.Send) { s.KeepIdle = 0 }).transfer(t, t.Context(), "example.com", letter("b@example.com"))
		if heard := to.heard(); heard[len(heard)-1] != "QUIT" {
			t.Errorf("commands %q; want QUIT at the end", heard)
		}
	})
}

func TestMessagesPerConnection(t *testing.T) {
	to := &sink{ext: pipelining}
	s := one(to, func(s *smtp.Send) { s.MessagesPerConnection = 2 })
	var msgs []*moduletest.Message
	for range 5 {
		msgs = append(msgs, letter("b@example.com"))
	}
	s.transfer(t, t.Context(), "example.com", msgs...)
	total, most := to.connections()
	if total != 3 || most != 1 || len(to.received()) != 5 {
		t.Errorf("%d connections, %d at once, %d messages; want 3, 1, 5", total, most, len(to.received()))
	}
}

// A server that closes kept connections costs nobody an attempt.
func TestKeptConnectionThatIsGone(t *testing.T) {
	for _, tt := range []struct{ name, command, reply string }{
		{"closed with a word", "MAIL", "421 4.4.2 idle for too long"},
		{"closed without", "MAIL", "drop"},
		{"closed at RCPT", "RCPT", "drop"},
		{"closed at DATA", "DATA", "421 enough"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			seen := 0
			to := &sink{ext: pipelining, answer: func(n int, c string) string {
				if n == 1 && strings.HasPrefix(c, tt.command) {
					if seen++; seen == 2 {
						return tt.reply
					}
				}
				return ""
			}}
			m, n := letter("b@example.com"), letter("b@example.com")
			q := one(to, nil).transfer(t, t.Context(), "example.com", m, n)
			if got := outcome(q, m, n); got != relayed+"; "+relayed {
				t.Errorf("%s; want both relayed", got)
			}
			if total, _ := to.connections(); total != 2 {
				t.Errorf("%d connections; want 2", total)
			}
		})
	}
	t.Run("closed while it waited", func(t *testing.T) {
		to := &sink{ext: pipelining}
		s := one(to, nil)
		s.transfer(t, t.Context(), "example.com", letter("b@example.com"))
		to.setBroken(true)
		to.setBroken(false)
		m := letter("b@example.com")
		q := s.transfer(t, t.Context(), "example.com", m)
		if got := outcome(q, m); got != relayed {
			t.Errorf("%s; want %s", got, relayed)
		}
	})
}

// transferAll runs transfers of n queues with the names given, at the same time.
func (s *sender) transferAll(t *testing.T, names []string, each int) {
	var wg sync.WaitGroup
	for i, name := range names {
		var msgs []*moduletest.Message
		for range each {
			msgs = append(msgs, letter(fmt.Sprintf("b%d@example.com", i)))
		}
		wg.Go(func() {
			q := s.transfer(t, t.Context(), name, msgs...)
			if got := outcome(q, msgs...); strings.Count(got, "relayed via") != each {
				t.Errorf("%s: %s; want all relayed", name, got)
			}
		})
	}
	wg.Wait()
}

func TestChannels(t *testing.T) {
	same := []string{"example.com", "example.com", "example.com", "example.com", "example.com", "example.com"}
	mixed := []string{"example.com", "mx1.example.com", "[192.0.2.1]", "example.com", "mx1.example.com", "[192.0.2.1]"}
	for _, tt := range []struct {
		name  string
		names []string
		edit  func(*smtp.Send)
		most  int
	}{
		{"of a queue", same, func(s *smtp.Send) { s.QueueChannels = 2 }, 2},
		{"of all", mixed, func(s *smtp.Send) { s.Channels = 2 }, 2},
		{"one for all", mixed, func(s *smtp.Send) { s.Channels = 1 }, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			to := &sink{ext: pipelining}
			one(to, tt.edit).transferAll(t, tt.names, 10)
			if _, most := to.connections(); most > tt.most || len(to.received()) != 10*len(tt.names) {
				t.Errorf("%d connections at once, %d messages; want %d, %d", most, len(to.received()), tt.most, 10*len(tt.names))
			}
		})
	}
}

func TestWaitForAChannelEndsWithContext(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		to := &sink{ext: pipelining, answer: func(_ int, c string) string {
			if c == "." {
				time.Sleep(time.Minute)
			}
			return ""
		}}
		s := piped(to, func(s *smtp.Send) { s.Channels = 1 })
		first, second := letter("b@example.com"), letter("b@example.com")
		go s.transfer(t, t.Context(), "example.com", first)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		q := s.transfer(t, ctx, "mx1.example.com", second)
		if got := outcome(q, second); got != "-" {
			t.Errorf("%s; want it left alone", got)
		}
	})
}

func TestTimeouts(t *testing.T) {
	const broken, late = "queue 4.4.2 connection with mx1.example.com is broken: time-out",
		twice + "time-out"
	for _, tt := range []struct {
		command, want string
		after         time.Duration
	}{
		{"connect", "queue 4.4.1 no connection with mx2.example.com 192.0.2.2:25: connection refused", 5 * time.Minute},
		{"EHLO", "queue 4.4.1 no connection with mx2.example.com 192.0.2.2:25: connection refused", 5 * time.Minute},
		{"MAIL", broken, 5 * time.Minute},
		{"RCPT", broken, 5 * time.Minute},
		{"DATA", broken, 5 * time.Minute},
		{".", late, 10 * time.Minute},
	} {
		t.Run(tt.command, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				to := &sink{answer: func(_ int, c string) string {
					if strings.HasPrefix(c, tt.command) {
						time.Sleep(time.Hour)
					}
					return ""
				}}
				m := letter("b@example.com")
				begin := time.Now()
				q := piped(to, nil).transfer(t, t.Context(), "example.com", m)
				if got := outcome(q, m); got != "-; "+tt.want || time.Since(begin) != tt.after {
					t.Errorf("after %v: %s; want after %v: %s", time.Since(begin), got, tt.after, tt.want)
				}
			})
		})
	}
}

// SPOOL L8: what is past its final dot outlives the stop, for half a minute.
func TestStopBehindTheFinalDot(t *testing.T) {
	for _, tt := range []struct {
		reply time.Duration // after the dot
		want  string
		after time.Duration // from the stop
	}{
		{20 * time.Second, relayed, 10 * time.Second},
		{time.Hour,
			"-; " + twice + "time-out", 30 * time.Second},
	} {
		inBubble(t, func(t *testing.T) {
			to := &sink{answer: func(_ int, c string) string {
				if c == "." {
					time.Sleep(tt.reply)
				}
				return ""
			}}
			ctx, cancel := context.WithCancel(t.Context())
			var stopped time.Time
			time.AfterFunc(10*time.Second, func() { stopped = time.Now(); cancel() })
			m, n := letter("b@example.com"), letter("b@example.com")
			q := piped(to, nil).transfer(t, ctx, "example.com", m, n)
			if got := outcome(q, m); got != tt.want || time.Since(stopped) != tt.after {
				t.Errorf("%v after the stop: %s; want after %v: %s", time.Since(stopped), got, tt.after, tt.want)
			}
			if got := outcome(q, n); got != "-" {
				t.Errorf("the next message: %s; want it left alone", got)
			}
		})
	}
}

func TestStopBeforeTheFinalDot(t *testing.T) {
	for _, command := range []string{"connect", "EHLO", "MAIL", "RCPT", "DATA"} {
		inBubble(t, func(t *testing.T) {
			to := &sink{answer: func(_ int, c string) string {
				if strings.HasPrefix(c, command) {
					time.Sleep(time.Hour)
				}
				return ""
			}}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			begin := time.Now()
			m := letter("b@example.com")
			q := piped(to, nil).transfer(t, ctx, "example.com", m)
			if got := outcome(q, m); got != "-" || time.Since(begin) != time.Second {
				t.Errorf("%s: after %v: %s; want after 1s: nothing said", command, time.Since(begin), got)
			}
		})
	}
}
