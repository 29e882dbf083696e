package powercut

import (
	"errors"
	"flag"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cgq/pkg/cli"
	"cgq/pkg/endtoend/program"
	"cgq/pkg/server"
)

var (
	cuts   = flag.Int("cuts", 40, "power cuts, of all file systems together")
	rounds = flag.Int("rounds", 5, "rounds of SIGKILL")
	replay = flag.String("replay", "", "the directory of a recording, to make its -cut again")
	again  = flag.String("cut", "", "of the -replay: operations:seed")
)

// patience is how long a test waits for what has to happen, and pause how long it
// waits to look again.
const (
	patience = time.Minute
	pause    = 20 * time.Millisecond
)

func TestMain(m *testing.M) {
	if os.Geteuid() == 0 && os.Getenv(insideKey) == "" {
		if status, err := runInside(); err == nil {
			os.Exit(status)
		}
	}
	status := m.Run()
	if programs.dir != "" {
		os.RemoveAll(programs.dir)
	}
	os.Exit(status)
}

const insideKey = "CGQ_POWERCUT_INSIDE"

// runInside runs the tests in a mount namespace of their own: whatever way they end,
// no mount and no loop device stays.
func runInside() (status int, err error) {
	runtime.LockOSThread() // Pdeathsig is about the thread
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), insideKey+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT)
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s) // it has ended: that is what was wanted
		}
	}()
	_ = cmd.Wait() // ProcessState says it
	if status = cmd.ProcessState.ExitCode(); status < 0 {
		status = 1 // a signal
	}
	return status, nil
}

// programs is the directory of cgq and cgqd, once somebody has asked for it.
var programs struct {
	once sync.Once
	dir  string
	err  error
}

// built builds the programs. They are the same with -race: that is what the stories
// of endtoend are for, here it would cost most of the cuts.
func built(t *testing.T) string {
	t.Helper()
	program.Contain(cli.Main, server.Main)
	programs.once.Do(func() {
		if programs.dir, programs.err = os.MkdirTemp("", "cgq-powercut"); programs.err == nil {
			programs.err = program.Build(programs.dir)
		}
	})
	if programs.err != nil {
		t.Fatal(programs.err)
	}
	return programs.dir
}

// packages has the Debian packages of the programs.
var packages = map[string]string{
	"mkfs.ext4": "e2fsprogs", "e2fsck": "e2fsprogs", "mkfs.xfs": "xfsprogs",
	"mkfs.btrfs": "btrfs-progs", "btrfs": "btrfs-progs",
}

// need skips the test where a program is missing; with CGQ_TEST_TOOLS=required it
// fails.
func need(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := find(tool); err == nil {
			continue
		}
		text := tool + " is missing; for this test: apt-get install " + packages[tool]
		if os.Getenv("CGQ_TEST_TOOLS") == "required" {
			t.Fatal(text)
		}
		t.Skip(text)
	}
}

// find also looks where the PATH of an ordinary user does not lead.
func find(tool string) (string, error) {
	if path, err := exec.LookPath(tool); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, tool)); err == nil {
			return path, nil
		}
	}
	return "", exec.ErrNotFound
}

// needDevices skips the test where the machine does not let us mount what we make.
func needDevices(t *testing.T, devices ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a file system: skipped")
	}
	for _, device := range devices {
		f, err := os.OpenFile(device, os.O_RDWR, 0)
		if err != nil {
			t.Skipf("%v: skipped", err)
		}
		f.Close()
	}
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, ""); err != nil {
		t.Skipf("root may not mount here, %v: skipped", err)
	}
	if err := unix.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
}

// tool runs a program of the system that has to end with one of the statuses.
func tool(t *testing.T, statuses []int, name string, args ...string) {
	t.Helper()
	path, err := find(name)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && slices.Contains(statuses, exit.ExitCode()) {
		return
	}
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// wait looks until done, and fails when that takes too long: with what done said last.
func wait(t *testing.T, done func() (ok bool, said string)) {
	t.Helper()
	if err := program.Wait(patience, pause, done); err != nil {
		t.Fatal(err)
	}
}

// check fails the test with an error.
func check(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// fast is a directory for images that nobody needs after the test: in memory where
// that is possible.
func fast(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "cgq-powercut")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { check(t, os.RemoveAll(dir)) })
	return dir
}
