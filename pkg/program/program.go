// Package program starts the programs of others without a shell: those that a message
// is given to, and those that stay and are asked ([Run], [Start]). No argument is ever
// looked at by anybody but the program itself.
//
// What a program gets, and nothing else:
//
//   - descriptors 0, 1 and 2. To be sure of it, all others of this process are marked
//     close-on-exec before each start, also those that the server was started with.
//   - the variables PATH (the server's) and LANG=C, and what [Command.Env] says.
//   - a process group of its own, and the server's directory, umask and limits. A limit
//     on processes is not offered: RLIMIT_NPROC counts all processes of a user, and can
//     only be set by a program between us and the program.
//
// What becomes of its processes:
//
//   - At the end of the program the rest of its group is killed, always: while the
//     program is still a zombie, so that the number of the group is nobody else's.
//   - At a time limit, or when the context ends, the whole group gets SIGTERM, and after
//     [Command.Grace] SIGKILL.
//   - A process that left the group (setsid) is out of reach. It lives on, and holds up
//     nobody for longer than Grace, even if it keeps the output open.
//   - If the server dies the kernel sends the program SIGTERM (PR_SET_PDEATHSIG), whatever
//     the server died of. This reaches the program only, not the rest of its group, and
//     not a program that is set-user-ID. The signal comes when the thread ends that has
//     started the program; therefore a thread is kept that waits for the program.
//
// A server that is process 1 of a container needs an init before it: nobody here waits
// for processes whose parents have died.
package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
	"time"
)

// DefaultGrace is the Grace of a Command that does not say.
const DefaultGrace = 5 * time.Second

// A Command says what to start, and with what.
type Command struct {
	// Path is the file of the program. It is not looked for in PATH. A relative one is
	// meant relative to Dir.
	Path string
	// Args are the arguments after the program's name, which is Path.
	Args []string
	// Dir is the program's directory; empty: the server's.
	Dir string
	// Env are variables (NAME=value) besides PATH and LANG=C; of two the last counts.
	Env []string
	// User is who runs the program; nil: as the server. It takes the rights of root.
	User *User
	// Grace is how long a program may live after SIGTERM, and how long its output is waited
	// for after its end if a process outside its group keeps it open. 0: DefaultGrace.
	Grace time.Duration

	// Stdin is what Run gives to the program; nil: nothing. The program gets a pipe, also
	// if this is a file. Read must not block for ever.
	Stdin io.Reader
	// Time is how long Run lets the program run; 0: as long as it likes.
	Time time.Duration
	// Output is how many bytes Run keeps of standard output, and of standard error.
	Output int

	// Stderr gets the lines of a program that Start has started, one after another, without
	// their ends and cut at MaxLine bytes. Nil: they are thrown away. While it runs the
	// program's standard error waits.
	Stderr func(line string)
}

// A User is who runs a program. There are no supplementary groups but Groups.
type User struct {
	UID, GID uint32
	Groups   []uint32
}

// LookUp returns the user of a name, in his first group alone.
func LookUp(name string) (*User, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &User{UID: uint32(uid), GID: uint32(gid)}, nil
}

// Run starts a program and returns what became of it at its end. That it has failed is no
// error, see [Result.OK]; nor is a time limit, nor that it does not read its input.
//
// An error is what is not the program's: it cannot be started (the error names path and
// reason, and matches such as [os.ErrNotExist]), Stdin cannot be read (the program is killed
// before it can take a part for the whole), or ctx has ended before the program (the error is
// the context's cause, whatever the program still said; it may have done its work).
func Run(ctx context.Context, c Command) (Result, error) {
	if ctx.Err() != nil {
		return Result{}, c.fault("start", context.Cause(ctx))
	}
	cmd := c.cmd()
	stdout, stderr := &kept{limit: c.Output}, &kept{limit: c.Output}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	input := &input{from: c.Stdin}
	if c.Stdin != nil {
		cmd.Stdin = input
	}
	g := newGroup(cmd)
	input.failed = func() { g.signal(syscall.SIGKILL) }
	if err := g.start(); err != nil {
		return Result{}, c.startFault(err)
	}

	var limit <-chan time.Time
	if c.Time > 0 {
		t := time.NewTimer(c.Time)
		defer t.Stop()
		limit = t.C
	}
	var r Result
	var err error
	select {
	case <-g.exited:
	case <-limit:
		r.TimedOut = g.terminate(c.grace())
	case <-ctx.Done():
		if g.terminate(c.grace()) {
			err = c.fault("run", context.Cause(ctx))
		}
	}
	<-g.ended

	if g.err != nil {
		return r, c.fault("wait", g.err)
	}
	r.Exit, r.Signal = g.status()
	r.Stdout, r.Stderr, r.Cut = stdout.b, stderr.b, stdout.cut || stderr.cut
	if input.err != nil {
		err = c.fault("standard input", input.err)
	}
	return r, err
}

func (c *Command) grace() time.Duration {
	if c.Grace > 0 {
		return c.Grace
	}
	return DefaultGrace
}

// cmd is the command for package os/exec, without its streams. It is not made by
// exec.Command, which would look in PATH.
func (c *Command) cmd() *exec.Cmd {
	path := os.Getenv("PATH")
	if path == "" {
		path = "/usr/local/bin:/usr/bin:/bin"
	}
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if u := c.User; u != nil {
		attr.Credential = &syscall.Credential{Uid: u.UID, Gid: u.GID, Groups: u.Groups}
	}
	return &exec.Cmd{
		Path:        c.Path,
		Args:        append([]string{c.Path}, c.Args...),
		Dir:         c.Dir,
		Env:         append([]string{"PATH=" + path, "LANG=C"}, c.Env...),
		SysProcAttr: attr,
		WaitDelay:   c.grace(),
	}
}

func (c *Command) fault(step string, err error) error {
	return fmt.Errorf("program %s: %s: %w", c.Path, step, err)
}

// startFault says why a program has not been started. A directory that is not there looks
// to the kernel like a program that is not there.
func (c *Command) startFault(err error) error {
	var bad *os.PathError
	if !errors.As(err, &bad) {
		return c.fault("start", err)
	}
	if c.Dir != "" {
		if _, dir := os.Stat(c.Dir); dir != nil {
			return c.fault("start", dir)
		}
	}
	return c.fault("start", bad.Err)
}

// An input is a standard input that remembers what was wrong with it. It hides what else
// the reader can do, above all that it is a file, which the program would get as such.
type input struct {
	from   io.Reader
	failed func() // before the program can see the end
	err    error  // after the group has ended
}

func (i *input) Read(p []byte) (int, error) {
	n, err := i.from.Read(p)
	if err != nil && err != io.EOF {
		i.err = err
		i.failed()
	}
	return n, err
}

// kept keeps the first bytes of what is written to it.
type kept struct {
	limit int
	b     []byte
	cut   bool
}

func (k *kept) Write(p []byte) (int, error) {
	n := min(len(p), max(k.limit-len(k.b), 0))
	k.b = append(k.b, p[:n]...)
	k.cut = k.cut || n < len(p)
	return len(p), nil
}
