package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"time"

	"cgq/bench/rig"
)

// A load is what the source sends in one measurement.
type load struct {
	Messages int `json:"messages"`
	Sessions int `json:"sessions"` // at the same time
	Bytes    int `json:"bytes"`    // of a body
}

// run sends the load to port and returns when all is accepted or, with a sink, when the
// sink, which has counted had before, has counted all.
func (l load) run(ctx context.Context, port int, kept bool, to *sink, had int) error {
	args := []string{
		"-s", strconv.Itoa(l.Sessions), "-l", strconv.Itoa(l.Bytes), "-m", strconv.Itoa(l.Messages),
		"-M", "src.test", "-f", "sender@src.test", "-t", "rcpt@dst.test",
	}
	if kept {
		args = append(args, "-d")
	}
	cmd := exec.CommandContext(ctx, "smtp-source", append(args, rig.Address(port))...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("smtp-source: %w: %s", rig.Cause(ctx, err), bytes.TrimSpace(out))
	}
	if to == nil {
		return nil
	}
	return to.wait(ctx, had+l.Messages)
}

// A sink is a running smtp-sink, the next hop.
type sink struct {
	*rig.Process
	counts *os.File // what -c prints: "sess=1 quit=0 mesg=7\r", again and again
}

// startSink returns when the sink answers on port.
func startSink(ctx context.Context, port int) (*sink, error) {
	// A file, not a pipe: nobody has to wake up for each count. It is never synced.
	f, err := os.CreateTemp("", "bench-sink-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, err
	}
	args := []string{"-c", "-m", "500"}
	if os.Getuid() == 0 {
		args = append(args, "-u", "nobody") // it refuses to work as root
	}
	cmd := exec.Command("smtp-sink", append(args, rig.Address(port), "1000")...)
	cmd.Stdout, cmd.Stderr = f, os.Stderr
	p, err := rig.StartProcess(cmd)
	if err != nil {
		f.Close()
		return nil, err
	}
	s := &sink{p, f}
	if err := p.Ready(ctx, port); err != nil {
		s.close()
		return nil, fmt.Errorf("smtp-sink: %w", err)
	}
	return s, nil
}

func (s *sink) close() {
	s.Kill()
	s.counts.Close()
}

// count says how many messages have come to their final dot.
func (s *sink) count() (int, error) {
	fi, err := s.counts.Stat()
	if err != nil {
		return 0, err
	}
	tail := make([]byte, 256)
	n, err := s.counts.ReadAt(tail, max(0, fi.Size()-int64(len(tail))))
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	return lastCount(tail[:n])
}

// lastCount reads the last whole counter line in b; no line is zero.
func lastCount(b []byte) (int, error) {
	end := bytes.LastIndexByte(b, '\r')
	if end < 0 {
		return 0, nil
	}
	_, number, ok := bytes.Cut(b[bytes.LastIndexByte(b[:end], ' ')+1:end], []byte("mesg="))
	if !ok {
		return 0, fmt.Errorf("smtp-sink counts in an unknown form: %q", b)
	}
	return strconv.Atoi(string(number))
}

// stall is how long no message may come before no more will: a server that delayed some
// tries them again much later.
const stall = 30 * time.Second

// wait returns when the sink has counted n messages.
func (s *sink) wait(ctx context.Context, n int) error {
	last, since := 0, time.Now()
	return rig.Poll(ctx, 2*time.Millisecond, func() (done bool, err error) {
		got, err := s.count()
		switch {
		case err != nil || got >= n:
			return true, err
		case got > last:
			last, since = got, time.Now()
		case time.Since(since) > stall:
			return false, fmt.Errorf("the sink has counted %d of %d messages, and none for %v", got, n, stall)
		}
		return false, nil
	})
}
