package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/sys/unix"
)

func signalContext() context.Context { return context.Background() }

// run runs what must not fail to run.
func run(t *testing.T, c Command) Result {
	t.Helper()
	r, err := Run(t.Context(), c)
	if err != nil {
		t.Fatalf("Run(%q) = %+v, %v; want no error", c.Args, r, err)
	}
	return r
}

func TestRunEnds(t *testing.T) {
	for _, tt := range []struct {
		name      string
		helper    string
		arg       int
		exit      int
		signal    syscall.Signal
		temporary bool
		reason    string
	}{
		{"success", "exit", 0, 0, 0, false, ""},
		{"any failure", "exit", 1, 1, 0, false, "exit status 1"},
		{"EX_USAGE", "exit", 64, 64, 0, false, "command line usage error (exit status 64)"},
		{"EX_NOUSER", "exit", 67, 67, 0, false, "user unknown (exit status 67)"},
		{"EX_OSERR", "exit", 71, 71, 0, true, "system error (exit status 71)"},
		{"EX_CANTCREAT", "exit", 73, 73, 0, false, "cannot create output file (exit status 73)"},
		{"EX_IOERR", "exit", 74, 74, 0, true, "input/output error (exit status 74)"},
		{"EX_TEMPFAIL", "exit", 75, 75, 0, true, "temporary failure (exit status 75)"},
		{"EX_CONFIG", "exit", 78, 78, 0, false, "local configuration error (exit status 78)"},
		{"behind sysexits", "exit", 79, 79, 0, false, "exit status 79"},
		{"the last status", "exit", 255, 255, 0, false, "exit status 255"},
		{"SIGKILL", "signal", 9, -1, syscall.SIGKILL, true, "killed by SIGKILL"},
		{"SIGTERM", "signal", 15, -1, syscall.SIGTERM, true, "killed by SIGTERM"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := run(t, helper(t, tt.helper, strconv.Itoa(tt.arg)))
			if r.Exit != tt.exit || r.Signal != tt.signal || r.TimedOut || r.Cut {
				t.Errorf("%s %d: %+v; want exit %d, signal %d", tt.helper, tt.arg, r, tt.exit, tt.signal)
			}
			if r.OK() != (tt.exit == 0) || r.Temporary() != tt.temporary || r.Reason() != tt.reason {
				t.Errorf("%s %d: OK %v, Temporary %v, Reason %q; want %v, %v, %q", tt.helper, tt.arg,
					r.OK(), r.Temporary(), r.Reason(), tt.exit == 0, tt.temporary, tt.reason)
			}
		})
	}
}

func TestSignalWithoutAName(t *testing.T) {
	r := Result{Exit: -1, Signal: 40}
	if got, want := r.Reason(), "killed by signal 40"; got != want || !r.Temporary() || r.OK() {
		t.Errorf("%+v: Reason %q, Temporary %v, OK %v; want %q, true, false", r, got, r.Temporary(), r.OK(), want)
	}
}

func TestArgumentsArriveAsTheyAre(t *testing.T) {
	args := []string{"", "a b", "$HOME", "`id`", "$(id)", "*", "a;b|c&d>e<f",
		`\`, `"`, "'", "\n", "~", "-x", "\xff", "[FILE]"}
	if got, want := string(run(t, helper(t, "args", args...)).Stdout), fmt.Sprintf("%q", args); got != want {
		t.Errorf("arguments = %s; want %s", got, want)
	}
}

func TestEnvironmentIsClean(t *testing.T) {
	t.Setenv("SECRET", "of the server")
	t.Setenv("LANG", "de_DE.UTF-8")
	t.Setenv("PATH", "/opt/bin:/bin")
	c := helper(t, "env")
	c.Env = append(c.Env, "MORE=1", "MORE=2")
	got := strings.Split(string(run(t, c).Stdout), "\n")
	slices.Sort(got)
	want := []string{"LANG=C", "MORE=2", "PATH=/opt/bin:/bin", helperVar + "=env"}
	if !slices.Equal(got, want) {
		t.Errorf("environment = %q; want %q", got, want)
	}

	t.Setenv("PATH", "")
	all, path := string(run(t, helper(t, "env")).Stdout), "PATH=/usr/local/bin:/usr/bin:/bin\n"
	if !strings.Contains(all, path) {
		t.Errorf("environment without a PATH = %q; want %q in it", all, path)
	}
}

// inheritable opens a descriptor that an exec would pass on.
func inheritable(t *testing.T) (fd int, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "secret")
	fd, err := unix.Open(path, unix.O_CREAT|unix.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd, path
}

func TestDescriptorsAreNotInherited(t *testing.T) {
	_, path := inheritable(t)
	in, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	c := helper(t, "fds")
	c.Stdin = in
	got := string(run(t, c).Stdout)
	for line := range strings.Lines(got) {
		name, to, _ := strings.Cut(strings.TrimSpace(line), " ")
		// What the helper has opened itself: the directory, and what Go's runtime needs.
		own := to == "" || strings.HasPrefix(to, "anon_inode:[event") || strings.HasPrefix(to, "/sys/fs/cgroup/")
		if fd, _ := strconv.Atoi(name); fd <= 2 && !strings.HasPrefix(to, "pipe:") || fd > 2 && !own {
			t.Errorf("descriptor %s is %s; all are:\n%s(the server has %s open)", name, to, got, path)
		}
	}
}

func TestMarkOpenMarksOneByOne(t *testing.T) {
	fd, _ := inheritable(t)
	if err := markOpen(); err != nil {
		t.Fatal(err)
	}
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("flags = %#x, %v; want FD_CLOEXEC", flags, err)
	}
}

func TestUserAndGroup(t *testing.T) {
	c := helper(t, "whoami")
	c.User = &User{UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), Groups: []uint32{7}}
	want := fmt.Sprint(os.Getuid(), os.Getgid(), []int{7}, true)
	r, err := Run(t.Context(), c)
	if os.Getuid() != 0 {
		if !errors.Is(err, os.ErrPermission) {
			t.Errorf("Run as a user, without the rights of root = %v; want %v", err, os.ErrPermission)
		}
	} else if string(r.Stdout) != want || err != nil {
		t.Errorf("who = %q, %v; want %q", r.Stdout, err, want)
	}
}

func TestDirectory(t *testing.T) {
	c := helper(t, "dir")
	c.Dir = t.TempDir()
	if err := os.Symlink(c.Path, filepath.Join(c.Dir, "prog")); err != nil {
		t.Fatal(err)
	}
	c.Path = "./prog"
	want, err := filepath.EvalSymlinks(c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(run(t, c).Stdout); got != want {
		t.Errorf("directory = %q; want %q", got, want)
	}
}

func TestOutputIsCut(t *testing.T) {
	c := helper(t, "flood")
	c.Output = 20
	r := run(t, c)
	if want := "0123456789abcdef0123"; string(r.Stdout) != want || string(r.Stderr) != want || !r.Cut || !r.OK() {
		t.Errorf("flood: %+v; want %q twice, cut, OK", r, want)
	}
	c = helper(t, "cat")
	c.Stdin, c.Output = strings.NewReader("12345"), 5
	if r := run(t, c); string(r.Stdout) != "12345" || r.Cut {
		t.Errorf("what just fits: %+v; want 12345, not cut", r)
	}
}

func TestInputThatIsNotRead(t *testing.T) {
	for _, how := range []string{"never", "close"} {
		c := helper(t, "stdin", how)
		c.Stdin = strings.NewReader(strings.Repeat("x", 4<<20))
		if r := run(t, c); !r.OK() {
			t.Errorf("%s: %+v; want OK", how, r)
		}
	}
}

// A program must not take half a message for a message.
func TestInputThatCannotBeRead(t *testing.T) {
	b := newBeacon(t)
	broken := errors.New("disk broken")
	c := helper(t, "stdin", "all", b.path)
	c.Stdin = io.MultiReader(strings.NewReader("half a mess"), iotest.ErrReader(broken))
	r, err := Run(t.Context(), c)
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), c.Path) {
		t.Errorf("error = %v; want %v, and the path", err, broken)
	}
	if r.Signal != syscall.SIGKILL || len(r.Stdout) > 0 {
		t.Errorf("Run = %+v; want SIGKILL, no output", r)
	}
}

func TestTimeLimit(t *testing.T) {
	b := newBeacon(t)
	c := helper(t, "brood", "stay", b.path)
	c.Time, c.Grace = time.Millisecond, time.Millisecond
	r := run(t, c)
	if !r.TimedOut || r.OK() || !r.Temporary() || r.Reason() != "time limit exceeded" {
		t.Errorf("Run = %+v, %q; want a temporary time-out", r, r.Reason())
	}
	if r := (Result{TimedOut: true}); r.OK() || !r.Temporary() {
		t.Errorf("%+v is OK %v, temporary %v; want the time limit to count, whatever the status", r, r.OK(), r.Temporary())
	}
}

// cancelled runs a command and cancels it when n of its processes are up.
func cancelled(t *testing.T, c Command, b *beacon, n int) (Result, error) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	type outcome struct {
		r   Result
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		r, err := Run(ctx, c)
		done <- outcome{r, err}
	}()
	b.up(t, n)
	cancel(errStop)
	o := <-done
	return o.r, o.err
}

var errStop = errors.New("the test has seen enough")

func TestContextEndsTheWholeGroup(t *testing.T) {
	b := newBeacon(t)
	c := helper(t, "brood", "stay", b.path)
	c.Grace = time.Millisecond
	r, err := cancelled(t, c, b, 2)
	if !errors.Is(err, errStop) || r.Signal != syscall.SIGKILL || r.TimedOut {
		t.Errorf("Run = %+v, %v; want SIGKILL, %v", r, err, errStop)
	}
	b.gone(t)
}

func TestContextAsksFirst(t *testing.T) {
	b := newBeacon(t)
	r, err := cancelled(t, helper(t, "hang", "polite", b.path), b, 1)
	if !errors.Is(err, errStop) || r.Exit != 0 || string(r.Stdout) != "bye" {
		t.Errorf("Run = %+v, %v; want bye, exit 0, %v", r, err, errStop)
	}
}

func TestContextThatHasEnded(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errStop)
	if _, err := Run(ctx, helper(t, "exit", "0")); !errors.Is(err, errStop) {
		t.Errorf("Run = %v; want %v", err, errStop)
	}
	if p, err := Start(ctx, helper(t, "exit", "0")); p != nil || !errors.Is(err, errStop) {
		t.Errorf("Start = %v, %v; want %v", p, err, errStop)
	}
}

// With a Grace that never ends: the rest holds the output, and must be killed for Run to return.
func TestRestOfTheGroupIsKilled(t *testing.T) {
	r := run(t, helper(t, "brood", "group", newBeacon(t).path))
	if !r.OK() || string(r.Stdout) != "born" {
		t.Errorf("Run = %+v; want OK, born", r)
	}
}

func TestDaemonHoldsUpNobody(t *testing.T) {
	b := newBeacon(t)
	c := helper(t, "brood", "away", b.path)
	c.Grace = time.Millisecond
	if r := run(t, c); !r.OK() {
		t.Errorf("Run = %+v; want OK", r)
	}
	pid := b.up(t, 1)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Errorf("the daemon is gone: %v; want it to live", err)
	}
	b.gone(t)
}

func TestCannotStart(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("no program"), 0o600); err != nil {
		t.Fatal(err)
	}
	none := filepath.Join(dir, "none")
	for _, tt := range []struct {
		name string
		c    Command
		want error
		text string
	}{
		{"no file", Command{Path: none}, os.ErrNotExist, none},
		{"not in PATH", Command{Path: "true", Dir: dir}, os.ErrNotExist, "program true"},
		{"not executable", Command{Path: plain}, os.ErrPermission, plain},
		{"a directory", Command{Path: dir}, os.ErrPermission, dir},
		{"no directory", Command{Path: "/bin/true", Dir: none}, os.ErrNotExist, none},
		{"NUL", Command{Path: plain, Args: []string{"a\x00b"}}, syscall.EINVAL, plain},
		{"no path", Command{}, nil, "no command"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Run(t.Context(), tt.c)
			p, err2 := Start(t.Context(), tt.c)
			for _, err := range []error{err, err2} {
				if err == nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
					t.Errorf("error = %v (%v); want %v, and %q in it", err, p, tt.want, tt.text)
				}
			}
		})
	}
}

// openFiles are the descriptors of this process.
func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestNoDescriptorIsLeft(t *testing.T) {
	all := func() {
		c := helper(t, "cat")
		c.Stdin = strings.NewReader("x")
		run(t, c)
		_, _ = Run(t.Context(), Command{Path: "/"})
		_, _ = Start(t.Context(), Command{Path: "/"})
		p, err := Start(t.Context(), Command{Path: c.Path, Env: c.Env})
		if err != nil {
			t.Fatal(err)
		}
		p.Stdout.Close()
		p.Stop(forever)
	}
	all() // Go's own descriptors come with the first use
	before := openFiles(t)
	for range 5 {
		all()
	}
	if after := openFiles(t); after != before {
		t.Errorf("%d descriptors; want %d as before", after, before)
	}
}

func TestSplit(t *testing.T) {
	for _, tt := range []struct {
		line string
		want []string
		err  error
	}{
		{"prog", []string{"prog"}, nil},
		{" prog\t -x  y ", []string{"prog", "-x", "y"}, nil},
		{`"/opt/my prog" "a b"c "" x`, []string{"/opt/my prog", "a bc", "", "x"}, nil},
		{`p "\"\\\n"`, []string{"p", `"\\n`}, nil},
		{`p \" x"`, []string{"p", `\ x`}, nil},
		{`p $HOME 'a b' *;|&`, []string{"p", "$HOME", "'a", "b'", "*;|&"}, nil},
		{"", nil, errEmpty},
		{" \t", nil, errEmpty},
		{`p "a`, nil, errQuote},
		{`p "a\"`, nil, errQuote},
	} {
		got, err := Split(tt.line)
		if !reflect.DeepEqual(got, tt.want) || !errors.Is(err, tt.err) {
			t.Errorf("Split(%q) = %q, %v; want %q, %v", tt.line, got, err, tt.want, tt.err)
		}
	}
}

// quote writes what Split reads.
func quote(args []string) string {
	for i, a := range args {
		args[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(a) + `"`
	}
	return strings.Join(args, " ")
}

func FuzzSplit(f *testing.F) {
	for _, s := range []string{"prog -x", `"a b" \"`, `a "\\" "" `, "\"\x00\xff\n\"", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		args, err := Split(line)
		if err != nil {
			if args != nil {
				t.Errorf("Split(%q) = %q, %v; want no arguments", line, args, err)
			}
			args = strings.Split(line, ",") // what is no line may be arguments
		}
		quoted := quote(slices.Clone(args))
		if again, err := Split(quoted); err != nil || !slices.Equal(again, args) {
			t.Errorf("Split(%q) = %q, %v; want %q", quoted, again, err, args)
		}
	})
}

func TestParseLine(t *testing.T) {
	for _, tt := range []struct{ line, args, wrong string }{
		{"prog -x", "-x", ""},
		{`[file] [ RCPT ][RETPATH] prog "a b"`, "a b|-f|Queue/lent/1.msg|-p|<>|-r|a@b|c@d", ""},
		{"[STDERR] prog [RCPT]", "[RCPT]", ""},
		{"", "", "no program"},
		{"[FILE] ", "", "no program"},
		{`"" x`, "", "no program"},
		{"[FILE prog", "", `"[FILE prog" has no closing bracket`},
		{"[LOUD] prog", "", "there is no flag [LOUD]"},
		{`prog "x`, "", "quote is not closed"},
	} {
		l, err := ParseLine(tt.line)
		if tt.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), tt.wrong) {
				t.Errorf("ParseLine(%q) = %+v, %v; want %s", tt.line, l, err, tt.wrong)
			}
			continue
		}
		if err != nil {
			t.Errorf("ParseLine(%q) = %v", tt.line, err)
			continue
		}
		if got := strings.Join(l.Arguments("Queue/lent/1.msg", "<>", "a@b", "c@d"), "|"); got != tt.args || l.Args[0] != "prog" {
			t.Errorf("ParseLine(%q): %q, arguments %s; want prog, %s", tt.line, l.Args[0], got, tt.args)
		}
	}
}

func TestOneLine(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{" a\r\n\tb\x1b[31m\u2028c\xff\x00", "a b [31m c?"},
		{strings.Repeat("é", 501), strings.Repeat("é", 500) + "…"},
	} {
		if got := OneLine(tt.in); got != tt.want {
			t.Errorf("OneLine(%q) = %q; want %q", tt.in, got, tt.want)
		}
	}
}
