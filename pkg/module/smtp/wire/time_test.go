package wire_test

import (
	"bufio"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cgq/pkg/module/smtp/wire"
)

// A peer talks to a served connection over a pipe, in a bubble.
type peer struct {
	t testing.TB
	net.Conn
	r       *bufio.Reader
	session *session
	conn    *wire.Conn
	closed  <-chan struct{}
}

func dial(t *testing.T, opt wire.Options) *peer {
	client, server := net.Pipe()
	t.Cleanup(func() { client.Close() })
	p := &peer{t: t, Conn: client, r: bufio.NewReader(client)}
	p.session, p.conn, p.closed = serve(t, server, opt)
	p.want("220 ")
	return p
}

func (p *peer) say(text string) {
	p.t.Helper()
	if _, err := p.Write([]byte(text)); err != nil {
		p.t.Fatalf("write %q: %v", text, err)
	}
}

// want reads a reply, which has to begin with prefix.
func (p *peer) want(prefix string) {
	p.t.Helper()
	for {
		line, err := p.r.ReadString('\n')
		if err != nil {
			p.t.Fatalf("no reply %q: %v", prefix, err)
		}
		if len(line) > 3 && line[3] == '-' {
			continue
		}
		if !strings.HasPrefix(line, prefix) {
			p.t.Fatalf("reply %q, want %q", line, prefix)
		}
		return
	}
}

// end reads until the server closes, and returns what it said.
func (p *peer) end() string {
	rest, _ := io.ReadAll(p.r)
	<-p.closed
	return string(rest)
}

func (p *peer) command(line, reply string) {
	p.t.Helper()
	p.say(line + "\r\n")
	p.want(reply)
}

// text brings the dialogue to the text.
func (p *peer) text() {
	p.t.Helper()
	p.command("EHLO client.example", "250")
	p.command("MAIL FROM:<a@a>", "250")
	p.command("RCPT TO:<b@b>", "250")
	p.command("DATA", "354")
}

func TestIdleSessionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := dial(t, options())
		p.command("EHLO client.example", "250")
		time.Sleep(4 * time.Minute)
		p.command("NOOP", "250")
		begin := time.Now()
		if got := p.end(); !strings.HasPrefix(got, "421 4.4.2 ") || strings.Count(got, "\n") != 1 {
			t.Errorf("said %q at the end, want one 421 4.4.2", got)
		}
		if d := time.Since(begin); d != 5*time.Minute || p.conn.Err() != wire.ErrTimeout {
			t.Errorf("ended after %v with %v, want 5m, ErrTimeout", d, p.conn.Err())
		}
	})
}

// A sender that is slow but steady is heard to its end.
func TestSlowTextPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := dial(t, options())
		p.text()
		for range 25 {
			p.say("one line a minute\r\n")
			time.Sleep(time.Minute)
		}
		p.say(".\r\n")
		p.want("250 2.0.0")
		if got := p.session.messages(); len(got) != 1 || got[0].text != strings.Repeat("one line a minute\n", 25) {
			t.Errorf("accepted %q", got)
		}
	})
}

// What comes behind a stall is not a command: the peer believes that it is text.
func TestTimeoutWithinTextIsForEver(t *testing.T) {
	for _, start := range []string{"", "half a line", "a line\r\n", "a line\r\n."} {
		synctest.Test(t, func(t *testing.T) {
			p := dial(t, options())
			p.text()
			if start != "" {
				p.say(start)
			}
			time.Sleep(5*time.Minute + time.Second)
			go func() {
				_, _ = io.WriteString(p.Conn, "MAIL FROM:<evil@a>\r\nRCPT TO:<b@b>\r\nDATA\r\nsmuggled\r\n.\r\nQUIT\r\n")
			}()
			if got := p.end(); !strings.HasPrefix(got, "421 4.4.2 ") || strings.Count(got, "\n") != 1 {
				t.Errorf("said %q behind %q, want one 421 4.4.2", got, start)
			}
			if got := p.session.messages(); len(got) != 0 || p.conn.Err() != wire.ErrTimeout {
				t.Errorf("accepted %q, %v; want nothing, ErrTimeout", got, p.conn.Err())
			}
		})
	}
}

// A byte every few minutes keeps a connection for the time allowed, not for ever.
func TestTrickleEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := dial(t, options())
		p.text()
		begin := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				if _, err := p.Write([]byte("x")); err != nil {
					return
				}
				time.Sleep(4 * time.Minute)
			}
		})
		got := p.end()
		d := time.Since(begin)
		wg.Wait()
		if !strings.HasPrefix(got, "421 4.4.2 ") {
			t.Errorf("said %q, want 421 4.4.2", got)
		}
		if d != 30*time.Minute || p.conn.Err() != wire.ErrSlow {
			t.Errorf("ended after %v with %v, want 30m, ErrSlow", d, p.conn.Err())
		}
	})
}

// More time is there for whoever keeps the rate.
func TestLargeTextMayTakeLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opt := options()
		opt.MaxText = 0
		p := dial(t, opt)
		p.text()
		piece := strings.Repeat("x", 64<<10-2) + "\r\n" // a minute at 1 KiB/s
		for range 120 {
			p.say(piece)
			time.Sleep(time.Minute)
		}
		p.say(".\r\n")
		p.want("250 2.0.0")
	})
}

func TestPeerThatDoesNotReadIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := dial(t, options())
		p.say("EHLO client.example\r\n")
		begin := time.Now()
		<-p.closed
		if d := time.Since(begin); d < time.Minute || d > 2*time.Minute || p.conn.Err() != wire.ErrTimeout {
			t.Errorf("ended after %v with %v, want 1m, ErrTimeout", d, p.conn.Err())
		}
	})
}

// A peer that was cut off and goes on for ever is heard for ten seconds, or until the stop.
func TestFloodEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		stop time.Duration // after the reply; 0: not
		want time.Duration
	}{{"by itself", 0, 10 * time.Second}, {"with the server", 3 * time.Second, 3 * time.Second}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opt := options()
				opt.MaxText = 1000
				p := dial(t, opt)
				p.text()
				var sending sync.WaitGroup
				sending.Go(func() {
					for {
						if _, err := io.WriteString(p.Conn, strings.Repeat("x", 100)); err != nil {
							return
						}
						time.Sleep(10 * time.Millisecond)
					}
				})
				p.want("552 5.3.4 ")
				begin := time.Now()
				if tt.stop > 0 {
					time.Sleep(tt.stop)
					p.conn.Stop()
				}
				rest := p.end()
				sending.Wait()
				if d := time.Since(begin); d < tt.want || d > tt.want+10*time.Millisecond || rest != "" {
					t.Errorf("closed %v after the reply, with %q; want %v, and nothing", d, rest, tt.want)
				}
			})
		})
	}
}

func TestStop(t *testing.T) {
	for _, tt := range []struct {
		name string
		run  func(*peer)
		want string // at the end
		got  int    // messages
	}{
		{"before a command", func(p *peer) { p.conn.Stop() }, "421 4.3.2 ", 0},
		{"twice", func(p *peer) { p.conn.Stop(); p.conn.Stop() }, "421 4.3.2 ", 0},
		{"in a transaction", func(p *peer) {
			p.command("EHLO x", "250")
			p.command("MAIL FROM:<a@a>", "250")
			p.conn.Stop()
		}, "421 4.3.2 ", 0},
		{"in a text", func(p *peer) {
			p.text()
			p.say("half\r\n")
			p.conn.Stop()
			time.Sleep(time.Minute)
			p.say("whole\r\n.\r\n")
		}, "250 2.0.0 OK: queued\r\n421 4.3.2 ", 1},
		{"between chunks", func(p *peer) {
			p.command("EHLO x", "250")
			p.command("MAIL FROM:<a@a>", "250")
			p.command("RCPT TO:<b@b>", "250")
			p.say("BDAT 1\r\nx")
			p.want("250")
			p.conn.Stop()
		}, "421 4.3.2 ", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := dial(t, options())
				synctest.Wait()
				tt.run(p)
				got := p.end()
				if !strings.HasPrefix(got, tt.want) || strings.Count(got, "\n") != strings.Count(tt.want, "\n")+1 {
					t.Errorf("said %q, want %q", got, tt.want)
				}
				if n := len(p.session.messages()); n != tt.got || p.conn.Err() != wire.ErrStopped {
					t.Errorf("%d messages, %v; want %d, ErrStopped", n, p.conn.Err(), tt.got)
				}
			})
		})
	}
}

func TestKillEndsAText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := dial(t, options())
		p.text()
		p.say("x\r\n")
		synctest.Wait()
		p.conn.Kill()
		p.end()
		if got := p.session.messages(); len(got) != 0 {
			t.Errorf("accepted %q", got)
		}
	})
}
