package smtp_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cgq/pkg/module"
	"cgq/pkg/module/smtp"
	"cgq/pkg/resolver"
)

var _ module.Explainer = (*smtp.Module)(nil)

// tried is the tries of an explanation, the newest first, in one line each.
func tried(e module.Explanation) string {
	var lines []string
	for _, t := range e.Tries {
		line := fmt.Sprintf("%s %s %s %s %d/%d %s", t.Host, t.Address, t.Step, t.Outcome, t.Messages, t.Refusals, t.Reply)
		if t.Open {
			line += " (open)"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// Each attempt is remembered with its step, its outcome and the reply.
func TestTriesOfEachOutcome(t *testing.T) {
	const at = "mx1.example.com 192.0.2.1:25 "
	const second = "mx2.example.com 192.0.2.2:25 connect failed 0/0 connection refused\n"
	for _, tt := range []struct {
		name   string
		answer func(int, string) string
		want   string
	}{
		{"taken", nil, at + "end-of-data sent 2/0 250 2.6.0 99811793 message accepted (open)"},
		{"greeting 5yz", on(0, "connect", "554 5.7.1 go away"), second + at + "greeting refused 0/1 554 5.7.1 go away"},
		{"greeting 4yz", on(0, "connect", "421-4.3.2 busy\n421 4.3.2 very"), second + at + "greeting delayed 0/1 421 4.3.2 busy very"},
		{"no greeting", on(0, "connect", "drop"), second + at + "greeting failed 0/0 EOF"},
		{"EHLO 5yz", on(0, "EHLO", "550 who?"), second + at + "ehlo refused 0/1 550 who?"},
		{"EHLO unanswered", on(0, "EHLO", "drop"), second + at + "ehlo failed 0/0 EOF"},
		{"MAIL 4yz", on(0, "MAIL", "451 4.7.1 later"), at + "mail delayed 0/2 451 4.7.1 later (open)"},
		{"MAIL 421", on(0, "MAIL", "421 4.7.0 too many"), at + "mail delayed 0/1 421 4.7.0 too many"},
		{"RCPT 4yz", on(0, "RCPT", "450 4.2.0 grey"), at + "rcpt delayed 0/2 450 4.2.0 grey (open)"},
		{"RCPT 5yz of one", on(0, "RCPT TO:<c", "550 5.1.1 no c"), at + "rcpt refused 1/1 550 5.1.1 no c (open)"},
		{"RCPT unanswered", on(0, "RCPT", "drop"), at + "rcpt failed 0/0 EOF"},
		{"DATA 5yz", on(0, "DATA", "554 no"), at + "data refused 0/2 554 no (open)"},
		{"DATA unanswered", on(0, "DATA", "drop"), at + "data failed 0/0 EOF"},
		{"DATA 2yz", on(0, "DATA", "250 what"), at + "data failed 0/0 a reply that is not SMTP: 250 to DATA"},
		{"text 5yz", on(0, ".", "552 5.3.4 large"), at + "end-of-data refused 0/2 552 5.3.4 large (open)"},
		{"hostile", on(0, ".", "552 a\x1b[2J\xff"+strings.Repeat("x", 2000)),
			at + "end-of-data refused 0/2 552 a?[2J?" + strings.Repeat("x", 506) + " (open)"},
	} {
		for _, ext := range [][]string{pipelining, nil} {
			t.Run(fmt.Sprintf("%s, pipelining %v", tt.name, ext != nil), func(t *testing.T) {
				s := one(&sink{ext: ext, answer: tt.answer}, nil)
				s.transfer(t, t.Context(), "example.com", letter("b@example.com"), letter("c@example.com"))
				if got := tried(s.Explain(t.Context(), "example.com")); got != tt.want {
					t.Errorf("got\n%s\nwant\n%s", got, tt.want)
				}
			})
		}
	}
}

// An answer that does not come behind the final dot is one, too; then another session is made.
func TestTriesOfLostAnswers(t *testing.T) {
	s := one(&sink{ext: pipelining, answer: on(0, ".", "drop")}, nil)
	s.transfer(t, t.Context(), "example.com", letter("b@example.com"), letter("b@example.com"))
	const lost = "mx1.example.com 192.0.2.1:25 end-of-data failed 0/0 EOF"
	if got := tried(s.Explain(t.Context(), "example.com")); got != lost+"\n"+lost {
		t.Errorf("got\n%s\nwant %s, twice", got, lost)
	}
}

// What the other side closes after messages were sent is no failure.
func TestTriesOfClosedSessions(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := piped(&sink{ext: pipelining}, nil)
		begin := time.Now()
		s.transfer(t, t.Context(), "example.com", letter("b@example.com"))
		time.Sleep(time.Minute)
		synctest.Wait()
		e := s.Explain(t.Context(), "example.com")
		if want := "mx1.example.com 192.0.2.1:25 end-of-data sent 1/0 250 2.6.0 99811793 message accepted"; tried(e) != want {
			t.Errorf("got %s, want %s", tried(e), want)
		}
		if !e.Tries[0].Begin.Equal(begin) || e.Tries[0].Took != 0 || !e.Since.Equal(begin) {
			t.Errorf("%+v since %s; want it to begin at %s and take no time", e.Tries, e.Since, begin)
		}
	})
}

// hosts is where the mail of an explanation goes, in one line.
func hosts(e module.Explanation) string {
	parts := []string{string(e.Way)}
	for _, h := range e.Hosts {
		part := fmt.Sprintf("%d %s:%s", h.Preference, h.Name, h.Port)
		for _, ip := range h.Addresses {
			part += " " + ip.String()
		}
		if h.Error != "" {
			part += " " + h.Error
		}
		parts = append(parts, part)
	}
	if e.NoHosts != "" {
		parts = append(parts, "none: "+e.NoHosts)
	}
	return strings.Join(append(parts, e.Notes...), "; ")
}

// An explanation says what an attempt finds, in its words.
func TestHostsOfEachWay(t *testing.T) {
	for _, tt := range []struct{ queue, relay, want string }{
		{"example.com", "", "mx; 10 mx1.example.com:25 192.0.2.1; 20 mx2.example.com:25 192.0.2.2"},
		{"mx1.example.com", "", "mx; 0 mx1.example.com:25 192.0.2.1"},
		{"example.com", "relay.example", "relay; 0 relay.example:25 192.0.2.9"},
		{"example.com", "192.0.2.7:26", "relay; 0 192.0.2.7:26 192.0.2.7"},
		{"example.com", "gone.example", "relay; 0 gone.example:25 gone.example: no such domain"},
		{"[192.0.2.7]", "", "address; 0 [192.0.2.7]:25 192.0.2.7"},
		{"mx2.example.com:2525", "relay.example", "router; 0 mx2.example.com:2525 192.0.2.2"},
		{"nowhere.example", "", "mx; none: the domain nowhere.example does not exist"},
		{"null.example", "", "mx; none: the domain null.example takes no mail"},
		{"temporary.example", "", "mx; none: temporary.example: the DNS gives no answer now"},
		{"lost.example", "", "mx; 0 nowhere.example:25 host nowhere.example has no address"},
		{"loop.example", "", "mx; none: mail for loop.example loops back to us; " +
			"not tried, since this server is one of the hosts and mail would come back: 10 mail.example.net, 20 mx2.example.com"},
		{"backup.example", "", "mx; 10 mx1.example.com:25 192.0.2.1; " +
			"not tried, since this server is one of the hosts and mail would come back: 20 mail.example.net"},
	} {
		s := one(&sink{}, func(s *smtp.Send) { s.Relay = tt.relay })
		e := s.Explain(t.Context(), tt.queue)
		if got := hosts(e); got != tt.want {
			t.Errorf("%s by %q:\n%s\nwant\n%s", tt.queue, tt.relay, got, tt.want)
		}
		if e.TLS != module.NoTLS || e.Since.IsZero() || len(e.Tries) > 0 {
			t.Errorf("%s: %+v; want no encryption, no tries and since when", tt.queue, e)
		}
		// what the DNS says to an attempt is the same
		if e.NoHosts == "" && e.Hosts[0].Error == "" {
			continue
		}
		q := s.transfer(t, t.Context(), tt.queue, letter("b@example.com"))
		said := e.NoHosts
		if said == "" {
			said = e.Hosts[0].Error
		}
		if got := s.Explain(t.Context(), tt.queue); len(got.Tries) != 1 || got.Tries[0].Step != module.StepDNS || got.Tries[0].Reply != said {
			t.Errorf("%s: an attempt %+v (%s), want %q", tt.queue, got.Tries, outcome(q), said)
		}
	}
}

var quiet = slog.New(slog.DiscardHandler)

// slow is a DNS that answers no question about a name until the caller gives up.
type slow struct {
	resolver.Static
	name string
}

func (s slow) MX(ctx context.Context, name string) ([]resolver.MX, error) {
	s.wait(ctx, name)
	return s.Static.MX(ctx, name)
}

func (s slow) IP(ctx context.Context, name string) ([]netip.Addr, error) {
	s.wait(ctx, name)
	return s.Static.IP(ctx, name)
}

func (s slow) wait(ctx context.Context, name string) {
	if name == s.name {
		<-ctx.Done()
	}
}

// A DNS that does not answer holds an explanation no longer than its context, and what was
// found is there.
func TestASlowDNSIsSaid(t *testing.T) {
	const none = "the DNS has not answered yet; an attempt waits longer"
	for name, want := range map[string]string{
		"example.com":     "mx; none: " + none,
		"mx1.example.com": "mx; 10 mx1.example.com:25 " + none + "; 20 mx2.example.com:25 192.0.2.2",
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSender(nil, nil)
			m := smtp.New(&s.settings, slow{dns, name}, func() string { return "mail.example.net" }, &s.stats, quiet)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			if got := hosts(m.Explain(ctx, "example.com")); got != want {
				t.Errorf("%s is slow: %s, want %s", name, got, want)
			}
		})
	}
}

// A domain can name very many hosts and addresses; what is shown of them has an end.
func TestManyHostsHaveAnEnd(t *testing.T) {
	many := resolver.Static{Hosts: map[string][]resolver.MX{}, Addrs: map[string][]netip.Addr{}}
	for i := range 50 {
		host := fmt.Sprintf("mx%d.many.example", i)
		many.Hosts["many.example"] = append(many.Hosts["many.example"], resolver.MX{Host: host, Preference: uint16(i)})
		for n := range 30 {
			many.Addrs[host] = append(many.Addrs[host], netip.AddrFrom4([4]byte{192, 0, byte(i), byte(n)}))
		}
	}
	s := newSender(nil, nil)
	m := smtp.New(&s.settings, many, func() string { return "mail.example.net" }, &s.stats, quiet)
	e := m.Explain(t.Context(), "many.example")
	if len(e.Hosts) != 20 || len(e.Hosts[0].Addresses) != 10 || strings.Join(e.Notes, "; ") != "and 30 hosts more; an attempt tries the first 10 addresses" {
		t.Errorf("%d hosts, %d addresses of the first, notes %q", len(e.Hosts), len(e.Hosts[0].Addresses), e.Notes)
	}
}

// Connections are counted while a session has a message, while it waits, and after it.
func TestConnectionsAreCounted(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var s *sender
		during := module.Connections{}
		to := &sink{ext: pipelining, answer: func(_ int, command string) string {
			if command == "." {
				during = s.Explain(t.Context(), "example.com").Connections
			}
			return ""
		}}
		s = piped(to, nil)
		s.transfer(t, t.Context(), "example.com", letter("b@example.com"))
		if want := (module.Connections{Queue: 1, QueueLimit: 20, All: 1, Limit: 200}); during != want {
			t.Errorf("during a session %+v, want %+v", during, want)
		}
		if got, want := s.Explain(t.Context(), "example.com").Connections, (module.Connections{Queue: 1, Idle: 1, QueueLimit: 20, All: 1, Limit: 200}); got != want {
			t.Errorf("behind it %+v, want %+v", got, want)
		}
		if got, want := s.Explain(t.Context(), "other.example").Connections, (module.Connections{QueueLimit: 20, All: 1, Limit: 200}); got != want {
			t.Errorf("of another queue %+v, want %+v", got, want)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got, want := s.Explain(t.Context(), "example.com").Connections, (module.Connections{QueueLimit: 20, Limit: 200}); got != want {
			t.Errorf("at last %+v, want %+v", got, want)
		}
	})
}

// What is remembered has an end: in a queue each address keeps its last attempt, of all
// queues the oldest go, and nothing is kept for more than a week.
func TestTriesHaveAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSender(map[string]*sink{}, nil)
		refuse := func(queue string) {
			s.transfer(t, t.Context(), queue, letter("b@example.com"))
			time.Sleep(time.Millisecond)
		}
		began := time.Now()
		s.sinks["192.0.2.1:25"] = &sink{ext: pipelining, answer: on(0, "connect", "554 no")}
		s.pipe = true
		refuse("example.com") // mx1 refuses, mx2 is not there
		delete(s.sinks, "192.0.2.1:25")
		s.sinks["192.0.2.2:25"] = &sink{ext: pipelining, answer: on(0, "connect", "554 no")}
		for range 20 {
			refuse("example.com")
		}
		e := s.Explain(t.Context(), "example.com")
		if len(e.Tries) != 10 || !e.Since.Equal(began) {
			t.Errorf("%d tries since %s, want 10 since %s", len(e.Tries), e.Since, began)
		}
		s.SetDial(func(context.Context, string, string) (net.Conn, error) { return nil, context.DeadlineExceeded })
		for i := range 10_000 - 1 {
			refuse(fmt.Sprintf("[10.0.%d.%d]", i/250, i%250))
		}
		if e = s.Explain(t.Context(), "example.com"); len(e.Tries) != 1 || !e.Since.After(began) {
			t.Errorf("%d tries since %s, want the last one", len(e.Tries), e.Since)
		}
		refuse("[10.1.0.1]")
		if e = s.Explain(t.Context(), "example.com"); len(e.Tries) != 0 {
			t.Errorf("%s, want none", tried(e))
		}
		time.Sleep(8 * 24 * time.Hour)
		refuse("[10.1.0.2]")
		if a, b := s.Explain(t.Context(), "[10.0.39.1]"), s.Explain(t.Context(), "[10.1.0.2]"); len(a.Tries) != 0 || len(b.Tries) != 1 {
			t.Errorf("after a week %q and %q, want the last one alone", tried(a), tried(b))
		}
	})
}

// A host that has refused long ago keeps its place among many newer attempts at another one.
func TestEachAddressKeepsItsLastTry(t *testing.T) {
	s := one(&sink{ext: pipelining, answer: on(0, "connect", "554 no")}, func(s *smtp.Send) { s.Relay, s.KeepIdle = "192.0.2.1", 0 })
	s.sinks["192.0.2.2:25"] = &sink{ext: pipelining}
	s.transfer(t, t.Context(), "example.com", letter("b@example.com"))
	s.settings.Load().Send.Relay = "192.0.2.2"
	for range 15 {
		s.transfer(t, t.Context(), "example.com", letter("b@example.com"))
	}
	e := s.Explain(t.Context(), "example.com")
	if len(e.Tries) != 10 || e.Tries[8].Outcome != module.Sent || e.Tries[9].Reply != "554 no" {
		t.Errorf("got\n%s\nwant nine messages sent and one refusal", tried(e))
	}
}

// A stop is nobody's failure.
func TestAStopIsNotRemembered(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := one(&sink{ext: pipelining, answer: func(_ int, command string) string {
		if command == "connect" {
			cancel()
		}
		return ""
	}}, nil)
	s.transfer(t, ctx, "example.com", letter("b@example.com"))
	for _, try := range s.Explain(t.Context(), "example.com").Tries {
		if try.Outcome != module.Connected || try.Open {
			t.Errorf("remembered: %+v", try)
		}
	}
}
