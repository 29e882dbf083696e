package endtoend

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// A peer is an SMTP server (RFC 5321) that says what a story wants it to say, and
// counts what it has taken.
type peer struct {
	listener net.Listener
	rules    []rule

	mu       sync.Mutex
	open     map[net.Conn]bool // nil: stopped
	heard    []string          // all commands
	messages []string
	tokens   map[string]int // how often each has arrived
	waiting  int            // commands that are held
	going    chan struct{}  // closed when they may go on
	sessions sync.WaitGroup
}

// A rule is the reply to commands that match; a dot is the end of a text.
type rule struct {
	command *regexp.Regexp
	reply   string
	hold    bool // the usual reply, when the story says so
	after   time.Duration
}

// newRule reads REGEXP => REPLY, REGEXP => hold, REGEXP => after DURATION REPLY.
func newRule(ts *testscript.TestScript, arg string) (r rule) {
	command, reply, ok := strings.Cut(arg, " => ")
	if !ok {
		ts.Fatalf("%q is not REGEXP => REPLY", arg)
	}
	if late, ok := strings.CutPrefix(reply, "after "); ok {
		var after string
		var err error
		after, reply, _ = strings.Cut(late, " ")
		r.after, err = time.ParseDuration(after)
		ts.Check(err)
	}
	var err error
	r.command, err = regexp.Compile(command)
	ts.Check(err)
	r.reply, r.hold = unescape(ts, reply), reply == "hold"
	return r
}

func (s *site) peerDo(ts *testscript.TestScript, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: peer start|waits|go|got|heard|has|stop NAME...")
	}
	p := s.peers[args[1]]
	if (p == nil) != (args[0] == "start") {
		ts.Fatalf("peer %s %s: it runs: %v", args[0], args[1], p != nil)
	}
	switch verb, name, args := args[0], args[1], args[2:]; verb {
	case "start":
		s.peers[name] = newPeer(ts, args)
	case "waits":
		wait(ts, func() (bool, string) {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.waiting > 0, "no command is held"
		})
	case "go":
		close(p.going)
	case "got":
		keep(ts, name, p.got(ts, number(ts, args, 0)))
	case "heard":
		p.hasHeard(ts, args)
	case "has":
		p.has(ts, args[0])
	case "stop":
		p.stop()
		delete(s.peers, name)
	default:
		ts.Fatalf("peer %s: no such verb", verb)
	}
}

func newPeer(ts *testscript.TestScript, args []string) *peer {
	if len(args) == 0 {
		ts.Fatalf("usage: peer start NAME ADDR RULE...")
	}
	p := &peer{open: map[net.Conn]bool{}, tokens: map[string]int{}, going: make(chan struct{})}
	for _, arg := range args[1:] {
		p.rules = append(p.rules, newRule(ts, arg))
	}
	var err error
	p.listener, err = net.Listen("tcp", args[0])
	ts.Check(err)
	p.sessions.Go(p.accept)
	return p
}

func (p *peer) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		stopped := p.open == nil
		if !stopped {
			p.open[conn] = true
			p.sessions.Go(func() { p.serve(conn) })
		}
		p.mu.Unlock()
		if stopped {
			conn.Close()
		}
	}
}

// stop ends all sessions, whatever they are doing.
func (p *peer) stop() {
	p.listener.Close()
	p.mu.Lock()
	for conn := range p.open {
		conn.Close()
	}
	p.open = nil
	select {
	case <-p.going:
	default:
		close(p.going)
	}
	p.mu.Unlock()
	p.sessions.Wait()
}

// serve is one session. It ends with the connection.
func (p *peer) serve(conn net.Conn) {
	defer func() {
		conn.Close()
		p.mu.Lock()
		delete(p.open, conn)
		p.mu.Unlock()
	}()
	in, out := bufio.NewReader(conn), bufio.NewWriter(conn)
	envelope := ""
	say := func(command, usual string) (good bool) {
		reply, after := p.reply(command, usual)
		if after > 0 {
			_ = out.Flush() // what was said before is not late
			time.Sleep(after)
		}
		_, _ = out.WriteString(reply + "\r\n") // the Flush has the error
		return reply[0] < '4'
	}
	say("CONNECT", "220 peer.test ESMTP")
	for {
		if in.Buffered() == 0 && out.Flush() != nil {
			return
		}
		line, err := in.ReadString('\n')
		command, canonical := strings.CutSuffix(line, "\r\n")
		if err != nil || !canonical {
			return
		}
		switch verb, _, _ := strings.Cut(strings.ToUpper(command), " "); verb {
		case "EHLO":
			say(command, "250-peer.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES")
		case "RSET":
			envelope = ""
			say(command, "250 2.0.0 ok")
		case "MAIL", "RCPT":
			if (verb == "MAIL") != (envelope == "") {
				say(command, "503 5.5.1 not now")
			} else if say(command, "250 2.1.0 ok") {
				envelope += command + "\n"
			}
		case "DATA":
			if !strings.Contains(envelope, "RCPT") {
				say(command, "503 5.5.1 no recipients")
				continue
			}
			if !say(command, "354 go on") {
				continue
			}
			if out.Flush() != nil {
				return
			}
			text, err := readText(in)
			if err != nil {
				return
			}
			// Counted before it is acknowledged: what the client knows, we know.
			if reply, _ := p.reply(".", ""); reply != "" {
				_, _ = out.WriteString(reply + "\r\n")
			} else {
				_, _ = fmt.Fprintf(out, "250 2.0.0 taken as %d\r\n", p.take(envelope, text))
			}
			envelope = ""
		case "QUIT":
			say(command, "221 2.0.0 bye")
			_ = out.Flush()
			return
		default:
			say(command, "500 5.5.1 what?")
		}
	}
}

// reply is what a rule says to a command, and how long it takes for it, or the usual.
func (p *peer) reply(command, usual string) (string, time.Duration) {
	p.mu.Lock()
	p.heard = append(p.heard, command)
	p.mu.Unlock()
	for _, r := range p.rules {
		switch {
		case !r.command.MatchString(command):
		case r.hold:
			p.mu.Lock()
			p.waiting++
			p.mu.Unlock()
			<-p.going
			return usual, 0
		default:
			return r.reply, r.after
		}
	}
	return usual, 0
}

// readText reads the text of a message: lines end with CRLF and nothing else, dots
// are stuffed (RFC 5321 §4.5.2).
func readText(in *bufio.Reader) (string, error) {
	var text bytes.Buffer
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return "", err
		}
		line, ok := bytes.CutSuffix(line, []byte("\r\n"))
		if !ok || bytes.ContainsAny(line, "\r\x00") {
			return "", fmt.Errorf("a line that is not one of SMTP: %.100q", line)
		}
		if string(line) == "." {
			return text.String(), nil
		}
		text.Write(bytes.TrimPrefix(line, []byte(".")))
		text.WriteByte('\n')
	}
}

func (p *peer) take(envelope, text string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for line := range strings.Lines(text) {
		if token, ok := strings.CutPrefix(line, tokenField); ok {
			p.tokens[strings.TrimSpace(token)]++
		}
	}
	p.messages = append(p.messages, envelope+"\n"+text)
	return len(p.messages)
}

// got waits for messages.
func (p *peer) got(ts *testscript.TestScript, n int) (all []string) {
	wait(ts, func() (bool, string) {
		p.mu.Lock()
		defer p.mu.Unlock()
		all = p.messages
		return len(all) >= n, fmt.Sprintf("the peer has %d messages, want %d", len(all), n)
	})
	if len(all) > n {
		ts.Fatalf("the peer has %d messages, want %d", len(all), n)
	}
	return all
}

// hasHeard checks how many commands matched.
func (p *peer) hasHeard(ts *testscript.TestScript, args []string) {
	n := number(ts, args, 0)
	if len(args) != 2 {
		ts.Fatalf("usage: peer heard NAME N REGEXP")
	}
	re, err := regexp.Compile(args[1])
	ts.Check(err)
	p.mu.Lock()
	defer p.mu.Unlock()
	heard := slices.DeleteFunc(slices.Clone(p.heard), func(command string) bool { return !re.MatchString(command) })
	if len(heard) != n {
		ts.Fatalf("the peer has heard %q, want %d", heard, n)
	}
}

// has checks that every token in a file has arrived.
func (p *peer) has(ts *testscript.TestScript, file string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	acknowledged, lost, again := strings.Fields(ts.ReadFile(file)), 0, 0
	for _, token := range acknowledged {
		if p.tokens[token] == 0 {
			lost++
			ts.Logf("%s was acknowledged, and has not arrived", token)
		}
	}
	for _, n := range p.tokens {
		again += n - 1
	}
	_, _ = fmt.Fprintf(ts.Stdout(), "acknowledged %d, arrived %d, lost %d, again %d\n",
		len(acknowledged), len(p.tokens), lost, again)
	if lost > 0 || len(acknowledged) == 0 {
		ts.Fatalf("%d of %d acknowledged messages are lost", lost, len(acknowledged))
	}
}

// A sink is a smtp-sink that runs.
type sink struct {
	cmd *exec.Cmd

	mu    sync.Mutex
	count string // what it has written: sess=1 quit=1 mesg=1\r, again and again
}

// Write hears the counters.
func (k *sink) Write(b []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.count += string(b)
	if i := strings.LastIndexByte(strings.TrimRight(k.count, "\r"), '\r'); i > 0 {
		k.count = k.count[i:]
	}
	return len(b), nil
}

func (k *sink) stop() {
	_ = k.cmd.Process.Kill()
	_ = k.cmd.Wait() // killed
}

var mesg = regexp.MustCompile(`mesg=([0-9]+)\r`)

func (s *site) sinkDo(ts *testscript.TestScript, args []string) {
	if len(args) == 0 || (s.sink == nil) != (args[0] == "start") {
		ts.Fatalf("usage: sink start|count|stop; start first, and once")
	}
	switch args[0] {
	case "start":
		s.startSink(ts, args[1:])
	case "count":
		n := number(ts, args, 1)
		wait(ts, func() (bool, string) {
			s.sink.mu.Lock()
			defer s.sink.mu.Unlock()
			m := mesg.FindAllStringSubmatch(s.sink.count, -1)
			if len(m) == 0 {
				return n == 0, fmt.Sprintf("no count: %q", s.sink.count)
			}
			got := m[len(m)-1][1]
			return got == fmt.Sprint(n), fmt.Sprintf("smtp-sink has %s messages, want %d", got, n)
		})
	case "stop":
		s.sink.stop()
		s.sink = nil
	}
}

// startSink starts smtp-sink and waits until it listens.
func (s *site) startSink(ts *testscript.TestScript, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: sink start ADDR FLAG...")
	}
	words := append([]string{"smtp-sink", "-c"}, args[1:]...)
	if asRoot() {
		words = append(words, "-u", "nobody") // it refuses to be root
	}
	k := &sink{cmd: command(ts, append(words, args[0], "1000")...)}
	k.cmd.Stdout, k.cmd.Stderr = k, k
	ts.Check(k.cmd.Start())
	s.sink = k
	wait(ts, func() (bool, string) {
		conn, err := net.Dial("tcp", args[0])
		if err != nil {
			return false, err.Error()
		}
		defer conn.Close()
		_, err = io.WriteString(conn, "QUIT\r\n")
		return err == nil, "smtp-sink does not take a QUIT"
	})
}
