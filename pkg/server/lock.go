package server

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// lock claims the base directory for this process (Queue/lock). The lock ends with
// the process, however that ends. Another that has it is named. What it makes belongs
// to the user that the server is about to become.
func lock(base string, as *identity) (release func(), err error) {
	dir := filepath.Join(base, "Queue")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, errors.Join(inUse(f, base), f.Close())
	}
	if err == nil && as != nil && os.Geteuid() == 0 {
		err = errors.Join(os.Chown(dir, as.uid, as.gid), f.Chown(as.uid, as.gid))
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteString(strconv.Itoa(os.Getpid()) + "\n")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", f.Name(), err), f.Close())
	}
	return func() { f.Close() }, nil
}

// inUse says who has the lock: the process whose id it holds, or, if that has ended,
// one who only looks and writes nothing.
func inUse(f *os.File, base string) error {
	who, err := io.ReadAll(io.LimitReader(f, 32))
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(who)))
	if err != nil || pid < 1 || errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
		return fmt.Errorf("%s is being checked by cgqd fsck: wait until that is done", base)
	}
	return fmt.Errorf("%s is in use by cgqd with process id %d: stop that one first", base, pid)
}

// lockLook keeps everybody away who would write, and writes nothing itself. Where there
// is no lock yet, there is nothing to keep: settled says whether that is so still.
func lockLook(base string) (release func() (settled bool), err error) {
	name := filepath.Join(base, "Queue", "lock")
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, os.ErrNotExist) {
		return func() bool {
			_, err := os.Lstat(name)
			return errors.Is(err, os.ErrNotExist)
		}, nil
	}
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = inUse(f, base)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() bool { return f.Close() == nil }, nil
}
