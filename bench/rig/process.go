package rig

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A Process is a server that we started, in a process group of its own.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended; then cmd.ProcessState says how
}

// StartProcess starts cmd.
func StartProcess(cmd *exec.Cmd) (*Process, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &Process{cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // ProcessState has it
	}()
	return p, nil
}

// Ready returns when an SMTP greeting comes from port.
func (p *Process) Ready(ctx context.Context, port int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("no greeting after a minute"))
	defer cancel()
	return Poll(ctx, 10*time.Millisecond, func() (bool, error) {
		select {
		case <-p.done:
			return false, fmt.Errorf("%s ended at once: %s", filepath.Base(p.cmd.Path), p.cmd.ProcessState)
		default:
		}
		c, err := net.Dial("tcp", Address(port))
		if err != nil {
			return false, nil // not listening yet
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			return false, err
		}
		r := bufio.NewReader(c)
		l, err := r.ReadString('\n')
		if err != nil {
			return false, fmt.Errorf("read the greeting: %w", err)
		}
		if !strings.HasPrefix(l, "220") {
			return false, fmt.Errorf("the greeting is %q", l)
		}
		_, err = c.Write([]byte("QUIT\r\n"))
		return true, err
	})
}

// Stop asks the process to end, and insists after a while.
func (p *Process) Stop() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s has ended by itself: %s", filepath.Base(p.cmd.Path), p.cmd.ProcessState)
	default:
	}
	defer p.Kill()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(2 * time.Minute):
		return fmt.Errorf("%s did not stop within 2 minutes of SIGTERM", filepath.Base(p.cmd.Path))
	}
}

// Kill ends what is left of the process group, and returns when our child is gone.
func (p *Process) Kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // ESRCH: nothing is left
	<-p.done
}

// CPU is the time that the process and all it started have used so far.
func (p *Process) CPU() (time.Duration, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	stats := make(map[int]procStat, len(files))
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended; its parent has its time
		}
		s, err := parseStat(text)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
		stats[s.pid] = s
	}
	if _, ok := stats[p.cmd.Process.Pid]; !ok {
		return 0, fmt.Errorf("%s has ended", filepath.Base(p.cmd.Path))
	}
	return treeTime(stats, p.cmd.Process.Pid), nil
}

// Settle returns when the process has used next to nothing for a second: what it does
// after it has answered belongs to the messages, too.
func (p *Process) Settle(ctx context.Context) error {
	last := time.Duration(-1)
	return Poll(ctx, time.Second, func() (bool, error) {
		now, err := p.CPU()
		was := last
		last = now
		return was >= 0 && now-was <= 2*tick, err
	})
}

// tick is the unit of times in /proc/PID/stat, USER_HZ: proc(5).
const tick = time.Second / 100

// procStat is what we need of /proc/PID/stat.
type procStat struct {
	pid, parent int
	time        time.Duration // user and system, its own and that of its children that it has waited for
}

// parseStat reads the fields of proc(5): 1 pid, 2 comm in parentheses, which may hold
// anything, 4 ppid, 14 utime, 15 stime, 16 cutime, 17 cstime.
func parseStat(text []byte) (s procStat, err error) {
	end := bytes.LastIndexByte(text, ')')
	start := bytes.IndexByte(text, ' ')
	if end < 0 || start < 0 {
		return s, fmt.Errorf("unknown form: %q", text)
	}
	f := strings.Fields(string(text[end+1:])) // f[0] is field 3
	if len(f) < 15 {
		return s, fmt.Errorf("unknown form: %q", text)
	}
	if s.pid, err = strconv.Atoi(string(text[:start])); err != nil {
		return s, err
	}
	if s.parent, err = strconv.Atoi(f[1]); err != nil {
		return s, err
	}
	for _, field := range f[11:15] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return s, err
		}
		s.time += time.Duration(n) * tick
	}
	return s, nil
}

// treeTime sums the times of root and of all its descendants.
func treeTime(stats map[int]procStat, root int) time.Duration {
	sum := stats[root].time
	for pid, s := range stats {
		if s.parent == root && pid != root {
			sum += treeTime(stats, pid)
		}
	}
	return sum
}

// While polls as long as the process runs: its end is an error.
func (p *Process) While(ctx context.Context, every time.Duration, done func() (bool, error)) error {
	return Poll(ctx, every, func() (bool, error) {
		if ok, err := done(); ok || err != nil {
			return ok, err
		}
		select {
		case <-p.done:
			return false, fmt.Errorf("%s has ended: %s", filepath.Base(p.cmd.Path), p.cmd.ProcessState)
		default:
			return false, nil
		}
	})
}

// Memory is what the process has in memory, at most so far and now, in bytes.
func (p *Process) Memory() (peak, now int64, err error) { return MemoryOf(p.cmd.Process.Pid) }

// MemoryOf is [Process.Memory] of any process that runs. (What wait4(2) says of one that has
// ended counts what its parent had in memory when it began.)
func MemoryOf(pid int) (peak, now int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	return parseStatus(string(text))
}

// parseStatus reads VmHWM and VmRSS of /proc/PID/status: proc(5).
func parseStatus(text string) (peak, now int64, err error) {
	for name, to := range map[string]*int64{"VmHWM:": &peak, "VmRSS:": &now} {
		_, rest, ok := strings.Cut(text, "\n"+name)
		f := strings.Fields(rest)
		if !ok || len(f) < 2 || f[1] != "kB" {
			return 0, 0, fmt.Errorf("no %s in kB in %q", name, text)
		}
		kib, err := strconv.ParseInt(f[0], 10, 64)
		if err != nil {
			return 0, 0, err
		}
		*to = kib << 10
	}
	return peak, now, nil
}
