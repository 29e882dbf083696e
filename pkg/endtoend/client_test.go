package endtoend

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func asRoot() bool { return os.Geteuid() == 0 }

// A client is an SMTP session with the daemon. It sends what it is given.
type client struct {
	conn net.Conn
	in   *bufio.Reader
}

func dial(address string) (*client, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(2 * patience))
	c := &client{conn, bufio.NewReader(conn)}
	if reply, err := c.reply(); err != nil || reply[0] != '2' {
		conn.Close()
		return nil, fmt.Errorf("greeting %q: %w", reply, err)
	}
	return c, nil
}

// reply reads a reply with all its lines, which end with LF then.
func (c *client) reply() (reply string, err error) {
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return reply, err
		}
		line, ok := strings.CutSuffix(line, "\r\n")
		if !ok || len(line) < 4 || line[0] < '2' || line[0] > '5' {
			return reply, fmt.Errorf("a reply that is not SMTP: %q", line)
		}
		reply += line + "\n"
		if line[3] != '-' {
			return reply, nil
		}
	}
}

// say sends a line and reads the reply.
func (c *client) say(line string) (string, error) {
	if _, err := io.WriteString(c.conn, line+"\r\n"); err != nil {
		return "", err
	}
	return c.reply()
}

// submit sends one message, in one go where that can be, and returns the reply to
// its end, or the first that is a refusal.
func (c *client) submit(from string, to []string, text []byte) (string, error) {
	lines := []string{"MAIL FROM:<" + from + ">"}
	for _, rcpt := range to {
		lines = append(lines, "RCPT TO:<"+rcpt+">")
	}
	for _, line := range append(lines, "DATA") {
		if reply, err := c.say(line); err != nil || reply[0] > '3' {
			return reply, err
		}
	}
	text = bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
	text = bytes.ReplaceAll(text, []byte("\n."), []byte("\n.."))
	if bytes.HasPrefix(text, []byte(".")) {
		text = append([]byte("."), text...)
	}
	if _, err := c.conn.Write(append(text, ".\r\n"...)); err != nil {
		return "", err
	}
	return c.reply()
}

func send(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: [!] send FROM TO FILE")
	}
	c, err := dial(ts.Getenv("SMTP"))
	ts.Check(err)
	defer c.conn.Close()
	_, err = c.say("EHLO client.test")
	ts.Check(err)
	reply, err := c.submit(args[0], args[1:2], []byte(ts.ReadFile(args[2])))
	ts.Check(err)
	_, _ = io.WriteString(ts.Stdout(), reply)
	if (reply[0] == '2') == neg {
		ts.Fatalf("the reply is %q", reply)
	}
	_, err = c.say("QUIT")
	ts.Check(err)
}

// unescape reads Go's escapes.
func unescape(ts *testscript.TestScript, s string) string {
	s, err := strconv.Unquote(`"` + strings.ReplaceAll(s, `"`, `\"`) + `"`)
	ts.Check(err)
	return s
}

func talk(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 || neg {
		ts.Fatalf("usage: talk FILE")
	}
	c, err := dial(ts.Getenv("SMTP"))
	ts.Check(err)
	defer c.conn.Close()
	inText := false
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		line = unescape(ts, strings.TrimSuffix(line, "\n"))
		if inText && line != "." {
			_, err := io.WriteString(c.conn, line+"\r\n")
			ts.Check(err)
			continue
		}
		reply, err := c.say(line)
		_, _ = io.WriteString(ts.Stdout(), reply)
		ts.Check(err)
		inText = strings.HasPrefix(reply, "354")
	}
}

// tokenField is the field with the token that tells a message from all others.
const tokenField = "X-Token: "

// A flood submits many messages over several connections, and keeps which of them
// were acknowledged.
type flood struct {
	number   int // of the floods of a story
	want     int
	to       []string // the recipients of each
	begun    atomic.Int64
	sessions sync.WaitGroup

	mu           sync.Mutex
	acknowledged []string
	refused      []string // replies
}

func (s *site) floodDo(ts *testscript.TestScript, args []string) {
	if len(args) == 0 || (s.flood == nil) != (args[0] == "start") {
		ts.Fatalf("usage: flood start|acked|end; start first, and once")
	}
	switch f := s.flood; args[0] {
	case "start":
		s.floods++
		f = &flood{number: s.floods, want: number(ts, args, 1), to: []string{"x@remote.test"}}
		if len(args) > 3 {
			f.to = args[3:]
		}
		for range number(ts, args, 2) {
			c, err := dial(ts.Getenv("SMTP"))
			ts.Check(err)
			f.sessions.Go(func() { f.session(c) })
		}
		s.flood = f
	case "acked":
		n := number(ts, args, 1)
		wait(ts, func() (bool, string) {
			f.mu.Lock()
			defer f.mu.Unlock()
			return len(f.acknowledged) >= n, fmt.Sprintf("%d acknowledged", len(f.acknowledged))
		})
	case "end":
		f.sessions.Wait()
		s.flood = nil
		if len(f.refused) > 0 {
			ts.Fatalf("%d refused, one of them: %s", len(f.refused), f.refused[0])
		}
		ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(strings.Join(f.acknowledged, "\n")+"\n"), 0o600))
		_, _ = fmt.Fprintf(ts.Stdout(), "acknowledged %d of %d\n", len(f.acknowledged), f.want)
	default:
		ts.Fatalf("flood %s: no such verb", args[0])
	}
}

// session submits one message after the other, until all are begun or the
// connection breaks.
func (f *flood) session(c *client) {
	defer c.conn.Close()
	if _, err := c.say("EHLO client.test"); err != nil {
		return
	}
	for {
		n := f.begun.Add(1)
		if n > int64(f.want) {
			return
		}
		token := fmt.Sprintf("%d-%d", f.number, n)
		text := tokenField + token + "\n\n" + strings.Repeat("text\n", 200)
		reply, err := c.submit("ann@example.org", f.to, []byte(text))
		if err != nil {
			return // and nobody knows of this one
		}
		f.mu.Lock()
		if strings.HasPrefix(reply, "250 ") {
			f.acknowledged = append(f.acknowledged, token)
		} else {
			f.refused = append(f.refused, reply)
		}
		f.mu.Unlock()
	}
}
