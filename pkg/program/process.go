package program

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

// MaxLine is the longest line of standard error that is handed on, in bytes.
const MaxLine = 4096

// A Process is a program that stays. Its methods, and writing, reading and closing, may be
// called at any time by anybody.
type Process struct {
	// Stdin is the program's standard input. After the end of the program Write fails with
	// [syscall.EPIPE] or [os.ErrClosed].
	Stdin io.WriteCloser
	// Stdout is the program's standard output, up to its end. What the program has left there
	// can be read for Command.Grace after its end. Close says that nobody reads any more.
	Stdout io.ReadCloser

	group *group
	stdin io.Closer
	done  chan struct{} // closed by the Process
	err   error         // after done
}

// Start starts a program that runs until it ends, [Process.Stop] is called, or ctx ends: then
// its group gets SIGTERM, and after Grace SIGKILL. Stdin, Time and Output of the Command are
// for Run alone; a Command that has them is refused. Errors are those of Run; if there is one
// nothing is left running.
func Start(ctx context.Context, c Command) (*Process, error) {
	if ctx.Err() != nil {
		return nil, c.fault("start", context.Cause(ctx))
	}
	if c.Stdin != nil || c.Time != 0 || c.Output != 0 {
		return nil, c.fault("start", errors.New("a program that stays has no Stdin, Time or Output"))
	}
	cmd := c.cmd()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, c.fault("standard input", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		closeAll(stdin, cmd.Stdin)
		return nil, c.fault("standard output", err)
	}
	lines := &lines{to: c.Stderr}
	cmd.Stdout, cmd.Stderr = w, lines
	g := newGroup(cmd)
	err = g.start()
	w.Close()
	if err != nil {
		r.Close()
		closeAll(stdin, cmd.Stdin)
		return nil, c.startFault(err)
	}
	out := &output{pipe: r, over: make(chan struct{})}
	p := &Process{Stdin: stdin, Stdout: out, group: g, stdin: stdin, done: make(chan struct{})}
	go p.run(ctx, c, out, lines)
	return p, nil
}

// closeAll closes both ends of a pipe that nobody was started for.
func closeAll(ends ...any) {
	for _, e := range ends {
		if c, ok := e.(io.Closer); ok {
			c.Close()
		}
	}
}

// run sees the program to its end.
func (p *Process) run(ctx context.Context, c Command, out *output, lines *lines) {
	defer close(p.done)
	var cause error
	select {
	case <-p.group.exited:
	case <-ctx.Done():
		if p.group.terminate(c.grace()) {
			cause = context.Cause(ctx)
		}
	}
	rest := time.NewTimer(c.grace())
	defer rest.Stop()
	<-p.group.ended
	lines.end()
	select {
	case <-out.over:
	case <-rest.C:
	}
	out.Close()

	if p.group.err != nil {
		p.err = c.fault("wait", p.group.err)
		return
	}
	var r Result
	r.Exit, r.Signal = p.group.status()
	switch {
	case cause != nil:
		p.err = c.fault("run", cause)
	case !r.OK():
		p.err = c.fault("run", errors.New(r.Reason()))
	}
}

// Stop ends the program: it closes Stdin, waits for grace, sends SIGTERM to the group, waits
// for grace, and sends SIGKILL. It returns when Done is closed.
func (p *Process) Stop(grace time.Duration) { p.stop(grace, grace) }

func (p *Process) stop(afterInput, afterTerm time.Duration) {
	p.stdin.Close()
	if !p.group.within(afterInput) {
		p.group.terminate(afterTerm)
	}
	<-p.done
}

// Done is closed when the program has ended, its group is killed, the last line of standard
// error is handed on, and standard output is read to its end, closed, or Grace is over.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err is why the program has ended: nil for exit status 0, and nil until Done is closed. After
// the end of the context it is the context's cause. A program that Stop had to kill was killed.
func (p *Process) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// An output is a pipe that knows when nobody wants anything from it any more.
type output struct {
	pipe *os.File
	once sync.Once
	over chan struct{} // closed by whoever meets the end, or closes
}

func (o *output) Read(p []byte) (int, error) {
	n, err := o.pipe.Read(p)
	if err != nil {
		o.end()
	}
	return n, err
}

func (o *output) Close() error {
	o.end()
	return o.pipe.Close()
}

func (o *output) end() { o.once.Do(func() { close(o.over) }) }

// lines hands on what is written to it line by line.
type lines struct {
	to   func(line string)
	line []byte
	some bool // there is a line, if only an empty one
}

func (l *lines) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		part, after, whole := bytes.Cut(rest, []byte("\n"))
		l.line = append(l.line, part[:min(len(part), MaxLine-len(l.line))]...)
		l.some = true
		if whole {
			l.end()
		}
		rest = after
	}
	return len(p), nil
}

// end ends the line, also the last one, which need not have an end.
func (l *lines) end() {
	if l.some && l.to != nil {
		l.to(string(bytes.TrimSuffix(l.line, []byte("\r"))))
	}
	l.line, l.some = l.line[:0], false
}
