// Package program builds cgq and cgqd and runs them, for tests that know of them no
// more than a user does.
package program

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Build builds cgq and cgqd into dir, which may not be there, with flags for go build, and
// links the other names of cgq.
func Build(dir string, flags ...string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // other users run them, too
		return err
	}
	args := append([]string{"build", "-buildvcs=false", "-o", dir}, flags...)
	args = append(args, "cgq/cmd/cgq", "cgq/cmd/cgqd")
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	for _, name := range []string{"sendmail", "mailq", "newaliases"} {
		if err := os.Symlink("cgq", filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}

// Contain puts all that the mains reach into the binary of the tests. go test keeps a
// result until that binary changes, and of what Build builds it knows nothing: an import
// alone is not enough, the linker leaves out what nobody calls.
//
//go:noinline
func Contain(...func() int) {}

// Wait looks every pause until done. When patience has passed that is an error, with
// what done said last.
func Wait(patience, pause time.Duration, done func() (ok bool, said string)) error {
	began := time.Now()
	for {
		ok, said := done()
		switch {
		case ok:
			return nil
		case time.Since(began) > patience:
			return fmt.Errorf("not after %v: %s", patience, said)
		}
		time.Sleep(pause)
	}
}

// A Daemon is a cgqd that runs. It is its own standard error. It is safe for
// concurrent use.
type Daemon struct {
	cmd      *exec.Cmd
	patience time.Duration
	ready    chan struct{} // closed when it says that it is
	ended    chan struct{} // closed when the process has ended

	mu   sync.Mutex
	said bytes.Buffer
}

// Start starts a cgqd and waits until it is ready. Here and at its end it may take
// as long as patience.
func Start(cmd *exec.Cmd, patience time.Duration) (*Daemon, error) {
	d := &Daemon{cmd: cmd, patience: patience, ready: make(chan struct{}), ended: make(chan struct{})}
	cmd.Stderr = d
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = cmd.Wait() // ProcessState says it
		close(d.ended)
	}()
	select {
	case <-d.ready:
		return d, nil
	case <-d.ended:
		return nil, fmt.Errorf("cgqd has ended, %v:\n%s", cmd.ProcessState, d.Words())
	case <-time.After(patience):
		_ = cmd.Process.Kill()
		<-d.ended
		return nil, fmt.Errorf("cgqd is not ready after %v:\n%s", patience, d.Words())
	}
}

// Write hears what the daemon says.
func (d *Daemon) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	was := bytes.Contains(d.said.Bytes(), []byte("cgqd: ready"))
	d.said.Write(p)
	if !was && bytes.Contains(d.said.Bytes(), []byte("cgqd: ready")) {
		close(d.ready)
	}
	return len(p), nil
}

// Words is all that the daemon has said.
func (d *Daemon) Words() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.said.String()
}

// Pid is the process's.
func (d *Daemon) Pid() int { return d.cmd.Process.Pid }

// Signal sends a signal.
func (d *Daemon) Signal(s syscall.Signal) error { return d.cmd.Process.Signal(s) }

// Succeeded says whether the process has ended with status 0.
func (d *Daemon) Succeeded() bool {
	select {
	case <-d.ended:
		return d.cmd.ProcessState.Success()
	default:
		return false
	}
}

// End sends a signal, if it is not 0, and waits for the end. After anything but a
// kill that has to be a good one.
func (d *Daemon) End(signal syscall.Signal) error {
	if signal != 0 {
		if err := d.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
	}
	select {
	case <-d.ended:
	case <-time.After(d.patience):
		_ = d.cmd.Process.Signal(syscall.SIGQUIT) // says what it is doing
		<-d.ended
		return fmt.Errorf("cgqd has not ended after %v:\n%s", d.patience, d.Words())
	}
	if !d.cmd.ProcessState.Success() && signal != syscall.SIGKILL {
		return fmt.Errorf("cgqd: %v:\n%s", d.cmd.ProcessState, d.Words())
	}
	return nil
}
