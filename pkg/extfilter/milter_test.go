package extfilter

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/textproto"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-milter"

	"cgq/pkg/mail"
)

// A scripted milter notes what it hears, and answers as it is told.
type scripted struct {
	milter.NoOpMilter
	s *script
}

type script struct {
	mu    sync.Mutex
	heard []string
	at    string // the step at which reply comes; else it goes on
	reply milter.Response
	edit  func(*milter.Modifier) error
}

func (s *script) hear(step, text string) (milter.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = append(s.heard, step+" "+text)
	if step == s.at {
		return s.reply, nil
	}
	return milter.RespContinue, nil
}

func (m scripted) Connect(host, family string, _ uint16, ip net.IP, mod *milter.Modifier) (milter.Response, error) {
	return m.s.hear("connect", host+" "+family+" "+ip.String()+" to "+mod.Macros["j"])
}
func (m scripted) Helo(name string, _ *milter.Modifier) (milter.Response, error) {
	return m.s.hear("helo", name)
}
func (m scripted) MailFrom(from string, mod *milter.Modifier) (milter.Response, error) {
	return m.s.hear("mail", from+" as "+mod.Macros["{auth_authen}"]+" "+mod.Macros["i"])
}
func (m scripted) RcptTo(to string, _ *milter.Modifier) (milter.Response, error) {
	return m.s.hear("rcpt", to)
}
func (m scripted) Header(name, value string, _ *milter.Modifier) (milter.Response, error) {
	return m.s.hear("header", name+":"+value)
}
func (m scripted) Headers(textproto.MIMEHeader, *milter.Modifier) (milter.Response, error) {
	return m.s.hear("eoh", "")
}
func (m scripted) BodyChunk(b []byte, _ *milter.Modifier) (milter.Response, error) {
	return m.s.hear("chunk", string(b))
}
func (m scripted) Body(mod *milter.Modifier) (milter.Response, error) {
	if m.s.edit != nil {
		if err := m.s.edit(mod); err != nil {
			return nil, err
		}
	}
	return m.s.hear("body", "")
}

// milters is a site with a milter that is at an address.
func milters(t *testing.T, address string) *site {
	t.Helper()
	f := Filter{Name: "av", Kind: "milter", Address: address}
	timeout(time.Second)(&f)
	return newSite(t, f)
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// plays runs a script.
func (s *script) plays(t *testing.T, actions milter.OptAction) *site {
	t.Helper()
	l := listen(t)
	server := &milter.Server{NewMilter: func() milter.Milter { return scripted{s: s} }, Actions: actions}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return milters(t, l.Addr().String())
}

func TestMilterAnswers(t *testing.T) {
	own := func(code int, text string) milter.Response {
		return milter.NewResponseStr('y', fmt.Sprintf("%d %s", code, text))
	}
	reject := refusal(mail.Status{5, 7, 1}, 0, "the message is rejected by a filter of this server")
	later := refusal(mail.Status{4, 7, 1}, 0, "the message is not taken just now, try again later")
	for _, tt := range []struct {
		name  string
		at    string
		reply milter.Response
		edit  func(*milter.Modifier) error
		want  Answer
	}{
		{"accept", "body", milter.RespAccept, nil, Answer{}},
		{"accept early", "helo", milter.RespAccept, nil, Answer{}},
		{"reject at connect", "connect", milter.RespReject, nil, reject},
		{"reject a recipient", "rcpt", milter.RespReject, nil, reject},
		{"reject", "body", milter.RespReject, nil, reject},
		{"tempfail", "eoh", milter.RespTempFail, nil, later},
		{"discard", "header", milter.RespDiscard, nil, Answer{Verdict: Discard}},
		{"own words", "body", own(550, "5.7.9 no"), nil, refusal(mail.Status{5, 7, 9}, 0, "no")},
		{"own words, for now", "mail", own(451, "greylisted, come back"), nil, refusal(mail.Status{4, 7, 1}, 0, "greylisted, come back")},
		{"edits", "body", milter.RespAccept, func(m *milter.Modifier) error {
			return errors.Join(m.AddHeader("X-A", "b\n\tc\nX-Evil: d"), m.InsertHeader(0, "X-First", "e"), m.ChangeHeader(2, "Subject", "new"),
				m.ChangeHeader(1, "X-Old", ""), m.AddRecipient("c@example.net"), m.AddHeader("no field", "x"))
		}, Answer{Add: []string{"X-A: b\n\tc\n X-Evil: d", "X-First: e"}, Change: []Change{{"Subject", 2, "new"}, {"X-Old", 1, ""}},
			Recipients: []mail.Address{address("c@example.net")}, Notes: []string{`no header field, left out: "no field"`}}},
		{"quarantine", "body", milter.RespAccept, func(m *milter.Modifier) error { return m.Quarantine("a\nvirus") },
			Answer{Verdict: Later, Result: mail.Result{Action: mail.Delayed, Status: mail.Status{4, 7, 1}, Text: "quarantine: a virus"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := (&script{at: tt.at, reply: tt.reply, edit: tt.edit}).plays(t,
				milter.OptAddHeader|milter.OptChangeHeader|milter.OptAddRcpt|milter.OptQuarantine)
			got, err := s.ask(t, "x")
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("the answer is %+v, %v; want %+v", got, err, tt.want)
			}
		})
	}
}

// What a milter hears.
func TestMilterHears(t *testing.T) {
	script := &script{}
	s := script.plays(t, milter.OptAddHeader)
	r := s.request(t, "x")
	r.Header = []byte("Subject: x\nX-Folded: a\n\tb\nno field\n\n")
	r.Open = func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(string(r.Header) + "one\ntwo\n")), nil
	}
	r.Envelope = &mail.Envelope{ReturnPath: address("ann@example.org"), Auth: "ann", Peer: netip.MustParseAddr("192.0.2.1"), Trace: mail.Trace{Helo: "client.test"},
		Recipients: []mail.Recipient{{Address: address("b@example.net")}, {Address: address("<\"c d\"@example.net>")}}}
	if _, err := s.Filter(t.Context(), "av", r); err != nil {
		t.Fatal(err)
	}
	want := []string{"connect [192.0.2.1] tcp4 192.0.2.1 to mx.example.com", "helo client.test", "mail ann@example.org as ann 7",
		"rcpt b@example.net", `rcpt "c d"@example.net`, "header Subject:x", "header X-Folded:a\n\tb", "eoh ", "chunk one\r\ntwo\r\n", "body "}
	script.mu.Lock()
	defer script.mu.Unlock()
	for i := range script.heard {
		script.heard[i] = strings.ReplaceAll(script.heard[i], ": ", ":")
	}
	if !reflect.DeepEqual(script.heard, want) {
		t.Errorf("it has heard\n%q, want\n%q", script.heard, want)
	}
}

// No answer, and what is none, is never taken for one.
func TestMilterDoesWrong(t *testing.T) {
	negotiate := "\x00\x00\x00\x0dO\x00\x00\x00\x06\x00\x00\x00\x01\x00\x00\x00\x00"
	for name, say := range map[string]string{
		"says nothing":    "",
		"garbage":         "HTTP/1.1 400 Bad Request\r\n\r\n",
		"an endless word": "\xff\xff\xff\xff" + strings.Repeat("x", 1000),
		"old":             "\x00\x00\x00\x0dO\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00",
		"insists":         "\x00\x00\x00\x0dO\x00\x00\x00\x06\x00\x00\x00\x03\x00\x00\x00\x00",
		"hangs":           negotiate,
		"unknown":         negotiate + "\x00\x00\x00\x01z",
		"a wrong code":    negotiate + "\x00\x00\x00\x09y999 no\x00\x00",
		"floods":          negotiate + strings.Repeat("\x00\x00\x00\x01p", 1<<19),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := listen(t)
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					go func() {
						defer c.Close()
						if _, err := io.WriteString(c, say); err == nil {
							_, _ = io.Copy(io.Discard, c)
						}
					}()
				}
			}()
			s := milters(t, l.Addr().String())
			a, err := s.ask(t, "x")
			if down := new(Unavailable); !errors.As(err, &down) || down.Why == "" {
				t.Errorf("the answer is %+v, %v; want that it is not available", a, err)
			}
		})
	}
	t.Run("not there", func(t *testing.T) {
		l := listen(t)
		l.Close()
		if a, err := milters(t, l.Addr().String()).ask(t, "x"); err == nil {
			t.Errorf("the answer is %+v", a)
		}
	})
}
