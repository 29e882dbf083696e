package program

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A group is a running program and its process group, whose number is the program's.
type group struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed by the group when the program has ended and the rest is killed
	ended  chan struct{} // closed by the group when its streams have ended, too
	err    error         // after ended: why nobody knows how it ended

	mu   sync.Mutex
	over bool // the number is no longer ours, or not yet
}

func newGroup(cmd *exec.Cmd) *group {
	return &group{cmd: cmd, exited: make(chan struct{}), ended: make(chan struct{}), over: true}
}

// start starts the program. If it returns nil, ended will be closed, once the program ends.
func (g *group) start() error {
	if err := closeOnExec(); err != nil {
		return fmt.Errorf("mark descriptors: %w", err)
	}
	started := make(chan error, 1)
	go func() {
		// The thread that starts the program has to live as long as the program: it is
		// the parent that PR_SET_PDEATHSIG means.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		g.mu.Lock() // who signals early waits: the copying of input starts inside of Start
		err := g.cmd.Start()
		g.over = err != nil
		g.mu.Unlock()
		started <- err
		if err == nil {
			g.wait()
		}
	}()
	return <-started
}

// wait waits for the program, kills what is left of its group, and then waits for its
// streams. The program is left a zombie until its group is killed: as long as it is one
// the kernel gives its number to no other process and no other group.
func (g *group) wait() {
	defer close(g.ended)
	failed := error(unix.EINTR)
	for errors.Is(failed, unix.EINTR) {
		failed = unix.Waitid(unix.P_PID, g.cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
	}
	if failed == nil {
		g.signal(syscall.SIGKILL)
	}
	g.mu.Lock()
	g.over = true
	g.mu.Unlock()
	close(g.exited)
	// What Wait says of the status is in ProcessState, and input keeps its own errors.
	if err := g.cmd.Wait(); g.cmd.ProcessState == nil {
		g.err = errors.Join(failed, err)
	}
}

// signal sends a signal to the group, unless it is over.
func (g *group) signal(s syscall.Signal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.over {
		// ESRCH: nobody is left. EPERM: those who are left have become somebody else.
		_ = syscall.Kill(-g.cmd.Process.Pid, s)
	}
}

// terminate ends the group, after a grace by force, and returns when the program has ended.
// It says false if that had happened before.
func (g *group) terminate(grace time.Duration) bool {
	if g.within(0) {
		return false
	}
	g.signal(syscall.SIGTERM)
	if !g.within(grace) {
		g.signal(syscall.SIGKILL)
		<-g.exited
	}
	return true
}

// within waits for the program to end, for some time, and says whether it has.
func (g *group) within(d time.Duration) bool {
	select {
	case <-g.exited:
		return true
	default:
	}
	if d <= 0 {
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-g.exited:
		return true
	case <-t.C:
		return false
	}
}

// status is how the program has ended: its exit status, or -1 and a signal.
func (g *group) status() (exit int, s syscall.Signal) {
	if ws, ok := g.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return -1, ws.Signal()
	}
	return g.cmd.ProcessState.ExitCode(), 0
}

// closeOnExec marks all descriptors of this process but 0, 1 and 2. Go opens none without
// the mark; one may come from whoever has started the server. A kernel before 5.11 cannot
// do it in one call.
func closeOnExec() error {
	err := unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC)
	if err == nil || !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EPERM) {
		return err
	}
	return markOpen()
}

// markOpen marks the descriptors one by one.
func markOpen() error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}
