package extfilter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/textproto"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-milter"

	"cgq/pkg/mail"
	"cgq/pkg/settings"
)

// A witness is a milter that writes down what it is told, and answers as it is told.
type witness struct {
	milter.NoOpMilter
	mu   *sync.Mutex
	told *strings.Builder
	step map[string]milter.Response
	end  func(*milter.Modifier) (milter.Response, error)
}

func (w *witness) note(step, format string, args ...any) (milter.Response, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprintf(w.told, step+" "+format+"\n", args...)
	if r, ok := w.step[step]; ok {
		return r, nil
	}
	return milter.RespContinue, nil
}

func (w *witness) Connect(host, family string, port uint16, ip net.IP, m *milter.Modifier) (milter.Response, error) {
	return w.note("connect", "%s %s %d %s j=%s _=%s {client_addr}=%s", host, family, port, ip, m.Macros["j"], m.Macros["_"], m.Macros["{client_addr}"])
}

func (w *witness) Helo(name string, _ *milter.Modifier) (milter.Response, error) {
	return w.note("helo", "%s", name)
}

func (w *witness) MailFrom(from string, m *milter.Modifier) (milter.Response, error) {
	return w.note("mail", "%s i=%s {auth_authen}=%s", from, m.Macros["i"], m.Macros["{auth_authen}"])
}

func (w *witness) RcptTo(to string, _ *milter.Modifier) (milter.Response, error) {
	return w.note("rcpt", "%s", to)
}

func (w *witness) Header(name, value string, _ *milter.Modifier) (milter.Response, error) {
	return w.note("header", "%q %q", name, value)
}

func (w *witness) Headers(textproto.MIMEHeader, *milter.Modifier) (milter.Response, error) {
	return w.note("eoh", "")
}

func (w *witness) BodyChunk(chunk []byte, _ *milter.Modifier) (milter.Response, error) {
	if len(chunk) > 100 {
		return w.note("body", "%d bytes, %d CRLF", len(chunk), strings.Count(string(chunk), "\r\n"))
	}
	return w.note("body", "%q", chunk)
}

func (w *witness) Body(m *milter.Modifier) (milter.Response, error) {
	if w.end != nil {
		return w.end(m)
	}
	return w.note("eom", "")
}

// serveMilter runs a milter until the test ends.
func serveMilter(t *testing.T, w *witness, options milter.OptProtocol, network string) Filter {
	t.Helper()
	where := "127.0.0.1:0"
	if network == "unix" {
		where = filepath.Join(t.TempDir(), "milter.sock")
	}
	l, err := net.Listen(network, where)
	if err != nil {
		t.Fatal(err)
	}
	w.mu, w.told = new(sync.Mutex), new(strings.Builder)
	s := &milter.Server{NewMilter: func() milter.Milter { return w }, Protocol: options,
		Actions: milter.OptAddHeader | milter.OptChangeHeader | milter.OptAddRcpt | milter.OptQuarantine}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() { l.Close(); t.Log("the milter:", <-ended) })
	address := l.Addr().String()
	if network == "unix" {
		address = "unix:" + address
	}
	return Filter{Name: "av", Kind: "milter", Address: address, Timeout: settings.Duration(10 * time.Second)}
}

// message is a request with a text of its own.
func message(head, body string) *Request {
	text := head + "\n" + body
	return &Request{ID: 4711, Size: int64(len(text)), Header: []byte(head + "\n"),
		Envelope: &mail.Envelope{ReturnPath: address("bob@example.net"), Auth: "bob@example.org", Peer: netip.MustParseAddr("192.0.2.7"),
			Trace:      mail.Trace{Helo: "client.example.net"},
			Recipients: []mail.Recipient{{Address: address("ann@example.com")}, {Address: address(`"a b"@example.com`)}}},
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }}
}

// A milter sees the message as it would from any other server. That of the library speaks
// version 2 of the protocol, as old ones do.
func TestMilterIsTold(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			w := &witness{}
			s := newSite(t, serveMilter(t, w, 0, network))
			a, err := s.Filter(t.Context(), "av", message("Subject: hello\n world\nX-Tight:x\n", "one\n.\ntwo\n"))
			if err != nil || !reflect.DeepEqual(a, Answer{}) {
				t.Errorf("the answer is %+v, %v", a, err)
			}
			const want = `connect [192.0.2.7] tcp4 0 192.0.2.7 j=mx.example.com _=[192.0.2.7] {client_addr}=192.0.2.7
helo client.example.net
mail bob@example.net i=4711 {auth_authen}=bob@example.org
rcpt ann@example.com
rcpt "a b"@example.com
header "Subject" "hello\n world"
header "X-Tight" "x"
eoh 
body "one\r\n.\r\ntwo\r\n"
eom 
`
			if w.told.String() != want {
				t.Errorf("the milter was told\n%s\nwant\n%s", w.told, want)
			}
		})
	}
}

// What a milter does not want to hear it is not told.
func TestMilterLeavesOut(t *testing.T) {
	w := &witness{}
	s := newSite(t, serveMilter(t, w, milter.OptNoConnect|milter.OptNoHelo|milter.OptNoMailFrom|milter.OptNoRcptTo|milter.OptNoBody, "tcp"))
	if _, err := s.Filter(t.Context(), "av", message("A: b\n", "body\n")); err != nil {
		t.Fatal(err)
	}
	if want := "header \"A\" \"b\"\neoh \neom \n"; w.told.String() != want {
		t.Errorf("the milter was told\n%s\nwant\n%s", w.told, want)
	}
}

// A big body comes in pieces, none of them too long, and whole; and so does a header that
// is longer than what Rules look at: it is a header all the same.
func TestMilterBigMessage(t *testing.T) {
	w := &witness{}
	s := newSite(t, serveMilter(t, w, 0, "tcp"))
	head := strings.Repeat("X-Many: "+strings.Repeat("h", 990)+"\n", 100)
	r := message(head, strings.Repeat("\n", 100_000))
	r.Header = r.Header[:strings.LastIndex(head[:64<<10], "\n")+1]
	if _, err := s.Filter(t.Context(), "av", r); err != nil {
		t.Fatal(err)
	}
	lines := 0
	for line := range strings.Lines(w.told.String()) {
		var size, n int
		if _, err := fmt.Sscanf(line, "body %d bytes, %d CRLF", &size, &n); err == nil {
			if lines += n; size > milter.MaxBodyChunk {
				t.Errorf("a piece of %d bytes", size)
			}
		}
	}
	if fields := strings.Count(w.told.String(), "header \"X-Many\""); fields != 100 || lines != 100_000 {
		t.Errorf("it was told %d fields and %d lines, want 100 and 100000", fields, lines)
	}
}

// What milters answer, at the end and before.
func TestMilterAnswers(t *testing.T) {
	edits := func(all ...func(*milter.Modifier) error) func(*milter.Modifier) (milter.Response, error) {
		return func(m *milter.Modifier) (milter.Response, error) {
			for _, f := range all {
				if err := f(m); err != nil {
					return nil, err
				}
			}
			return milter.RespAccept, nil
		}
	}
	refused := func(class, subject, detail uint16, text string) Answer {
		return refusal(mail.Status{class, subject, detail}, 0, text)
	}
	for _, tt := range []struct {
		name string
		step map[string]milter.Response
		end  func(*milter.Modifier) (milter.Response, error)
		want Answer
		down string
	}{
		{name: "accept at once", step: map[string]milter.Response{"connect": milter.RespAccept}},
		{name: "reject", step: map[string]milter.Response{"helo": milter.RespReject},
			want: refused(5, 7, 1, "the message is rejected by a filter of this server")},
		{name: "tempfail", step: map[string]milter.Response{"rcpt": milter.RespTempFail},
			want: refused(4, 7, 1, "the message is not taken just now, try again later")},
		{name: "discard", step: map[string]milter.Response{"eoh": milter.RespDiscard}, want: Answer{Verdict: Discard}},
		{name: "554", step: map[string]milter.Response{"header": milter.NewResponseStr('y', "554 5.6.0 no such\r\n\x1b fields")},
			want: refused(5, 6, 0, "no such fields")},
		{name: "451", step: map[string]milter.Response{"body": milter.NewResponseStr('y', "451 come back")}, want: refused(4, 7, 1, "come back")},
		{name: "a status of another class", step: map[string]milter.Response{"body": milter.NewResponseStr('y', "451 5.1.1 odd")},
			want: refused(4, 7, 1, "5.1.1 odd")},
		{name: "250 is no refusal", step: map[string]milter.Response{"mail": milter.NewResponseStr('y', "250 fine")}, down: "nobody understands"},
		{name: "an answer that is none", step: map[string]milter.Response{"mail": milter.NewResponseStr('z', "")}, down: "unexpected code"},
		{name: "edits", end: edits(
			func(m *milter.Modifier) error { return m.AddHeader("X-A", "b\r\n c\nd") },
			func(m *milter.Modifier) error { return m.InsertHeader(1, "Authentication-Results", "mx;\n\tdkim=pass") },
			func(m *milter.Modifier) error { return m.ChangeHeader(2, "Subject", "other") },
			func(m *milter.Modifier) error { return m.ChangeHeader(1, "X-Gone", "") },
			func(m *milter.Modifier) error { return m.AddRecipient("carl@example.org") },
			func(m *milter.Modifier) error { return m.AddHeader("no name", "x") },
		), want: Answer{Add: []string{"X-A: b\n c\n d", "Authentication-Results: mx;\n\tdkim=pass"},
			Change:     []Change{{"Subject", 2, "other"}, {"X-Gone", 1, ""}},
			Recipients: []mail.Address{address("carl@example.org")},
			Notes:      []string{`no header field, left out: "no name"`}}},
		{name: "quarantine", end: edits(func(m *milter.Modifier) error { return m.Quarantine("a\nvirus") }),
			want: Answer{Verdict: Later, Result: mail.Result{Action: mail.Delayed, Status: mail.Status{4, 7, 1}, Text: "quarantine: a virus"}}},
		{name: "another body", end: edits(func(m *milter.Modifier) error { return m.ReplaceBody([]byte("x")) }), down: "must not do"},
		{name: "another return path", end: edits(func(m *milter.Modifier) error { return m.ChangeFrom("x@y.example") }), down: "must not do"},
		{name: "a recipient less", end: edits(func(m *milter.Modifier) error { return m.DeleteRecipient("ann@example.com") }), down: "must not do"},
		{name: "a recipient that is none", end: edits(func(m *milter.Modifier) error { return m.AddRecipient("a b c") }), down: "adds a recipient"},
		{name: "it gives up", end: func(*milter.Modifier) (milter.Response, error) { return nil, errors.New("gone") }, down: "EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, serveMilter(t, &witness{step: tt.step, end: tt.end}, 0, "tcp"))
			a, err := s.Filter(t.Context(), "av", message("Subject: a\nSubject: b\n", "text\n"))
			if tt.down != "" {
				if down := new(Unavailable); !errors.As(err, &down) || !strings.Contains(down.Why, tt.down) {
					t.Errorf("the answer is %+v, %v; want that it is down: %s", a, err, tt.down)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(a, tt.want) {
				t.Errorf("the answer is %+v, %v; want %+v", a, err, tt.want)
			}
		})
	}
}

// packet is one of the milter protocol.
func packet(code byte, data ...byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(data)+1)), append([]byte{code}, data...)...)
}

func options(version, actions, protocol uint32, more ...byte) []byte {
	var b []byte
	for _, n := range []uint32{version, actions, protocol} {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	return packet('O', append(b, more...)...)
}

// hostile is a milter that writes what it is given and reads what there is, until the
// other side is gone; with repeat it says the last over and over.
func hostile(t *testing.T, repeat bool, say ...[]byte) Filter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				all.Go(func() { _, _ = io.Copy(io.Discard, c) })
				for _, b := range say {
					_, err = c.Write(b)
				}
				for repeat && err == nil {
					_, err = c.Write(say[len(say)-1])
				}
				if !repeat {
					_, _ = io.Copy(io.Discard, c)
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return Filter{Name: "av", Kind: "milter", Address: l.Addr().String(), Timeout: settings.Duration(time.Second)}
}

// A milter that hangs, says endlessly much, or what it must not, is not available; and
// nobody waits for longer than the time-out.
func TestMilterDoesWrong(t *testing.T) {
	for _, tt := range []struct {
		name   string
		repeat bool
		say    [][]byte
		want   string
	}{
		{"hangs before it begins", false, nil, "timed out"},
		{"hangs", false, [][]byte{options(6, 1, 0)}, "timed out"},
		{"asks for patience for ever", true, [][]byte{options(6, 1, 0), packet('p')}, "more than 1048576 bytes"},
		{"changes for ever", true, [][]byte{options(6, 1, 0x3fff), packet('h', []byte("X-A\x00b\x00")...)}, "more than 1048576 bytes"},
		{"insists on the body", false, [][]byte{options(6, 0x3, 0)}, "insists"},
		{"another protocol", true, [][]byte{[]byte("220 mx.example.com ESMTP\r\n")}, "exceeds"},
		{"version 1", false, [][]byte{options(1, 1, 0)}, "version"},
		{"short options", false, [][]byte{packet('O', 0, 0, 0, 6)}, "data size"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := hostile(t, tt.repeat, tt.say...)
			if tt.repeat { // that it ends is no matter of time
				f.Timeout = settings.Duration(time.Minute)
			}
			s := newSite(t, f)
			a, err := s.Filter(t.Context(), "av", message("A: b\n", "c\n"))
			if down := new(Unavailable); !errors.As(err, &down) || !strings.Contains(down.Why, tt.want) {
				t.Errorf("the answer is %+v, %v; want %s", a, err, tt.want)
			}
		})
	}
	t.Run("is not there", func(t *testing.T) {
		s := newSite(t, Filter{Name: "av", Kind: "milter", Address: "unix:/nowhere/at-all", WhenDown: "wait"})
		_, err := s.Filter(t.Context(), "av", message("A: b\n", "c\n"))
		if down := new(Unavailable); !errors.As(err, &down) || !down.Wait {
			t.Errorf("the answer is %v", err)
		}
	})
}
