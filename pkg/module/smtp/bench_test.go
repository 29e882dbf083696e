package smtp_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"cgq/pkg/mail"
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
			r := smtp.NewReceiver([]net.Listener{l}, &settings, func() string { return "mail.example.com" }, &stats.Set{}, slog.New(slog.DiscardHandler))
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
