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
		who, _ := io.ReadAll(io.LimitReader(f, 32))
		f.Close()
		return nil, fmt.Errorf("%s is in use by cgqd with process id %s: stop that one first", base, strings.TrimSpace(string(who)))
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
