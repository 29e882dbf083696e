package endtoend

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"cgq/pkg/disk"
)

// kindOf returns what file system a directory is on.
func kindOf(dir string) (disk.Kind, error) {
	d, err := disk.OpenOS(dir)
	if err != nil {
		return disk.Kind{}, err
	}
	defer d.Close()
	return d.Kind(".")
}

// memory moves the base directory to a file system that keeps nothing.
func (s *site) memory(ts *testscript.TestScript, args []string) {
	if len(args) > 0 {
		ts.Fatalf("usage: memory")
	}
	base, err := os.MkdirTemp("/dev/shm", "cgq")
	if err != nil {
		s.t.Skip(err.Error())
	}
	os.RemoveAll(s.base)
	s.base = base
	ts.Setenv("CGQ_BASE", base)
	if kind, err := kindOf(base); err != nil || kind.Name != "tmpfs" {
		s.t.Skip(fmt.Sprintf("/dev/shm is %s here, not tmpfs: %v", kind.Name, err))
	}
	s.keeps = true // the story says what the daemon is told
}

// cloexec looks at all descriptors of the daemon but those that it was started with.
func (s *site) cloexec(ts *testscript.TestScript, args []string) {
	if len(args) > 0 || s.daemon == nil {
		ts.Fatalf("usage: cloexec, while the daemon runs")
	}
	dir := filepath.Join("/proc", strconv.Itoa(s.daemon.Pid()))
	names, err := os.ReadDir(filepath.Join(dir, "fdinfo"))
	ts.Check(err)
	looked := 0
	for _, fd := range names {
		if n, err := strconv.Atoi(fd.Name()); err != nil || n <= 2 {
			continue
		}
		what, inherits, err := descriptor(dir, fd.Name())
		if os.IsNotExist(err) { // closed since
			continue
		}
		ts.Check(err)
		if mine, too, err := descriptor("/proc/self", fd.Name()); err == nil && too && mine == what {
			continue // from those who started us
		}
		if looked++; inherits {
			ts.Fatalf("a child would inherit descriptor %s: %s", fd.Name(), what)
		}
	}
	if looked < 5 { // journal, lock, log, listeners
		ts.Fatalf("only %d descriptors: the daemon has more", looked)
	}
}

// descriptor says what one of a process is, and whether a child inherits it.
func descriptor(proc, fd string) (what string, inherits bool, err error) {
	if what, err = os.Readlink(filepath.Join(proc, "fd", fd)); err != nil {
		return "", false, err
	}
	info, err := os.ReadFile(filepath.Join(proc, "fdinfo", fd))
	if err != nil {
		return "", false, err
	}
	_, rest, _ := strings.Cut(string(info), "flags:")
	octal, _, _ := strings.Cut(strings.TrimSpace(rest), "\n")
	flags, err := strconv.ParseUint(octal, 8, 64)
	return what, flags&unix.O_CLOEXEC == 0, err
}
