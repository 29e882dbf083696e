package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"time"

	"cgq/bench/rig"
)

// A call is something that an administrator types.
type call struct {
	name string
	args []string
	rows int // lines that must come, to a tenth more or less, and a few
}

const (
	typedList     = "cgq queue list"
	typedComplete = "completion of a queue's name"
	typedMessages = "cgq message list -o jsonl"
)

// offered is how many names a completion offers at most.
const offered = 500

// face is the part in which administrators type, so that the start of cgq counts too.
func face(b *bench) (*rig.Table, measurement) {
	t := &rig.Table{Name: "face", About: "the program cgq, from its start until it has ended and the last line is read here",
		Columns: rig.Columns("%.1f ms", "%.0f lines/s", "%.0f MB of cgq at most", "%.0f MB more of cgqd", "%.0f lines")}
	t.Most(typedList, "ms", 30)
	t.Most(typedComplete, "ms", 200)
	t.Least(typedMessages, "lines/s", 100_000)
	t.Most(typedMessages, "MB of cgq at most", 64)
	t.Most(typedMessages, "MB more of cgqd", 64)
	return t, func(ctx context.Context, t *rig.Table) error {
		program, err := rig.Program(b.bin, "cgq")
		if err != nil {
			return err
		}
		calls := []call{
			{typedList, []string{"queue", "list"}, b.stock.queues + 1},
			{typedComplete, []string{"__complete", "queue", "show", "SMTP", ""}, min(b.stock.queues, offered)},
			{typedMessages, []string{"message", "list", "-o", "jsonl"}, b.stock.messages},
		}
		return b.eachRound(ctx, t, func(int) error {
			for _, c := range calls { // each by itself: a list of everything leaves cgqd a heap to collect
				for range turns {
					if err := b.typed(ctx, t, program, c); err != nil {
						return fmt.Errorf("%s: %w", c.name, err)
					}
				}
			}
			return nil
		})
	}
}

// typed files one call.
func (b *bench) typed(ctx context.Context, t *rig.Table, program string, c call) error {
	_, before, err := b.process.Memory()
	if err != nil {
		return err
	}
	var peak, most int64 // of cgq, and of cgqd meanwhile
	cmd := exec.CommandContext(ctx, program, append([]string{"--base", b.base}, c.args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	lines, read := countLines(out, func() {
		if hers, _, err := rig.MemoryOf(cmd.Process.Pid); err == nil { // else it has just ended
			peak = max(peak, hers)
		}
		if _, now, err := b.process.Memory(); err == nil { // else the list is not whole
			most = max(most, now)
		}
	})
	if err := errors.Join(read, cmd.Wait()); err != nil {
		return err
	}
	took := time.Since(begin)
	if margin := c.rows/10 + 10; lines < c.rows-margin || lines > c.rows+margin {
		return fmt.Errorf("%d lines, not some %d", lines, c.rows)
	}
	t.Add(c.name, rig.Milliseconds(took), float64(lines)/took.Seconds(), float64(peak)/(1<<20), float64(max(most-before, 0))/(1<<20), float64(lines))
	return nil
}

// countLines reads to the end, and calls look when the first line is there and once in
// every MiB.
func countLines(r io.Reader, look func()) (n int, err error) {
	in := bufio.NewReaderSize(r, 64<<10)
	for fills := 0; ; {
		if in.Buffered() == 0 {
			if _, _ = in.Peek(1); fills%16 == 0 { // the read has the error
				look()
			}
			fills++
		}
		_, err := in.ReadSlice('\n')
		switch {
		case err == nil:
			n++
		case errors.Is(err, io.EOF):
			return n, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return n, err
		}
	}
}
