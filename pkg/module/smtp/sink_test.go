package smtp_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"cgq/pkg/mail"
	"cgq/pkg/module/moduletest"
	"cgq/pkg/module/smtp"
	"cgq/pkg/resolver"
	"cgq/pkg/serverlog"
	"cgq/pkg/stats"
)

// A sink is another server. It plays what answer says.
type sink struct {
	ext []string // what it offers

	// answer returns the reply to a command on the n-th connection, from 1. The
	// command is "connect", a line, or "." for a text. Empty: a good reply; "drop":
	// none, the connection breaks. A 421 closes it, too.
	answer func(n int, command string) string

	mu       sync.Mutex
	conns    map[net.Conn]bool
	total    int
	most     int // at the same time
	broken   bool
	empty    int // empty texts for nobody
	commands []string
	arrivals []moduletest.Arrival
}

// serve speaks on one connection.
func (s *sink) serve(c net.Conn) {
	s.mu.Lock()
	if s.conns == nil {
		s.conns = map[net.Conn]bool{}
	}
	s.total++
	n := s.total
	s.conns[c] = true
	s.most = max(s.most, len(s.conns))
	s.mu.Unlock()
	defer func() {
		c.Close()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	r := bufio.NewReader(c)
	var to []mail.Address
	choose := func(command, good string) string {
		if s.answer != nil {
			if a := s.answer(n, command); a != "" {
				return a
			}
		}
		return good
	}
	send := func(reply string) bool {
		if reply == "drop" {
			return false
		}
		_, err := io.WriteString(c, strings.ReplaceAll(reply, "\n", "\r\n")+"\r\n")
		return err == nil && !strings.HasPrefix(reply, "421")
	}
	say := func(command, good string) (string, bool) {
		reply := choose(command, good)
		return reply, send(reply)
	}
	refused := false // MAIL was
	_, ok := say("connect", "220 sink ESMTP")
	for ok {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSuffix(line, "\r\n")
		s.note(line)
		var reply string
		switch verb := strings.ToUpper(line[:min(4, len(line))]); verb {
		case "EHLO":
			_, ok = say(line, ehlo(s.ext))
		case "MAIL", "RSET":
			to = nil
			reply, ok = say(line, "250 2.0.0 ok")
			refused = verb == "MAIL" && reply[0] != '2'
		case "RCPT", "DATA":
			if refused {
				_, err := io.WriteString(c, "503 5.5.1 MAIL first\r\n")
				ok = err == nil
				break
			}
			if verb == "DATA" {
				if reply, ok = say(line, "354 go on"); ok && reply[0] == '3' {
					text, whole := readText(r)
					if ok = whole; ok {
						reply = choose(".", "250 2.6.0 99811793 message accepted")
						s.keep(reply, to, text)
						ok = send(reply)
					}
				}
				break
			}
			if reply, ok = say(line, "250 2.1.5 ok"); reply[0] == '2' {
				to = append(to, pathOf(line))
			}
		case "QUIT":
			s.mu.Lock()
			delete(s.conns, c) // before the other side can open another one
			s.mu.Unlock()
			say(line, "221 bye")
			return
		default:
			_, ok = say(line, "250 ok")
		}
	}
}

// readText reads a text up to the final dot. A bare CR or LF stays in it.
func readText(r *bufio.Reader) (string, bool) {
	var b strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", false
		}
		if line == ".\r\n" {
			return b.String(), true
		}
		b.WriteString(strings.TrimPrefix(strings.Replace(line, "\r\n", "\n", 1), "."))
	}
}

// keep notes what arrives when the reply is good.
func (s *sink) keep(reply string, to []mail.Address, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case len(to) == 0 && text == "":
		s.empty++
	case reply[0] == '2':
		s.arrivals = append(s.arrivals, moduletest.Arrival{To: to, Text: text})
	}
}

func ehlo(ext []string) string {
	if len(ext) == 0 {
		return "250 sink"
	}
	lines := "250-sink"
	for i, e := range ext {
		sep := "-"
		if i == len(ext)-1 {
			sep = " "
		}
		lines += "\n250" + sep + e
	}
	return lines
}

func pathOf(line string) mail.Address {
	_, path, _ := strings.Cut(line, ":")
	path, _, _ = strings.Cut(path, "> ")
	a, err := mail.ParsePath("<" + strings.Trim(path, "<>") + ">")
	if err != nil {
		panic(err)
	}
	return a
}

func (s *sink) note(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commands = append(s.commands, line)
}

// heard returns the commands so far.
func (s *sink) heard() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.commands...)
}

func (s *sink) received() []moduletest.Arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]moduletest.Arrival(nil), s.arrivals...)
}

// connections returns how many there were, and how many at the same time.
func (s *sink) connections() (total, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total, s.most
}

// setBroken makes it refuse connections and break those that it has, or mends it.
func (s *sink) setBroken(broken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = broken
	if broken {
		for c := range s.conns {
			c.Close()
		}
	}
}

// dial connects to the sink: over loopback, or over a pipe.
func (s *sink) dial(pipe bool) (net.Conn, error) {
	s.mu.Lock()
	broken := s.broken
	s.mu.Unlock()
	if broken {
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	}
	if pipe {
		client, server := net.Pipe()
		go s.serve(server)
		return client, nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return nil, err
	}
	server, err := l.Accept()
	if err != nil {
		return nil, err
	}
	go s.serve(server)
	return client, nil
}

// pipelining is what most servers offer.
var pipelining = []string{"PIPELINING", "8BITMIME", "SIZE 10000000"}

// dns knows example.com with two exchangers, and some that lack something.
var dns = resolver.Static{
	Hosts: map[string][]resolver.MX{
		"example.com":    {{Host: "mx1.example.com", Preference: 10}, {Host: "mx2.example.com", Preference: 20}},
		"loop.example":   {{Host: "mail.example.net", Preference: 10}, {Host: "mx2.example.com", Preference: 20}},
		"backup.example": {{Host: "mx1.example.com", Preference: 10}, {Host: "mail.example.net", Preference: 20}},
		"lost.example":   {{Host: "nowhere.example"}},
	},
	Addrs: map[string][]netip.Addr{
		"mx1.example.com": {netip.MustParseAddr("192.0.2.1")},
		"mx2.example.com": {netip.MustParseAddr("192.0.2.2")},
		"relay.example":   {netip.MustParseAddr("192.0.2.9")},
	},
	Errors: map[string]error{"null.example": resolver.ErrNullMX, "temporary.example": resolver.ErrTemporary},
}

// A sender is the module before sinks, by address.
type sender struct {
	*smtp.Module
	sinks    map[string]*sink // host:port
	pipe     bool
	settings atomic.Pointer[smtp.Settings]
	stats    stats.Set
	log      lines
}

func newSender(sinks map[string]*sink, edit func(*smtp.Send)) *sender {
	set := smtp.Defaults()
	if edit != nil {
		edit(&set.Send)
	}
	s := &sender{sinks: sinks}
	s.settings.Store(&set)
	log, _ := serverlog.New(&s.log, "SMTP", serverlog.All)
	s.Module = smtp.New(&s.settings, dns, func() string { return "mail.example.net" }, &s.stats, log)
	s.SetDial(func(ctx context.Context, _, address string) (net.Conn, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		to := s.sinks[address]
		if to == nil {
			return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
		}
		return to.dial(s.pipe)
	})
	return s
}

// one is a sender with one sink for example.com.
func one(to *sink, edit func(*smtp.Send)) *sender {
	return newSender(map[string]*sink{"192.0.2.1:25": to}, edit)
}

func address(s string) mail.Address {
	a, err := mail.ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}

// letter is a message to recipients.
func letter(to ...string) *moduletest.Message {
	m := &moduletest.Message{
		Envelope: mail.Envelope{ReturnPath: address("ann@a.example"), Source: mail.SMTP},
		Text:     "Subject: x\n\nhello\n.dot\n",
	}
	for _, r := range to {
		m.To = append(m.To, address(r))
	}
	return m
}

// transfer sends messages of a queue and returns the queue.
func (s *sender) transfer(t *testing.T, ctx context.Context, name string, msgs ...*moduletest.Message) *moduletest.Queue {
	t.Helper()
	q := moduletest.NewQueue(name, msgs...)
	s.Transfer(ctx, q)
	q.Check(t)
	return q
}

// outcome is what a queue says of itself, in one line a message: the results of its
// recipients, the delay of the message, the delay of the queue.
func outcome(q *moduletest.Queue, msgs ...*moduletest.Message) string {
	var b strings.Builder
	for _, m := range msgs {
		for _, r := range q.Results()[m.ID] {
			if r.Text == "" {
				b.WriteString("-; ")
				continue
			}
			fmt.Fprintf(&b, "%s %s %s; ", r.Action, r.Status, r.Text)
		}
		if r, ok := q.MessageDelayed(m.ID); ok {
			fmt.Fprintf(&b, "message %s %s; ", r.Status, r.Text)
		}
	}
	if r, ok := q.Delayed(); ok {
		fmt.Fprintf(&b, "queue %s %s; ", r.Status, r.Text)
	}
	return strings.TrimSuffix(b.String(), "; ")
}
