package smtp_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/module/smtp"
	"cgq/pkg/serverlog"
	"cgq/pkg/stats"
)

// An enqueuer keeps what is submitted, and answers as it is told.
type enqueuer struct {
	admit  error
	check  map[string]error // by address
	submit error

	mu    sync.Mutex
	envs  []*mail.Envelope
	texts []string
}

func (e *enqueuer) Admit(context.Context, *mail.Envelope) error { return e.admit }

func (e *enqueuer) Check(_ context.Context, _ *mail.Envelope, r mail.Recipient) error {
	return e.check[r.Address.String()]
}

func (e *enqueuer) Submit(_ context.Context, env *mail.Envelope, text io.Reader) (mail.ID, error) {
	b, err := io.ReadAll(text)
	if err != nil {
		return 0, errors.Join(errors.New("submit"), err)
	}
	if e.submit != nil {
		return 0, e.submit
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.envs, e.texts = append(e.envs, env), append(e.texts, string(b))
	return mail.ID(4710 + len(e.envs)), nil
}

// pipes is a listener without a network.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (l *pipes) dial() net.Conn {
	client, server := net.Pipe()
	l.conns <- server
	return client
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2525} }

// A lines is a log that can be read while it is written.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A receiver runs for a test.
type receiver struct {
	src   *smtp.Receiver
	stats stats.Set
	log   lines
	stop  context.CancelFunc
	done  chan error
}

func receive(t *testing.T, l net.Listener, e module.Enqueuer, edit func(*smtp.Settings)) *receiver {
	t.Helper()
	set := smtp.Defaults()
	if edit != nil {
		edit(&set)
	}
	var settings atomic.Pointer[smtp.Settings]
	settings.Store(&set)
	r := &receiver{done: make(chan error, 1)}
	log, _ := serverlog.New(&r.log, "SMTPI", serverlog.All)
	r.src = smtp.NewReceiver(&settings, func() string { return "mail.example.com" }, &r.stats, log)
	r.src.Listen([]net.Listener{l})
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	go func() { r.done <- r.src.Run(ctx, e) }()
	return r
}

// end stops the receiver and waits for it.
func (r *receiver) end(t *testing.T) {
	t.Helper()
	r.stop()
	if err := <-r.done; err != nil {
		t.Errorf("Run = %v", err)
	}
}

// A client speaks SMTP line by line.
type client struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func dial(t *testing.T, l net.Listener) *client {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return talk(t, c)
}

func talk(t *testing.T, c net.Conn) *client {
	t.Cleanup(func() { c.Close() })
	return &client{t: t, Conn: c, r: bufio.NewReader(c)}
}

// reply returns the last line of the next reply, or the error.
func (c *client) reply() string {
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return err.Error()
		}
		if len(line) < 4 || line[3] != '-' {
			return strings.TrimRight(line, "\r\n")
		}
	}
}

// do sends commands, and wants that each reply begins with what stands behind it.
func (c *client) do(pairs ...string) {
	c.t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i] != "" {
			if _, err := io.WriteString(c, pairs[i]+"\r\n"); err != nil {
				c.t.Fatalf("write %q: %v", pairs[i], err)
			}
		}
		if got := c.reply(); !strings.HasPrefix(got, pairs[i+1]) {
			c.t.Fatalf("%.200q: reply %q, want %q", pairs[i], got, pairs[i+1])
		}
	}
}

// Listeners come and go. A session that came by one which goes is not disturbed.
func TestListen(t *testing.T) {
	first, second, late := listen(t), listen(t), listen(t)
	e := &enqueuer{}
	r := receive(t, first, e, nil)
	c := dial(t, first)
	c.do("", "220", "EHLO client.example", "250", "MAIL FROM:<ann@a.example>", "250")
	r.src.Listen([]net.Listener{first, second})
	dial(t, first).do("", "220")
	dial(t, second).do("", "220")
	r.src.Listen([]net.Listener{second})
	if conn, err := net.Dial("tcp", first.Addr().String()); err == nil {
		conn.Close()
		t.Error("a listener that has gone takes connections")
	}
	dial(t, second).do("", "220")
	c.do("RCPT TO:<bob@b.example>", "250", "DATA", "354", "Subject: x\r\n\r\nhello\r\n.", "250", "QUIT", "221")
	r.src.Listen(nil)
	r.end(t)
	r.src.Listen([]net.Listener{late}) // too late: it is closed
	if _, err := late.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept = %v", err)
	}
}

// A listener that breaks ends Run, also one that came later.
func TestListenerBreaks(t *testing.T) {
	l, later := listen(t), listen(t)
	r := receive(t, l, &enqueuer{}, nil)
	r.src.Listen([]net.Listener{l, later})
	dial(t, later).do("", "220")
	later.Close()
	if err := <-r.done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Run = %v", err)
	}
}

func TestAcceptedMessage(t *testing.T) {
	l, e := listen(t), &enqueuer{}
	r := receive(t, l, e, nil)
	c := dial(t, l)
	c.do("", "220 mail.example.com ESMTP cgq", "EHLO client.example", "250 ",
		"MAIL FROM:<ann@a.example> BODY=8BITMIME RET=HDRS ENVID=q+2B1 SIZE=100", "250 2.1.0 ann@a.example sender accepted",
		"RCPT TO:<bob@B.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+40x", "250 2.1.5 bob@B.example recipient accepted",
		"RCPT TO:<bob@b.EXAMPLE>", "250 2.1.5 bob@b.EXAMPLE recipient accepted",
		"RCPT TO:<Bob@b.example> NOTIFY=NEVER", "250", `RCPT TO:<"o'b x"@b.example>`, "250", "RCPT TO:<postmaster>", "250",
		"DATA", "354", "Subject: x\r\n\r\nhello\r\n.", "250 2.0.0 4711 message accepted for delivery",
		"QUIT", "221")
	r.end(t)
	want := &mail.Envelope{
		ReturnPath: mail.Address{Local: "ann", Domain: "a.example"},
		Recipients: []mail.Recipient{
			{Address: mail.Address{Local: "bob", Domain: "B.example"}, Notify: mail.NotifySuccess | mail.NotifyDelay,
				Original: "rfc822;b@x"},
			{Address: mail.Address{Local: "Bob", Domain: "b.example"}, Notify: mail.NotifyNever},
			{Address: mail.Address{Local: "o'b x", Domain: "b.example"}},
			{Address: mail.Address{Local: "postmaster", Domain: "mail.example.com"}},
		},
		Source: mail.SMTP, Peer: netip.MustParseAddr("127.0.0.1"), Domain: "mail.example.com",
		EnvelopeID: "q+1", Return: mail.ReturnHeaders, Body: mail.Body8BitMIME,
		Trace: mail.Trace{Helo: "client.example", With: "ESMTP"},
	}
	if len(e.envs) != 1 || !reflect.DeepEqual(e.envs[0], want) {
		t.Errorf("submitted %+v\nwant %+v", e.envs, want)
	}
	if len(e.texts) != 1 || e.texts[0] != "Subject: x\n\nhello\n" {
		t.Errorf("texts %q", e.texts)
	}
	log := r.log.String()
	for _, line := range []string{
		" 2 SMTPI-000001([127.0.0.1]) [4711] received, 21 bytes\n", "cmd: RCPT TO:<postmaster>",
		"rsp: 250 2.0.0 4711 message accepted", "got connection on [127.0.0.1]", "connection closed",
	} {
		if !strings.Contains(log, line) {
			t.Errorf("the log lacks %q:\n%s", line, log)
		}
	}
	got := map[string]int64{}
	for _, el := range r.stats.All() {
		got[el.Name] = el.Value
	}
	w := map[string]int64{"smtpInputActive": 0, "smtpInputTotal": 1, "smtpInputJobs": 1, "smtpInputTrafficIn": 21}
	if !reflect.DeepEqual(got, w) {
		t.Errorf("statistics %v, want %v", got, w)
	}
}

func TestProtocolInTrace(t *testing.T) {
	l, e := listen(t), &enqueuer{}
	r := receive(t, l, e, nil)
	c := dial(t, l)
	c.do("", "220", "HELO old.example", "250",
		"MAIL FROM:<>", "250", "RCPT TO:<b@b.example>", "250", "DATA", "354", ".", "250 2.0.0 4711 ",
		"EHLO new.example", "250",
		"MAIL FROM:<jürgen@a.example> SMTPUTF8", "250", "RCPT TO:<данные@пример.рф>", "250", "DATA", "354", ".",
		"250 2.0.0 4712 ",
		"MAIL FROM:<>", "250", "RSET", "250", "MAIL FROM:<a@a.example>", "250", "RCPT TO:<b@b.example>", "250",
		"BDAT 3 LAST\r\nx", "250 2.0.0 4713 ")
	r.end(t)
	want := []mail.Trace{{Helo: "old.example", With: "SMTP"}, {Helo: "new.example", With: "UTF8SMTP"},
		{Helo: "new.example", With: "ESMTP"}}
	for i, w := range want {
		if e.envs[i].Trace != w || e.envs[i].SMTPUTF8 != (i == 1) {
			t.Errorf("message %d: %+v, SMTPUTF8 %v; want %+v", i, e.envs[i].Trace, e.envs[i].SMTPUTF8, w)
		}
	}
	if e.texts[2] != "x\n" {
		t.Errorf("chunked text %q", e.texts[2])
	}
}

func TestRefusals(t *testing.T) {
	const mailOK, rcptOK = "MAIL FROM:<a@a.example>", "RCPT TO:<b@b.example>"
	fault := errors.New("disk: no answer")
	at := func(code int, r *module.Rejection) error { r.Result.Code = code; return r }
	for _, tt := range []struct {
		name string
		e    *enqueuer
		do   []string
		log  string
	}{
		{"queue limit", &enqueuer{admit: module.Reject(4, 3, 1, "queue limit reached")}, []string{mailOK,
			"452 4.3.1 queue limit reached", rcptOK, "503"}, "3 "},
		{"fault at MAIL", &enqueuer{admit: fault}, []string{mailOK, "451 4.3.0 internal error"}, "1 "},
		{"unknown account", &enqueuer{check: map[string]error{"b@b.example": module.Reject(5, 1, 1, "unknown account")}},
			[]string{mailOK, "250", rcptOK, "550 5.1.1 unknown account", "RCPT TO:<c@b.example>", "250"}, "3 "},
		{"relaying", &enqueuer{check: map[string]error{"b@b.example": module.Reject(5, 7, 1, "relaying denied")}},
			[]string{mailOK, "250", rcptOK, "550 5.7.1 relaying denied"}, "3 "},
		{"a code of its own", &enqueuer{check: map[string]error{"b@b.example": at(591, module.Reject(5, 7, 1, "no"))}},
			[]string{mailOK, "250", rcptOK, "591 5.7.1 no"}, "3 "},
		{"a code of another class", &enqueuer{check: map[string]error{"b@b.example": at(450, module.Reject(5, 7, 1,
			"no"))}}, []string{mailOK, "250", rcptOK, "550 5.7.1 no"}, "3 "},
		{"over quota", &enqueuer{check: map[string]error{"b@b.example": module.Reject(4, 2, 2, "account is full")}},
			[]string{mailOK, "250", rcptOK, "452 4.2.2 account is full"}, "3 "},
		{"fault at RCPT", &enqueuer{check: map[string]error{"b@b.example": fault}}, []string{mailOK, "250", rcptOK,
			"451 4.3.0 internal error"}, "1 "},
		{"too many hops", &enqueuer{submit: module.Reject(5, 4, 6, "too many hops")}, []string{mailOK, "250", rcptOK,
			"250", "DATA", "354", ".", "554 5.4.6 too many hops"}, "3 "},
		{"hostile text", &enqueuer{submit: module.Reject(5, 7, 0, "no\r\n250 ok\x1b[2J"+strings.Repeat("x", 1000))},
			[]string{mailOK, "250", rcptOK, "250", "DATA", "354", ".", "550 5.7.0 no? 250 ok?[2Jxxx", "NOOP", "250 2.0.0"},
			"3 "},
		{"fault at DATA", &enqueuer{submit: fault}, []string{mailOK, "250", rcptOK, "250", "DATA", "354", ".",
			"451 4.3.0 internal error", mailOK, "250"}, "1 "},
		{"bare LF", &enqueuer{}, []string{mailOK, "250", rcptOK, "250", "DATA", "354", "x\ny\r\n.",
			"554 5.6.0 bare CR or LF"}, "3 "},
		{"NUL", &enqueuer{}, []string{mailOK, "250", rcptOK, "250", "DATA", "354", "\x00\r\n.", "554 5.6.0 NUL"}, "3 "},
		{"too large", &enqueuer{}, []string{mailOK, "250", rcptOK, "250", "DATA", "354", strings.Repeat("x",
			65<<10) + "\r\n.", "552 5.3.4 the message is larger than 65536 bytes", mailOK, "250"}, "3 "},
		{"too large, it says", &enqueuer{}, []string{mailOK + " SIZE=65537", "552 5.3.4", mailOK + " SIZE=65536", "250"}, ""},
		{"nested MAIL", &enqueuer{}, []string{mailOK, "250", mailOK, "503 5.5.1", rcptOK, "250"}, ""},
		{"UTF-8 without SMTPUTF8", &enqueuer{}, []string{"MAIL FROM:<é@a.example>", "553 5.6.7", mailOK, "250",
			"RCPT TO:<é@b.example>", "553 5.6.7"}, ""},
		{"sender without domain", &enqueuer{}, []string{"MAIL FROM:<root>", "553 5.1.8"}, ""},
		{"control character in ORCPT", &enqueuer{}, []string{mailOK, "250", rcptOK + ` ORCPT=utf-8;a\x{10}b`,
			"501 5.5.4"}, ""},
		{"no AUTH", &enqueuer{}, []string{"AUTH PLAIN", "504 5.7.4"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := listen(t)
			r := receive(t, l, tt.e, func(s *smtp.Settings) { s.Receive.MaxMessageSize = 64 << 10 })
			c := dial(t, l)
			c.do(append([]string{"", "220", "EHLO client.example", "250"}, tt.do...)...)
			r.end(t)
			if len(tt.e.envs) != 0 {
				t.Errorf("submitted %+v", tt.e.envs)
			}
			if log := r.log.String(); tt.log != "" && !strings.Contains(log, " "+tt.log+"SMTPI") {
				t.Errorf("the log has no record of level %s:\n%s", tt.log, log)
			}
		})
	}
}

// A sender that sends all of a text before it reads, as most do, hears why it is refused,
// however far it is over the limit.
func TestFloodHearsItsReply(t *testing.T) {
	const begin = "EHLO client.example\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\n"
	flood := strings.Repeat(strings.Repeat("x", 998)+"\r\n", 32<<10) // 32 MB
	for _, tt := range []struct{ name, in, want string }{
		{"text", begin + "DATA\r\n" + flood + ".\r\n", "552 5.3.4 the message is larger than 65536 bytes"},
		{"chunk", begin + "BDAT 32768000 LAST\r\n" + flood, "552 5.3.4 the message is larger than 65536 bytes"},
		{"chunk out of order", "EHLO client.example\r\nBDAT 32768000 LAST\r\n" + flood, "552 5.3.4 chunk too large"},
		{"command", flood[:998] + strings.Repeat("x", 32<<20), "421 4.7.0 command line without end"},
		{"chunk without a size", "EHLO client.example\r\nBDAT x\r\n" + flood, "501 5.5.4 syntax: BDAT size"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, e := listen(t), &enqueuer{}
			r := receive(t, l, e, func(s *smtp.Settings) { s.Receive.MaxMessageSize = 64 << 10 })
			c := dial(t, l)
			if _, err := io.WriteString(c, tt.in); err != nil {
				t.Errorf("send: %v", err)
			}
			rest, err := io.ReadAll(c.r)
			replies := strings.Split(strings.TrimSuffix(string(rest), "\r\n"), "\r\n")
			if last := replies[len(replies)-1]; err != nil || !strings.HasPrefix(last, tt.want) {
				t.Errorf("the last reply is %q, %v; want %q and the end of the connection", last, err, tt.want)
			}
			c.Close()
			r.end(t)
			if len(e.envs) != 0 {
				t.Errorf("submitted %+v", e.envs)
			}
		})
	}
}

func TestConnectionLimits(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*smtp.Settings)
	}{
		{"all", func(s *smtp.Settings) { s.Receive.Connections = 2 }},
		{"one address", func(s *smtp.Settings) { s.Receive.ConnectionsPerAddress = 2 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := listen(t)
			r := receive(t, l, &enqueuer{}, tt.edit)
			one, two := dial(t, l), dial(t, l)
			one.do("", "220")
			two.do("", "220")
			dial(t, l).do("", "421 4.3.2 mail.example.com too many connections")
			one.do("QUIT", "221")
			if got := one.reply(); got != "EOF" {
				t.Errorf("behind QUIT: %q", got)
			}
			two.do("NOOP", "250")
			dial(t, l).do("", "220")
			r.end(t)
		})
	}
}

// A message that comes in when the server stops is finished, unless it takes too long.
func TestStopEndsSessions(t *testing.T) {
	for _, tt := range []struct {
		name  string
		third bool // a sender that goes silent
		after time.Duration
	}{{"all finish", false, 10 * time.Second}, {"one does not", true, 30 * time.Second}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, e := newPipes(), &enqueuer{}
				r := receive(t, l, e, nil)
				idle, slow := talk(t, l.dial()), talk(t, l.dial())
				idle.do("", "220")
				texts := []*client{slow}
				if tt.third {
					texts = append(texts, talk(t, l.dial()))
				}
				for _, c := range texts {
					c.do("", "220", "EHLO x", "250", "MAIL FROM:<a@a.example>", "250", "RCPT TO:<b@b.example>", "250", "DATA", "354")
					if _, err := io.WriteString(c, "half\r\n"); err != nil {
						t.Error(err)
					}
				}
				synctest.Wait()
				begin := time.Now()
				r.stop()
				idle.do("", "421 4.3.2")
				time.Sleep(10 * time.Second)
				slow.do("whole\r\n.", "250 2.0.0 4711", "", "421 4.3.2")
				if err := <-r.done; err != nil || time.Since(begin) != tt.after {
					t.Errorf("Run = %v after %v; want nil after %v", err, time.Since(begin), tt.after)
				}
				if len(e.texts) != 1 || e.texts[0] != "half\nwhole\n" {
					t.Errorf("submitted %q", e.texts)
				}
			})
		})
	}
}

func TestBrokenListenerEndsRun(t *testing.T) {
	l := newPipes()
	r := receive(t, l, &enqueuer{}, nil)
	l.Close()
	if err := <-r.done; !errors.Is(err, net.ErrClosed) || !strings.Contains(err.Error(), "127.0.0.1:2525") {
		t.Errorf("Run = %v; want net.ErrClosed with the address", err)
	}
	r.stop()
}
