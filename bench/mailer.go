package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// A mailer is a contestant to which programs of its machine hand mail.
type mailer interface {
	contestant
	// configure makes what the server needs, before it is started.
	configure(ctx context.Context, in place) error
	// sendmail is the call with which a program hands in a message.
	sendmail(ctx context.Context, in place) *exec.Cmd
	// drop leaves messages where the server, which does not run, finds them at its start; left
	// counts those that it has not taken yet.
	drop(ctx context.Context, in place, l load) (left func() (int, error), err error)
}

// The addresses of all messages that programs hand in.
const from, to = "sender@src.test", "rcpt@dst.test"

// message is one of so many bytes of text.
func message(size int) []byte {
	b := []byte("From: <" + from + ">\nTo: <" + to + ">\nSubject: bench\n\n")
	for line := bytes.Repeat([]byte("x"), 71); size > 0; size -= 72 {
		b = append(append(b, line[:max(0, min(len(line), size-1))]...), '\n')
	}
	return b
}

// A crowd of programs calls sendmail.
type crowd struct {
	cpu atomic.Int64 // of them and their children, in nanoseconds
}

// call makes so many calls, as many at a time as the load has sessions.
func (c *crowd) call(ctx context.Context, m mailer, in place, l load) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	text := message(l.Bytes)
	var next atomic.Int64
	var all sync.WaitGroup
	for range l.Sessions {
		all.Go(func() {
			for ctx.Err() == nil && next.Add(1) <= int64(l.Messages) {
				cmd := m.sendmail(ctx, in)
				cmd.Stdin = bytes.NewReader(text)
				out, err := cmd.CombinedOutput()
				if err != nil {
					cancel(fmt.Errorf("sendmail: %w: %s", err, bytes.TrimSpace(out)))
					return
				}
				c.cpu.Add(int64(cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()))
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// calls samples sendmail: the clock runs from the first call until the last has status 0.
func (b *bench) calls(ctx context.Context, m mailer, srv *server, in place) (s sample, err error) {
	l := b.load
	l.Messages = b.fewer()
	warm := l
	warm.Messages = min(l.Messages, 100)
	if err := new(crowd).call(ctx, m, in, warm); err != nil {
		return s, fmt.Errorf("warming up: %w", err)
	}
	if err := errors.Join(srv.Settle(ctx), b.site.Sync()); err != nil {
		return s, err
	}
	before, err := srv.CPU()
	if err != nil {
		return s, err
	}
	var callers crowd
	begin := time.Now()
	if err := callers.call(ctx, m, in, l); err != nil {
		return s, err
	}
	s.Seconds, s.Messages = time.Since(begin).Seconds(), l.Messages
	all, err := srv.atRest(ctx)
	if err != nil {
		return s, err
	}
	s.CPU = (all - before).Seconds() + time.Duration(callers.cpu.Load()).Seconds()
	return s, audit(ctx, srv, nil, warm.Messages+l.Messages)
}

// fewer is how many messages are handed in by programs: a program is started for each.
func (b *bench) fewer() int { return max(1, b.load.Messages/10) }

// drained samples drop: the clock runs from the start of the server, which finds the
// messages there, until it has taken all.
func (b *bench) drained(ctx context.Context, m mailer, in place) (s sample, err error) {
	l := b.load
	l.Messages = max(1, b.load.Messages/2)
	if err := m.configure(ctx, in); err != nil {
		return s, err
	}
	left, err := m.drop(ctx, in, l)
	if err != nil {
		return s, err
	}
	if err := b.site.Sync(); err != nil {
		return s, err
	}
	begin := time.Now()
	srv, err := m.start(ctx, in)
	if err != nil {
		return s, err
	}
	defer func() { err = srv.end(err) }()
	err = srv.While(ctx, 5*time.Millisecond, func() (bool, error) {
		n, err := left()
		return n == 0, err
	})
	if err != nil {
		return s, err
	}
	s.Seconds, s.Messages = time.Since(begin).Seconds(), l.Messages
	all, err := srv.atRest(ctx)
	if err != nil {
		return s, err
	}
	s.CPU = all.Seconds()
	return s, audit(ctx, srv, nil, l.Messages)
}

// filesIn counts the files in a directory and below it.
func filesIn(dir string) func() (int, error) {
	return func() (n int, err error) {
		err = walkFiles(dir, func() { n++ })
		return n, err
	}
}

func (c cgqd) base(in place) string { return filepath.Join(in.dir, "base") }

// sendmail implements mailer: cgq by another name.
func (c cgqd) sendmail(ctx context.Context, in place) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.client)
	cmd.Args = []string{"sendmail", "-i", "-f", from, to}
	cmd.Env = append(os.Environ(), "CGQ_BASE="+c.base(in))
	return cmd
}

// drop implements mailer.
func (c cgqd) drop(_ context.Context, in place, l load) (left func() (int, error), err error) {
	dir := filepath.Join(c.base(in), "Submitted")
	text := append([]byte("Return-Path: <"+from+">\n"), message(l.Bytes)...)
	for n := range l.Messages {
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(n)+".sub"), text, 0o600); err != nil {
			return nil, err
		}
	}
	return filesIn(dir), nil
}

// sendmail implements mailer.
func (p postfix) sendmail(ctx context.Context, in place) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "sendmail", "-i", "-f", from, to)
	cmd.Env = append(os.Environ(), "MAIL_CONFIG="+p.conf(in))
	return cmd
}

// drop implements mailer: sendmail leaves messages in maildrop also when nothing runs.
func (p postfix) drop(ctx context.Context, in place, l load) (left func() (int, error), err error) {
	if err := new(crowd).call(ctx, p, in, l); err != nil {
		return nil, err
	}
	left = filesIn(filepath.Join(p.queue(in), "maildrop"))
	if n, err := left(); err != nil || n != l.Messages {
		return nil, fmt.Errorf("%d files in maildrop, want %d: %w", n, l.Messages, err)
	}
	return left, nil
}

var _ = []mailer{cgqd{}, postfix{}}
