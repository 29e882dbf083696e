package program

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// helperVar makes this test binary one of the helper programs.
const helperVar = "PROGRAM_TEST_HELPER"

// forever is longer than any test may take: who waits for it waits for a signal.
const forever = 10 * time.Minute

func TestMain(m *testing.M) {
	if name := os.Getenv(helperVar); name != "" {
		helper, ok := helpers[name]
		if !ok {
			fmt.Fprintln(os.Stderr, "no helper", name)
			os.Exit(99)
		}
		// Not os.Exit, at which the race detector waits, and coverage writes to stderr.
		syscall.Exit(helper(os.Args[1:]))
	}
	code := m.Run()
	for _, problem := range left() {
		fmt.Fprintln(os.Stderr, problem)
		code = 1
	}
	os.Exit(code)
}

// left says what the tests have left: children, zombies or not, and goroutines.
func left() (problems []string) {
	if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); !errors.Is(err, unix.ECHILD) {
		problems = append(problems, fmt.Sprintf("a child is left: wait4 = %d, %v", pid, err))
	}
	// A goroutine that has said that it is done may still be on its last step.
	var stacks []byte
	for begin := time.Now(); time.Since(begin) < time.Minute; time.Sleep(time.Millisecond) {
		stacks = make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		if !bytes.Contains(stacks, []byte("program.(*")) && !bytes.Contains(stacks, []byte("os/exec.")) {
			return problems
		}
	}
	return append(problems, "goroutines are left:\n"+string(stacks))
}

// helper is the command that runs a helper program.
func helper(t *testing.T, name string, args ...string) Command {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Command{Path: self, Args: args, Env: []string{helperVar + "=" + name}, Output: 1 << 16, Grace: forever}
}

// A beacon is a FIFO that helpers hold open: what they write says how far they are, and its
// end says that all of them are gone.
type beacon struct {
	path string
	r    *bufio.Reader
}

func newBeacon(t *testing.T) *beacon {
	t.Helper()
	path := filepath.Join(t.TempDir(), "beacon")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return &beacon{path: path}
}

// up waits for n helpers, and returns the process id of the last one.
func (b *beacon) up(t *testing.T, n int) (pid int) {
	t.Helper()
	if b.r == nil {
		f, err := os.Open(b.path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		b.r = bufio.NewReader(f)
	}
	for range n {
		line, err := b.r.ReadString('\n')
		if _, bad := fmt.Sscanf(line, "up %d\n", &pid); bad != nil {
			t.Fatalf("beacon = %q, %v; want up and a number", line, err)
		}
	}
	return pid
}

// gone waits until no helper lives.
func (b *beacon) gone(t *testing.T) {
	t.Helper()
	if rest, err := io.ReadAll(b.r); len(rest) > 0 || err != nil {
		t.Fatalf("beacon = %q, %v; want its end", rest, err)
	}
}

// light opens a beacon and writes to it; it stays open until the process ends.
func light(path string) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		panic(err)
	}
	lit = append(lit, f)
	fmt.Fprintln(f, "up", os.Getpid())
}

var lit []*os.File // no finalizer may close them

var helpers map[string]func(args []string) int

func init() {
	helpers = map[string]func(args []string) int{
		"exit":   func(a []string) int { n, _ := strconv.Atoi(a[0]); return n },
		"args":   func(a []string) int { fmt.Printf("%q", a); return 0 },
		"env":    func([]string) int { fmt.Print(strings.Join(os.Environ(), "\n")); return 0 },
		"fds":    helpFDs,
		"cat":    func([]string) int { _, _ = io.Copy(os.Stdout, os.Stdin); return 0 },
		"dir":    func([]string) int { d, _ := os.Getwd(); fmt.Print(d); return 0 },
		"flood":  helpFlood,
		"signal": helpSignal,
		"hang":   helpHang,
		"stdin":  helpStdin,
		"brood":  helpBrood,
		"server": helpServer,
		"lines":  helpLines,
		"whoami": func([]string) int {
			groups, _ := os.Getgroups()
			fmt.Print(os.Getuid(), os.Getgid(), groups, syscall.Getpgrp() == os.Getpid())
			return 0
		},
	}
}

func helpFDs([]string) int {
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		to, _ := os.Readlink("/proc/self/fd/" + e.Name())
		fmt.Println(e.Name(), to)
	}
	return 0
}

func helpFlood([]string) int {
	block := bytes.Repeat([]byte("0123456789abcdef"), 4096)
	for range 64 {
		_, _ = os.Stdout.Write(block)
		_, _ = os.Stderr.Write(block)
	}
	return 0
}

func helpSignal(a []string) int {
	n, _ := strconv.Atoi(a[0])
	_ = syscall.Kill(os.Getpid(), syscall.Signal(n))
	time.Sleep(forever)
	return 0
}

// helpHang stays: "deaf" to SIGTERM, "polite" (it takes its leave), or "plain".
func helpHang(a []string) int {
	switch a[0] {
	case "deaf":
		signal.Ignore(syscall.SIGTERM)
	case "polite":
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGTERM)
		light(a[1])
		<-c
		fmt.Print("bye")
		return 0
	}
	light(a[1])
	time.Sleep(forever)
	return 0
}

// helpStdin reads some input, or none, closes it, and says what became of the end.
func helpStdin(a []string) int {
	switch a[0] {
	case "close":
		_, _ = os.Stdin.Read(make([]byte, 10))
		os.Stdin.Close()
	case "all":
		n, err := io.Copy(io.Discard, os.Stdin)
		fmt.Print(n, err)
		light(a[1]) // seen by the test only if the end of the input was seen here
	}
	return 0
}

// helpBrood leaves a child that hangs and keeps stdout open: "group" in its group, "away" in
// a session of its own, "stay" together with the parent, which hangs too.
func helpBrood(a []string) int {
	self, _ := os.Executable()
	child := exec.Command(self, "deaf", a[1])
	child.Env = []string{helperVar + "=hang"}
	child.Stdout = os.Stdout
	if a[0] == "away" {
		child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	}
	if err := child.Start(); err != nil {
		fmt.Print(err)
		return 1
	}
	fmt.Print("born")
	if a[0] == "stay" {
		return helpHang([]string{"deaf", a[1]})
	}
	return 0
}

// helpServer is a server that has a helper, and dies.
func helpServer(a []string) int {
	self, _ := os.Executable()
	c := Command{Path: self, Args: []string{"plain", a[0]}, Env: []string{helperVar + "=hang"}}
	if _, err := Start(signalContext(), c); err != nil {
		fmt.Print(err)
		return 1
	}
	time.Sleep(forever)
	return 0
}

// helpLines answers every line with itself, and says on stderr how many there were.
func helpLines([]string) int {
	n := 0
	for s := bufio.NewScanner(os.Stdin); s.Scan(); n++ {
		fmt.Println("re:", s.Text())
	}
	fmt.Fprintf(os.Stderr, "%d lines\r\n\n%s\nlast", n, strings.Repeat("x", 3*MaxLine))
	return 0
}
