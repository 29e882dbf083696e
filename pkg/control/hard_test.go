package control_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"cgq/pkg/control"
)

// nobody may anything.
func nobody(control.Actor) []control.Right { return nil }

// connect is a connection of somebody who writes what he likes.
func connect(t *testing.T, path string) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// put writes as far as the server lets it.
func put(c net.Conn, text string) { _, _ = io.WriteString(c, text) }

// toTheEnd is everything that comes till the server hangs up.
func toTheEnd(t *testing.T, c net.Conn) string {
	t.Helper()
	b, err := io.ReadAll(c)
	if os.IsTimeout(err) {
		t.Error("the server does not hang up")
	}
	return string(b)
}

// Those who send slowly, not at all, half of it or too much are answered or hung up on, and
// meanwhile nobody waits for them.
func TestCallersWhoDoNotSendWhatTheyShould(t *testing.T) {
	const header = "POST /v1/queue/release HTTP/1.1\r\nHost: cgqd\r\n"
	slowly := func(c net.Conn, text string) {
		for i := range len(text) {
			put(c, text[i:i+1])
			time.Sleep(30 * time.Millisecond)
		}
	}
	for _, tt := range []struct {
		name  string
		grant func(control.Actor) []control.Right
		send  func(c net.Conn)
		want  string // in the answer; empty: none
	}{
		{"nothing", all, func(net.Conn) {}, ""},
		{"half a header", all, func(c net.Conn) { put(c, "POST /v1/que") }, ""},
		{"a header, a byte at a time", all, func(c net.Conn) { slowly(c, header) }, ""},
		{"no body", all, func(c net.Conn) { put(c, header+"Content-Length: 100\r\n\r\n") }, "bad-request"},
		{"no body, and no right", nobody, func(c net.Conn) { put(c, header+"Content-Length: 100\r\n\r\n") }, "no-right"},
		{"no body, to nobody", all, func(c net.Conn) {
			put(c, "POST /v1/queue/eat HTTP/1.1\r\nHost: cgqd\r\nContent-Length: 100\r\n\r\n")
		}, "no-such-call"},
		{"a body, a byte at a time", all, func(c net.Conn) {
			slowly(c, header+"Content-Length: 100\r\n\r\n")
		}, ""},
		{"half a body, a byte at a time", all, func(c net.Conn) {
			put(c, header+"Content-Length: 100\r\n\r\n")
			slowly(c, `{"queue":["example.com"]`)
		}, "bad-request"},
		{"a chunk without an end", all, func(c net.Conn) { put(c, header+"Transfer-Encoding: chunked\r\n\r\nff\r\n{") }, "bad-request"},
		{"a header that is huge", all, func(c net.Conn) { put(c, header+"X: "+strings.Repeat("x", 100_000)+"\r\n\r\n") }, "431"},
		{"a thousand fields", all, func(c net.Conn) { put(c, header+strings.Repeat("X: xxxxxxxxxxxxxxx\r\n", 2000)+"\r\n") }, "431"},
		{"what is not HTTP", all, func(c net.Conn) { put(c, "EHLO a\r\n\r\n") }, "400"},
		{"two lengths", all, func(c net.Conn) {
			put(c, header+"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}}")
		}, "400"},
		{"a length and chunks", all, func(c net.Conn) {
			put(c, header+"Connection: close\r\nContent-Length: 100\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
		}, "empty-selection"},
		{"more than there may be", all, func(c net.Conn) {
			put(c, fmt.Sprintf("%sContent-Length: %d\r\n\r\n", header, 1<<40))
			b := make([]byte, 1<<20)
			for range 64 {
				if _, err := c.Write(b); err != nil {
					return
				}
			}
		}, "too-large"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := &control.Mux{Grant: tt.grant}
			m.SetPatience(200 * time.Millisecond)
			if tt.want == "too-large" { // it has to come first
				m.SetPatience(10 * time.Second)
			}
			control.Handle(m, control.QueueRelease, done(1))
			control.Handle(m, control.Ping, func(context.Context, control.Actor, control.Nothing) (control.Daemon, error) {
				return control.Daemon{}, nil
			})
			path := start(t, m)
			c := connect(t, path)
			sent := make(chan bool)
			go func() { tt.send(c); close(sent) }()
			if _, err := control.Ping.Do(t.Context(), control.Dial(path), control.Nothing{}); err != nil {
				t.Errorf("one beside him: %v", err)
			}
			answer := toTheEnd(t, c)
			if tt.want == "" && strings.Contains(answer, "200 OK") || !strings.Contains(answer, tt.want) {
				t.Errorf("answered %.300q, want %q", answer, tt.want)
			}
			<-sent
		})
	}
}

// One who leaves in the middle of his rows, or of his bytes, ends what is made for him.
func TestACallerWhoVanishes(t *testing.T) {
	m := &control.Mux{Grant: all}
	ended := make(chan string, 2)
	control.HandleRows(m, control.QueueList, func(ctx context.Context, _ control.Actor, _ control.Selection) queueRows {
		return func(yield func(control.QueueRow, error) bool) {
			for yield(control.QueueRow{Queue: "example.com"}, nil) {
			}
			ended <- "rows"
		}
	})
	control.HandleDownload(m, control.QueueBackup, func(_ context.Context, _ control.Actor, _ control.Nothing, w io.Writer) (control.Backup, error) {
		for {
			if _, err := w.Write(make([]byte, 10_000)); err != nil {
				ended <- "bytes"
				return control.Backup{}, err
			}
		}
	})
	path := start(t, m)
	for _, request := range []string{"queue/list", "queue/backup"} {
		c := connect(t, path)
		put(c, "POST /v1/"+request+" HTTP/1.1\r\nHost: cgqd\r\n\r\n")
		if _, err := io.ReadFull(c, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		c.Close()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Fatalf("%s goes on without a caller", request)
		}
	}
}

// Connections are counted by user: one user cannot keep another out, nor all the owner.
func TestTooManyConnections(t *testing.T) {
	var users []uint32
	const ann, bob, root = 4001, 4002, 0
	for range 2*control.MaxUser + 1 {
		users = append(users, ann)
	}
	users = append(users, bob, root)
	places, left := control.Crowded(users)
	for i, got := range places {
		want := 0
		switch {
		case users[i] != ann:
		case i >= 2*control.MaxUser:
			want = 2
		case i >= control.MaxUser:
			want = 1
		}
		if got != want {
			t.Errorf("connection %d, of %d: %d, want %d", i, users[i], got, want)
		}
	}
	if left != 0 {
		t.Errorf("%d are counted when all have left", left)
	}
	users = nil
	for i := range uint32(2*control.MaxOthers + 1) {
		users = append(users, 5000+i)
	}
	places, _ = control.Crowded(append(users, root))
	if places[control.MaxOthers-1] != 0 || places[control.MaxOthers] != 1 || places[2*control.MaxOthers] != 2 || places[2*control.MaxOthers+1] != 0 {
		t.Errorf("of many users: %v", places)
	}
}

// Who has too many connections is told so, and has room again when one is closed.
func TestTooManyConnectionsAreAnswered(t *testing.T) {
	m := &control.Mux{Grant: all}
	control.Handle(m, control.Ping, func(context.Context, control.Actor, control.Nothing) (control.Daemon, error) {
		return control.Daemon{PID: 7}, nil
	})
	path := start(t, m)
	const ping = "POST /v1/ping HTTP/1.1\r\nHost: cgqd\r\n\r\n"
	var open []net.Conn
	for range control.MaxOwner {
		open = append(open, connect(t, path))
	}
	for _, c := range open { // each is there
		put(c, ping)
		if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || line != "HTTP/1.1 200 OK\r\n" {
			t.Fatalf("%q, %v", line, err)
		}
	}
	_, err := control.Ping.Do(t.Context(), control.Dial(path), control.Nothing{})
	if kind(err) != control.KindBusy {
		t.Errorf("one too many: %v, want the kind %s", err, control.KindBusy)
	}
	open[0].Close()
	for end := time.Now().Add(10 * time.Second); ; {
		d, err := control.Ping.Do(t.Context(), control.Dial(path), control.Nothing{})
		if err == nil && d.PID == 7 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("after one has left: %v", err)
		}
	}
}

// Whatever comes as a request, the handler is called with what passes its check, or not at
// all, and the answer is JSON.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{`{}`, ``, `{"all":true}`, `{"queue":["a"],"text":"x","ids":[1,2]}`, `{"all":true}{"all":true}`, `{"all":1e99}`,
		`[`, `{"ids":[18446744073709551616]}`, `{"limit":-1,"all":true}`, "{\"where\":\"\xff\"}", `{"queue":null}`, `null`, `{"ALL":true}`} {
		f.Add("queue/reject", seed)
	}
	f.Add("log/tail", `{"lines":-5}`)
	f.Add("log/level", `{"tag":"x","level":9,"for":99999999999}`)
	f.Add("hold/add", `{"reason":"x","all":true,"for":-1}`)
	f.Add("check", `{"queue_warning":101}`)
	f.Add("../v1/ping", `{}`)
	m := &control.Mux{Grant: all}
	checked := func(in interface{ Check() error }) {
		if err := in.Check(); err != nil {
			panic(fmt.Sprintf("%+v reached the handler: %v", in, err))
		}
	}
	control.Handle(m, control.QueueReject, func(_ context.Context, _ control.Actor, in control.Act) (outcome, error) {
		checked(in)
		if in.Empty() {
			panic("nothing is everything")
		}
		return outcome{}, nil
	})
	control.HandleRows(m, control.LogTail, func(_ context.Context, _ control.Actor, in control.LogQuery) logLines {
		checked(in)
		return func(func(control.LogLine, error) bool) {}
	})
	control.Handle(m, control.LogLevelSet, func(_ context.Context, _ control.Actor, in control.LogLevelOrder) (control.LogLevel, error) {
		checked(in)
		return control.LogLevel{}, nil
	})
	control.Handle(m, control.HoldAdd, func(_ context.Context, _ control.Actor, in control.HoldOrder) (outcome, error) {
		checked(in)
		return outcome{}, nil
	})
	control.HandleRows(m, control.Check, func(_ context.Context, _ control.Actor, in control.CheckQuery) iter.Seq2[control.CheckItem, error] {
		checked(in)
		return func(func(control.CheckItem, error) bool) {}
	})
	f.Fuzz(func(t *testing.T, path, body string) {
		status, answer := m.Ask(0, path, body)
		if status == 500 {
			t.Fatalf("%s %q: %s", path, body, answer)
		}
		var e control.Error
		if err := json.Unmarshal([]byte(answer), &e); err != nil || status != 200 && (e.Kind == "" || e.Status != status) {
			t.Fatalf("%s %q: %d %q: %v", path, body, status, answer, err)
		}
	})
}

// FuzzStream is the other side: whatever a daemon answers, the client says that it is whole
// only when the last row does.
func FuzzStream(f *testing.F) {
	for _, seed := range []string{"", "{\"end\":{\"rows\":0}}\n", "{\"queue\":\"a\"}\n{\"end\":{\"rows\":1}}\n", "{\"queue\":\"a\"}\n{\"end\":{\"rows\":2}}\n",
		"{\"error\":{\"status\":500,\"kind\":\"fault\",\"text\":\"x\"}}\n", "{\"end\":null}\n", "{", "\n\n", "{\"end\":{\"rows\":0}} x\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		rows, err := collect(control.ReadRows(answer))
		if err != nil {
			return
		}
		for line := range strings.Lines(string(answer)) {
			var last struct{ End *struct{ Rows int } }
			if strings.HasPrefix(line, `{"end":`) && json.Unmarshal([]byte(line), &last) == nil && last.End != nil && last.End.Rows == len(rows) {
				return
			}
		}
		t.Errorf("%q is taken for a whole list of %d rows", answer, len(rows))
	})
}
