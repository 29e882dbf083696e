package smtp_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/module/moduletest"
	"cgq/pkg/module/smtp"
	"cgq/pkg/settings"
)

// on answers one command, by its beginning, on one connection (0: all).
func on(n int, command, reply string) func(int, string) string {
	return func(conn int, c string) string {
		if (n == 0 || n == conn) && strings.HasPrefix(c, command) {
			return reply
		}
		return ""
	}
}

const (
	relayed = "relayed 2.6.0 relayed via mx1.example.com: 250 2.6.0 99811793 message accepted"
	twice   = "message 4.4.2 connection with mx1.example.com is broken behind the final dot, " +
		"the message may arrive twice: "
)

func TestAnswers(t *testing.T) {
	const b, c = "b@example.com", "c@example.com"
	for _, tt := range []struct {
		name    string
		answer  func(int, string) string
		to      []string
		want    string
		arrived int
	}{
		{"relayed", nil, []string{b, c}, relayed + "; " + relayed, 1},
		{"MAIL 5yz", on(0, "MAIL", "550 5.7.1 go away"), []string{b, c}, "failed 5.7.1 go away; failed 5.7.1 go away", 0},
		{"MAIL 4yz", on(0, "MAIL", "451 4.7.1 later"), []string{b, c}, "-; -; message 4.7.1 later", 0},
		{"RCPT 5yz", on(0, "RCPT TO:<b", "550 5.1.1 no b"), []string{b, c}, "failed 5.1.1 no b; " + relayed, 1},
		{"RCPT 4yz", on(0, "RCPT TO:<b", "450 4.2.0 grey"), []string{b, c}, "delayed 4.2.0 grey; " + relayed, 1},
		{"all RCPT refused", on(0, "RCPT", "550-5.1.1 no\n550 5.1.1 nobody"), []string{b, c},
			"failed 5.1.1 no nobody; failed 5.1.1 no nobody", 0},
		{"all RCPT later", on(0, "RCPT", "452 4.2.2 full"), []string{b, c}, "delayed 4.2.2 full; delayed 4.2.2 full", 0},
		{"DATA 5yz", on(0, "DATA", "554 5.5.0 no"), []string{b}, "failed 5.5.0 no", 0},
		{"DATA 4yz", on(0, "DATA", "451 4.5.0 not now"), []string{b}, "-; message 4.5.0 not now", 0},
		{"DATA 421", on(0, "DATA", "421 4.3.2 stopping"), []string{b}, "-; queue 4.3.2 stopping", 0},
		{"DATA 2yz", on(0, "DATA", "250 what"), []string{b},
			"-; queue 4.4.2 connection with mx1.example.com is broken: a reply that is not SMTP: 250 to DATA", 0},
		{"text 5yz", on(0, ".", "552 5.3.4 too large"), []string{b, c}, "failed 5.3.4 too large; failed 5.3.4 too large", 0},
		{"text 5yz, one RCPT refused", func(n int, cmd string) string {
			return on(0, ".", "550 spam")(n, cmd) + on(0, "RCPT TO:<c", "551 gone")(n, cmd)
		}, []string{b, c}, "failed 5.0.0 spam; failed 5.0.0 gone", 0},
		{"text 4yz", on(0, ".", "451 4.3.0 disk"), []string{b, c}, "-; -; message 4.3.0 disk", 0},
		{"text 421", on(0, ".", "421 4.3.2 stopping"), []string{b}, "-; message 4.3.2 stopping", 0},
		{"text 354", on(0, ".", "354 more"), []string{b},
			"-; " + twice + "a reply that is not SMTP: 354 more to the text", 0},
		{"text unanswered", on(0, ".", "drop"), []string{b},
			"-; " + twice + "EOF", 0},
		{"MAIL 421", on(0, "MAIL", "421 4.7.0 too many connections"), []string{b}, "-; queue 4.7.0 too many connections", 0},
		{"RCPT 421", on(0, "RCPT", "421 busy"), []string{b}, "-; queue 4.0.0 busy", 0},
		{"broken at RCPT", on(0, "RCPT", "drop"), []string{b},
			"-; queue 4.4.2 connection with mx1.example.com is broken: EOF", 0},
		{"no SMTP", on(0, "MAIL", "hello"), []string{b},
			`-; queue 4.4.2 connection with mx1.example.com is broken: a reply that is not SMTP: "hello"`, 0},
		{"status of another class", on(0, "RCPT", "550 4.1.1 hm"), []string{b}, "failed 5.0.0 4.1.1 hm", 0},
		{"no text", on(0, "RCPT", "550"), []string{b}, "failed 5.0.0 refused without a reason", 0},
		{"hostile text", on(0, "RCPT", "550 5.1.1 a\x1b[2J\xff"+strings.Repeat("x", 2000)), []string{b},
			"failed 5.1.1 a?[2J?" + strings.Repeat("x", 506), 0},
		{"a 251", on(0, "RCPT", "251 will forward"), []string{b}, relayed, 1},
	} {
		for _, ext := range [][]string{pipelining, nil} {
			t.Run(fmt.Sprintf("%s, pipelining %v", tt.name, ext != nil), func(t *testing.T) {
				to := &sink{ext: ext, answer: tt.answer}
				m := letter(tt.to...)
				q := one(to, nil).transfer(t, t.Context(), "example.com", m)
				if got := outcome(q, m); got != tt.want {
					t.Errorf("got  %s\nwant %s", got, tt.want)
				}
				got := to.received()
				if len(got) != tt.arrived || len(got) > 0 && got[0].Text != m.Text {
					t.Errorf("arrived: %+v, want %d", got, tt.arrived)
				}
			})
		}
	}
}

// Without PIPELINING nothing is sent that has no point; with it an empty text goes
// where nobody is to get one (RFC 2920 §3.1).
func TestNoTextForNobody(t *testing.T) {
	const try = "MAIL FROM:<ann@a.example>|RCPT TO:<b@example.com>"
	for _, tt := range []struct {
		ext  []string
		want string
	}{
		{nil,
			"EHLO mail.example.net|" + try + "|RSET|" + try},
		{pipelining[:1],
			"EHLO mail.example.net|" + try + "|DATA|RSET|" + try + "|DATA"},
	} {
		to := &sink{ext: tt.ext, answer: on(0, "RCPT", "550 no")}
		one(to, nil).transfer(t, t.Context(), "example.com", letter("b@example.com"), letter("b@example.com"))
		if got := strings.Join(to.heard(), "|"); got != tt.want {
			t.Errorf("commands %s\n    want %s", got, tt.want)
		}
		if got := to.received(); len(got) != 0 || to.empty != 2*len(tt.ext) {
			t.Errorf("%d empty texts, arrived %+v; want an empty text for each DATA, none kept", to.empty, got)
		}
	}
}

func TestParameters(t *testing.T) {
	dsn := letter("b@example.com", "c@example.com")
	dsn.Envelope.EnvelopeID, dsn.Envelope.Return, dsn.Envelope.Body = "q+1=2 x", mail.ReturnHeaders, mail.Body8BitMIME
	dsn.Envelope.Recipients = []mail.Recipient{
		{Address: address("x@old.example"), Notify: mail.NotifySuccess | mail.NotifyDelay,
			Original: "rfc822;x+1@old.example"},
		{Address: address("c@example.com"), Notify: mail.NotifyNever, Original: `utf-8;é\@old.example`},
	}
	plain := letter("b@example.com")
	plain.Envelope.ReturnPath = mail.Address{}
	eight := letter("b@example.com")
	eight.Text += "caf\xc3\xa9\n"
	utf8 := letter("jürgen@example.com")
	quoted := letter(`"a b"@example.com`)
	quoted.Envelope.ReturnPath = mail.Address{Local: "x> NOTIFY=NEVER <y", Domain: "a.example"}
	inter := letter("b@пример.рф")
	for _, tt := range []struct {
		name string
		m    *moduletest.Message
		ext  string
		want string
	}{
		{"nothing offered", dsn, "", "MAIL FROM:<ann@a.example>|RCPT TO:<b@example.com>|RCPT TO:<c@example.com>"},
		{"DSN", dsn, "dsn",
			`MAIL FROM:<ann@a.example> RET=HDRS ENVID=q+2B1+3D2+20x|` +
				`RCPT TO:<b@example.com> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x+2B1@old.example|` +
				`RCPT TO:<c@example.com> NOTIFY=NEVER ORCPT=utf-8;\x{E9}\x{5C}@old.example`},
		{"8BITMIME as declared", dsn, "8BitMime",
			"MAIL FROM:<ann@a.example> BODY=8BITMIME|RCPT TO:<b@example.com>|RCPT TO:<c@example.com>"},
		{"8BITMIME as found", eight, "8BITMIME", "MAIL FROM:<ann@a.example> BODY=8BITMIME|RCPT TO:<b@example.com>"},
		{"8-bit text to a 7-bit host", eight, "HELP", "MAIL FROM:<ann@a.example>|RCPT TO:<b@example.com>"},
		{"7-bit text to an 8-bit host", plain, "8BITMIME", "MAIL FROM:<>|RCPT TO:<b@example.com>"},
		{"SIZE", plain, "SIZE", "MAIL FROM:<> SIZE=23|RCPT TO:<b@example.com>"},
		{"SMTPUTF8", utf8, "SMTPUTF8", "MAIL FROM:<ann@a.example> SMTPUTF8|RCPT TO:<jürgen@example.com>"},
		{"quotes stay", quoted, "DSN", `MAIL FROM:<"x> NOTIFY=NEVER <y"@a.example>|RCPT TO:<"a b"@example.com>`},
		{"a domain becomes A-labels", inter, "HELP", "MAIL FROM:<ann@a.example>|RCPT TO:<b@xn--e1afmkfd.xn--p1ai>"},
		{"a domain stays", inter, "SMTPUTF8", "MAIL FROM:<ann@a.example> SMTPUTF8|RCPT TO:<b@пример.рф>"},
	} {
		to := &sink{ext: []string{"PIPELINING", tt.ext}}
		one(to, nil).transfer(t, t.Context(), "example.com", tt.m)
		got := to.heard()
		if len(got) < 3 || strings.Join(got[1:len(got)-1], "|") != tt.want || got[len(got)-1] != "DATA" {
			t.Errorf("%s: commands %q\nwant %s", tt.name, got, tt.want)
		}
		tt.m.ID = 0
	}
}

func TestImpossible(t *testing.T) {
	large := letter("b@example.com")
	utf8 := letter("jürgen@example.com", "b@example.com")
	from := letter("b@example.com")
	from.Envelope.ReturnPath = address("é@a.example")
	header := letter("b@example.com")
	header.Envelope.SMTPUTF8 = true
	injected := letter("b@example.com")
	injected.To[0].Local = "b\r\nQUIT"
	const unable = "failed 5.6.7 the message needs SMTPUTF8, which the host does not have"
	for _, tt := range []struct {
		name string
		m    *moduletest.Message
		want string
	}{
		{"too large", large, "failed 5.3.4 the message is larger than the host takes"},
		{"UTF-8 recipient", utf8, unable + "; " + relayed},
		{"UTF-8 sender", from, unable},
		{"UTF-8 header", header, unable},
		{"line end in an address", injected, "failed 5.1.3 the address cannot be written in SMTP"},
	} {
		to := &sink{ext: []string{"PIPELINING", "size 1000"}}
		if tt.m == large {
			large.Text += strings.Repeat("x", 1000)
		}
		q := one(to, nil).transfer(t, t.Context(), "example.com", tt.m)
		if got := outcome(q, tt.m); got != tt.want {
			t.Errorf("%s: %s; want %s", tt.name, got, tt.want)
		}
	}
}

// More recipients than a transaction takes go in several, within one lease.
func TestManyRecipients(t *testing.T) {
	var all []string
	for n := range 5 {
		all = append(all, fmt.Sprintf("r%d@example.com", n))
	}
	for _, tt := range []struct {
		name string
		most int // of ours
		take int // of theirs
		want string
	}{
		{"ours", 2, 100, "[2 2 1]"},
		{"theirs", 100, 2, "[2 2 1]"},
		{"both", 3, 2, "[2 2 1]"},
	} {
		taken := 0
		to := &sink{ext: pipelining, answer: func(_ int, c string) string {
			switch {
			case strings.HasPrefix(c, "MAIL"):
				taken = 0
			case strings.HasPrefix(c, "RCPT"):
				if taken++; taken > tt.take {
					return "452 4.5.3 too many recipients"
				}
			}
			return ""
		}}
		m := letter(all...)
		q := one(to, func(s *smtp.Send) { s.MaxRecipients = tt.most }).transfer(t, t.Context(), "example.com", m)
		var sizes []int
		for _, a := range to.received() {
			sizes = append(sizes, len(a.To))
		}
		if got := fmt.Sprint(sizes); got != tt.want || strings.Count(outcome(q, m), relayed) != 5 {
			t.Errorf("%s: transactions of %s, %s; want %s", tt.name, got, outcome(q, m), tt.want)
		}
	}
}

func TestHosts(t *testing.T) {
	refuses := func(reply string) *sink { return &sink{answer: on(0, "connect", reply)} }
	for _, tt := range []struct {
		name, queue string
		one, two    *sink // nil: nobody listens
		want        string
	}{
		{"the best", "example.com", &sink{}, &sink{}, relayed},
		{"the next when the first is down", "example.com", nil, &sink{}, "relayed 2.6.0 relayed via mx2.example.com: 250 2.6.0 99811793 message accepted"},
		{"the next when the first is busy", "example.com", refuses("421 4.3.2 busy"), &sink{},
			"relayed 2.6.0 relayed via mx2.example.com: 250 2.6.0 99811793 message accepted"},
		{"the next when the first refuses", "example.com", refuses("554 no"), &sink{},
			"relayed 2.6.0 relayed via mx2.example.com: 250 2.6.0 99811793 message accepted"},
		{"the next when the first is mute", "example.com", refuses("drop"), &sink{},
			"relayed 2.6.0 relayed via mx2.example.com: 250 2.6.0 99811793 message accepted"},
		{"all down", "example.com", nil, nil,
			"-; queue 4.4.1 no connection with mx2.example.com 192.0.2.2:25: connection refused"},
		{"all refuse", "example.com", nil, refuses("554 5.7.1 go"),
			"-; queue 4.4.2 host mx2.example.com refuses the session: 554 go"},
		{"all busy", "example.com", nil, refuses("450 4.7.9 slow"),
			"-; queue 4.7.9 host mx2.example.com refuses the session: 450 slow"},
		{"HELO", "example.com", &sink{answer: on(0, "EHLO", "502 what")}, nil, relayed},
		{"no EHLO at all", "example.com", &sink{answer: on(0, "EHLO", "550 no")}, nil,
			"-; queue 4.4.1 no connection with mx2.example.com 192.0.2.2:25: connection refused"},
		{"an address", "mx1.example.com", &sink{}, nil, relayed},
		{"a literal", "[192.0.2.1]", &sink{}, nil, "relayed 2.6.0 relayed via [192.0.2.1]: 250 2.6.0 99811793 message accepted"},
		{"takes no mail", "null.example", nil, nil, "failed 5.1.10 the domain null.example takes no mail"},
		{"does not exist", "none.example", nil, nil, "failed 5.1.2 the domain none.example does not exist"},
		{"the DNS is down", "temporary.example", nil, nil, "-; queue 4.4.3 temporary.example: the DNS gives no answer now"},
		{"no address", "lost.example", nil, nil, "failed 5.4.4 host nowhere.example has no address"},
		{"we are the best", "loop.example", &sink{}, &sink{}, "failed 5.4.6 mail for loop.example loops back to us"},
		{"we are the backup", "backup.example", &sink{}, nil, relayed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, n := letter("b@"+tt.queue), letter("b@"+tt.queue)
			q := newSender(map[string]*sink{"192.0.2.1:25": tt.one, "192.0.2.2:25": tt.two}, nil).transfer(t, t.Context(),
				tt.queue, m, n)
			if got := outcome(q, m); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if _, waits := q.Delayed(); !waits && outcome(q, n) != tt.want {
				t.Errorf("second message: %s; want %s", outcome(q, n), tt.want)
			}
		})
	}
}

func TestRelay(t *testing.T) {
	for _, tt := range []struct {
		relay, address, want string
		port                 int
	}{
		{"relay.example", "192.0.2.9:25", "relayed 2.6.0 relayed via relay.example: 250 2.6.0 99811793 message accepted", 25},
		{"relay.example", "192.0.2.9:587", "relayed 2.6.0 relayed via relay.example: 250 2.6.0 99811793 message accepted", 587},
		{"relay.example:2600", "192.0.2.9:2600", "relayed 2.6.0 relayed via relay.example: 250 2.6.0 99811793 message accepted", 25},
		{"192.0.2.7:2600", "192.0.2.7:2600", "relayed 2.6.0 relayed via 192.0.2.7: 250 2.6.0 99811793 message accepted", 25},
		{"[2001:db8::1]:2600", "[2001:db8::1]:2600", "relayed 2.6.0 relayed via 2001:db8::1: 250 2.6.0 99811793 message accepted", 25},
		{"gone.example", "", "-; queue 4.4.3 gone.example: no such domain", 25},
		{"relay.example", "", "-; queue 4.4.1 no connection with relay.example 192.0.2.9:25: connection refused", 25},
	} {
		s := newSender(map[string]*sink{tt.address: {}}, func(s *smtp.Send) { s.Relay, s.RelayPort = tt.relay, tt.port })
		m := letter("b@null.example")
		if got := outcome(s.transfer(t, t.Context(), "null.example", m), m); got != tt.want {
			t.Errorf("%s: %s; want %s", tt.relay, got, tt.want)
		}
	}
}

func TestClaim(t *testing.T) {
	s := one(&sink{}, nil)
	for _, tt := range []struct {
		to    string
		final bool
		queue string
		err   string
	}{
		{"b@Example.COM", true, "example.com", ""},
		{"b@example.com", false, "", module.ErrNotMine.Error()},
		{"b", true, "", module.ErrNotMine.Error()},
		{"b@[192.0.2.1]", true, "[192.0.2.1]", ""},
		{"b@[192.0.2.1]", false, "[192.0.2.1]", ""},
		{"b@[IPv6:2001:db8::1]", true, "[ipv6:2001:db8::1]", ""},
		{"b@[2001:db8::1]", true, "", "5.1.2 not a network address in brackets"},
		{"b@[x]", true, "", "5.1.2 not a network address in brackets"},
		{"b@Пример.рф", true, "xn--e1afmkfd.xn--p1ai", ""},
		{"b@a\u200db.example", true, "", "5.1.2 not a name of a domain"},
	} {
		r, err := s.Claim(t.Context(), address(tt.to), tt.final)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if r.Queue != tt.queue || text != tt.err || err == nil && (!r.Relay || r.Address != address(tt.to)) {
			t.Errorf("Claim(%s, %v) = %+v, %v; want %s, %s", tt.to, tt.final, r, err, tt.queue, tt.err)
		}
	}
}

func TestClaimOfNextHosts(t *testing.T) {
	s := one(&sink{}, nil)
	long := strings.Repeat("x", 64)
	for _, tt := range []struct{ local, domain, queue, want string }{ // want: the address, or the error
		{"b%a.test", "gate.test._via", "gate.test", "b@a.test"},
		{"b%A.test", "Gate.TEST._VIA", "gate.test", "b@A.test"},
		{"b", "gate.test._via", "gate.test", "b@gate.test"},
		{"b%c%a.test", "gate.test._via", "gate.test", "b%c@a.test"},
		{"b@c%a.test", "gate.test._via", "gate.test", `"b@c"@a.test`},
		{"b%a.test", "gate.test.25._via", "gate.test:25", "b@a.test"},
		{"b%a.test", "gate.test:2525", "gate.test:2525", "b@a.test"},
		{"b", "gate.test:2525", "gate.test:2525", "b@gate.test"},
		{"b%a.test", "gate.test:2525._via", "gate.test:2525", "b@a.test"},
		{"b%a.test", "[192.0.2.1]", "[192.0.2.1]", "b@a.test"},
		{"b%[192.0.2.9]", "gate.test._via", "gate.test", "b@[192.0.2.9]"},
		{"b", "[192.0.2.1]:26", "[192.0.2.1]:26", "b@[192.0.2.1]"},
		{"b%a.test", "[IPv6:2001:DB8::1]:26", "[ipv6:2001:db8::1]:26", "b@a.test"},
		{"b%a.test", "почта.рф._via", "", "5.1.2 not a name of a host"},
		{long + "%a.test", "gate.test._via", "gate.test", long + "@a.test"},
		{long + "x%a.test", "gate.test._via", "", "5.1.3 what stands before the next host is no address"},
		{"b%a>test", "gate.test._via", "", "5.1.3 what stands before the next host is no address"},
		{"b%", "gate.test._via", "", "5.1.3 what stands before the next host is no address"},
		{"b", "gate.test:0", "", "5.1.2 not a name of a host"},
		{"b", "25._via", "", "5.1.2 not a name of a host"},
		{"b", "[x]._via", "", "5.1.2 not a network address in brackets"},
	} {
		for _, final := range []bool{false, true} {
			r, err := s.Claim(t.Context(), mail.Address{Local: tt.local, Domain: tt.domain}, final)
			got := r.Address.String()
			if err != nil {
				got = err.Error()
			}
			if got != tt.want || r.Queue != tt.queue || r.Relay != (err == nil) {
				t.Errorf("Claim(%s @ %s) = %s in %q, relay %v; want %s in %q", tt.local, tt.domain, got, r.Queue, r.Relay, tt.want, tt.queue)
			}
		}
	}
}

// A queue that names a port is for that host: its mail exchangers are not asked, and no
// relay takes the mail.
func TestNextHostsWithAPort(t *testing.T) {
	for _, tt := range []struct{ queue, address, want string }{
		{"mx2.example.com:2525", "192.0.2.2:2525", "relayed 2.6.0 relayed via mx2.example.com: 250 2.6.0 99811793 message accepted"},
		{"[192.0.2.7]:2525", "192.0.2.7:2525", "relayed 2.6.0 relayed via [192.0.2.7]: 250 2.6.0 99811793 message accepted"},
		{"[ipv6:2001:db8::1]:2525", "[2001:db8::1]:2525", "relayed 2.6.0 relayed via [ipv6:2001:db8::1]: 250 2.6.0 99811793 message accepted"},
		{"example.com:25", "192.0.2.1:25", "-; queue 4.4.3 example.com: no such domain"}, // it has exchangers, and no address
		{"mx2.example.com:2525", "", "-; queue 4.4.1 no connection with mx2.example.com 192.0.2.2:2525: connection refused"},
		{"mx2.example.com:x", "", "failed 5.1.2 not a name of a host"},
	} {
		for _, relay := range []string{"", "relay.example"} {
			if relay != "" && strings.HasSuffix(tt.queue, ":x") {
				continue // whatever its name is
			}
			s := newSender(map[string]*sink{tt.address: {}}, func(s *smtp.Send) { s.Relay = relay })
			m := letter("b@a.test")
			if got := outcome(s.transfer(t, t.Context(), tt.queue, m), m); got != tt.want {
				t.Errorf("%s, relay %q: %s; want %s", tt.queue, relay, got, tt.want)
			}
		}
	}
}

func TestConformance(t *testing.T) {
	for _, ext := range [][]string{pipelining, nil} {
		moduletest.Run(t, func(t *testing.T) moduletest.Fixture {
			to := &sink{ext: ext}
			return moduletest.Fixture{
				Module:   one(to, nil),
				Good:     []mail.Address{address("a@example.com"), address(`"b c"@example.com`), address("d@EXAMPLE.com")},
				Foreign:  mail.Address{Local: "postmaster"},
				Final:    true,
				Break:    func() { to.setBroken(true) },
				Mend:     func() { to.setBroken(false) },
				Received: to.received,
			}
		})
	}
}

func TestSettings(t *testing.T) {
	good := smtp.Defaults()
	if err := good.Validate(); err != nil {
		t.Errorf("the defaults are wrong: %v", err)
	}
	for _, tt := range []struct {
		key  string
		edit func(*smtp.Settings)
	}{
		{"receive.listen", func(s *smtp.Settings) { s.Receive.Listen = []string{"127.0.0.1:2525", "nonsense"} }},
		{"receive.max_message_size", func(s *smtp.Settings) { s.Receive.MaxMessageSize = 10 }},
		{"receive.max_recipients", func(s *smtp.Settings) { s.Receive.MaxRecipients = 99 }},
		{"receive.connections", func(s *smtp.Settings) { s.Receive.Connections = 0 }},
		{"receive.connections_per_address", func(s *smtp.Settings) { s.Receive.ConnectionsPerAddress = -1 }},
		{"receive.command_timeout", func(s *smtp.Settings) { s.Receive.CommandTimeout = 0 }},
		{"receive.data_timeout", func(s *smtp.Settings) { s.Receive.DataTimeout = settings.Day }},
		{"send.relay", func(s *smtp.Settings) { s.Send.Relay = "host:port" }},
		{"send.relay", func(s *smtp.Settings) { s.Send.Relay = "a b" }},
		{"send.relay_port", func(s *smtp.Settings) { s.Send.RelayPort = 70000 }},
		{"send.helo", func(s *smtp.Settings) { s.Send.Helo = "a\r\nb" }},
		{"send.channels", func(s *smtp.Settings) { s.Send.Channels = 0 }},
		{"send.queue_channels", func(s *smtp.Settings) { s.Send.QueueChannels = 0 }},
		{"send.keep_idle", func(s *smtp.Settings) { s.Send.KeepIdle = settings.Day }},
		{"send.messages_per_connection", func(s *smtp.Settings) { s.Send.MessagesPerConnection = -1 }},
		{"send.max_recipients", func(s *smtp.Settings) { s.Send.MaxRecipients = 0 }},
		{"send.connect_timeout", func(s *smtp.Settings) { s.Send.ConnectTimeout = 0 }},
		{"send.command_timeout", func(s *smtp.Settings) { s.Send.CommandTimeout = 0 }},
		{"send.data_timeout", func(s *smtp.Settings) { s.Send.DataTimeout = 0 }},
		{"send.final_timeout", func(s *smtp.Settings) { s.Send.FinalTimeout = 0 }},
		{"send.retry", func(s *smtp.Settings) { s.Send.Retry = nil }},
		{"send.retry", func(s *smtp.Settings) { s.Send.Retry = []settings.Duration{0} }},
		{"send.expire", func(s *smtp.Settings) { s.Send.Expire = 0 }},
	} {
		s := smtp.Defaults()
		tt.edit(&s)
		if err := s.Validate(); err == nil || !strings.HasPrefix(err.Error(), tt.key+": ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("Validate = %v; want one error of %s", err, tt.key)
		}
	}
}

func TestLogOfATransfer(t *testing.T) {
	s := one(&sink{ext: pipelining}, nil)
	s.transfer(t, context.Background(), "example.com", letter("b@example.com"))
	log := s.log.String()
	for _, want := range []string{"got:250 2.6.0 99811793 message accepted", " 2 SMTP-000001(example.com) [1001] sent [127.0.0.1]:", " -> [127.0.0.1]:",
		" 4 SMTP-000001(example.com) cmd: MAIL FROM:<ann@a.example>", "rsp: 354 go on", "rsp: 220 sink ESMTP"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
	got := map[string]int64{}
	for _, e := range s.stats.All() {
		got[e.Name] = e.Value
	}
	if got["smtpOutputTotal"] != 1 || got["smtpOutputActive"] != 1 || got["smtpOutputJobs"] != 1 || got["smtpOutputTrafficOut"] != 31 {
		t.Errorf("statistics %v; want one connection, open, one job, 31 bytes", got)
	}
}
