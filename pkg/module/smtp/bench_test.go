package smtp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/module/smtp"
	"cgq/pkg/stats"
)

// null takes everything and keeps nothing.
type null struct{ ids atomic.Uint64 }

func (*null) Admit(context.Context, *mail.Envelope) error                 { return nil }
func (*null) Check(context.Context, *mail.Envelope, mail.Recipient) error { return nil }
func (n *null) Submit(_ context.Context, _ *mail.Envelope, text io.Reader) (mail.ID, error) {
	if _, err := io.Copy(io.Discard, text); err != nil {
		return 0, err
	}
	return mail.ID(n.ids.Add(1)), nil
}

// text4K is a message of 4 KiB with CRLF and the final dot.
var text4K = func() string {
	var b strings.Builder
	b.WriteString("From: a@a.example\r\nTo: b@b.example\r\nSubject: hello\r\n\r\n")
	for b.Len() < 4096 {
		b.WriteString("0123456789 0123456789 0123456789 0123456789 0123456789 012345678\r\n")
	}
	return b.String() + ".\r\n"
}()

func listen(tb testing.TB) net.Listener {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// replies reads n replies and fails unless all are of a class below 4.
func replies(r *bufio.Reader, n int) error {
	for n > 0 {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) < 4 || line[0] > '3' {
			return fmt.Errorf("reply %q", line)
		}
		if line[3] == ' ' {
			n--
		}
	}
	return nil
}

// flood sends messages over kept connections until n are accepted.
func flood(addr string, connections, n int, groups []string) error {
	var left atomic.Int64
	left.Store(int64(n))
	errs := make(chan error, connections)
	var wg sync.WaitGroup
	for range connections {
		wg.Go(func() { errs <- sendMany(addr, &left, groups) })
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// sendMany writes the groups of a message one by one, each with the replies it gets.
func sendMany(addr string, left *atomic.Int64, groups []string) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	r := bufio.NewReader(c)
	if err := replies(r, 1); err != nil {
		return err
	}
	if _, err := io.WriteString(c, "EHLO bench.example\r\n"); err != nil {
		return err
	}
	if err := replies(r, 1); err != nil {
		return err
	}
	raw, counts := make([][]byte, len(groups)), make([]int, len(groups))
	for i, g := range groups {
		raw[i], counts[i] = []byte(g), 1
		if strings.HasPrefix(g, "MAIL") {
			counts[i] = strings.Count(g, "\r\n")
		}
	}
	for left.Add(-1) >= 0 {
		for i, g := range raw {
			if _, err := c.Write(g); err != nil {
				return err
			}
			if err := replies(r, counts[i]); err != nil {
				return err
			}
		}
	}
	_, err = io.WriteString(c, "QUIT\r\n")
	return err
}

// BenchmarkReceive is messages of 4 KiB over kept connections, client and server in
// one process: in lock-step, as smtp-source sends, and with pipelining.
func BenchmarkReceive(b *testing.B) {
	for _, bb := range []struct {
		name   string
		groups []string
	}{
		{"lockstep", []string{"MAIL FROM:<a@a.example>\r\n", "RCPT TO:<b@b.example>\r\n", "DATA\r\n", text4K}},
		{"pipelined", []string{"MAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n", text4K}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			var settings atomic.Pointer[smtp.Settings]
			defaults := smtp.Defaults()
			settings.Store(&defaults)
			l := listen(b)
			r := smtp.NewReceiver(&settings, func() string { return "mail.example.com" }, &stats.Set{},
				slog.New(slog.DiscardHandler))
			r.Listen([]net.Listener{l})
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- r.Run(ctx, &null{}) }()
			b.SetBytes(int64(len(text4K)))
			b.ReportAllocs()
			b.ResetTimer()
			if err := flood(l.Addr().String(), 50, b.N, bb.groups); err != nil {
				b.Error(err)
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
			cancel()
			if err := <-done; err != nil {
				b.Error(err)
			}
		})
	}
}

// drain is another server that takes everything as fast as it can.
func drain(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			r := bufio.NewReaderSize(c, 16<<10)
			_, _ = io.WriteString(c, "220 drain ESMTP\r\n")
			for text := false; ; {
				line, err := r.ReadSlice('\n')
				reply := ""
				switch {
				case err != nil:
					return
				case text && string(line) != ".\r\n":
				case line[0] == 'E':
					reply = "250-drain\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE\r\n"
				case line[0] == 'D':
					text = true
					reply = "354 go\r\n"
				default:
					text = false
					reply = "250 2.0.0 ok\r\n"
				}
				if _, err := io.WriteString(c, reply); err != nil {
					return
				}
			}
		}()
	}
}

// An endless queue has messages until left is used up.
type endless struct {
	left *atomic.Int64
	text string
	name string
}

func (q *endless) Name() string    { return q.name }
func (*endless) Delay(mail.Result) {}

func (q *endless) Due(context.Context) iter.Seq[*module.Transfer] {
	env := &mail.Envelope{ReturnPath: mail.Address{Local: "a", Domain: "a.example"}}
	to := []module.Recipient{{To: mail.Address{Local: "b", Domain: "b.example"}}}
	return func(yield func(*module.Transfer) bool) {
		l := &lent{text: q.text}
		for q.left.Add(-1) >= 0 {
			if !yield(&module.Transfer{ID: 1, Envelope: env, Recipients: to, Size: int64(len(q.text)), Lease: l}) {
				return
			}
		}
	}
}

// lent is the lease of a message in memory.
type lent struct {
	module.Lease
	text    string
	r       strings.Reader
	results [mail.Failed + 1]int
}

func (l *lent) Open() (io.ReadSeekCloser, error) {
	l.r.Reset(l.text)
	return struct {
		io.ReadSeeker
		io.Closer
	}{&l.r, io.NopCloser(nil)}, nil
}
func (l *lent) Settle(_ int, r mail.Result) { l.results[r.Action]++ }

// BenchmarkTries is what is remembered of 10,000 queues whose hosts do not answer, or refuse
// with the longest reply, and what it costs to look one up.
func BenchmarkTries(b *testing.B) {
	long := strings.Repeat("x", 500)
	for _, bb := range []struct {
		name string
		err  error
	}{{"refused", syscall.ECONNREFUSED}, {"long", errors.New(long)}} {
		b.Run(bb.name, func(b *testing.B) {
			s := newSender(nil, nil)
			m := smtp.New(&s.settings, dns, func() string { return "mail.example.net" }, &s.stats, quiet)
			m.SetDial(func(context.Context, string, string) (net.Conn, error) {
				return nil, errors.New(strings.Clone(bb.err.Error()))
			})
			before := live()
			for i := range 10_000 {
				left := new(atomic.Int64)
				left.Store(1)
				m.Transfer(b.Context(), &endless{left, "x", fmt.Sprintf("[10.0.%d.%d]", i/250, i%250)})
			}
			bytes := float64(live()-before) / 10_000
			b.ReportAllocs()
			for b.Loop() {
				if e := m.Explain(b.Context(), "[10.0.7.7]"); len(e.Tries) != 1 {
					b.Fatalf("%+v", e)
				}
			}
			b.ReportMetric(bytes, "B/try") // with its queue
		})
	}
}

// live is the bytes of the heap that are in use.
func live() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// BenchmarkSend is messages of 4 KiB over 20 connections, both sides in one process.
func BenchmarkSend(b *testing.B) {
	l := listen(b)
	defer l.Close()
	go drain(l)
	var settings atomic.Pointer[smtp.Settings]
	set := smtp.Defaults()
	set.Send.Relay, set.Send.MessagesPerConnection = l.Addr().String(), 0
	settings.Store(&set)
	m := smtp.New(&settings, dns, func() string { return "mail.example.net" }, &stats.Set{}, slog.New(slog.DiscardHandler))
	text := strings.ReplaceAll(strings.TrimSuffix(text4K, ".\r\n"), "\r\n", "\n")
	var left atomic.Int64
	left.Store(int64(b.N))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { m.Transfer(ctx, &endless{&left, text, "[192.0.2.1]"}) })
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}
