package pipe_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/module/moduletest"
	"cgq/pkg/module/pipe"
	"cgq/pkg/serverlog"
	"cgq/pkg/settings"
)

// keep keeps what it has read to the end.
const keep = `t=$(mktemp in.XXXXXX) && cat > $t && mv $t out.$t`

func TestConformance(t *testing.T) {
	moduletest.Run(t, func(t *testing.T) moduletest.Fixture {
		s := newSetup(t, nil)
		file := s.program(t, "keep", keep)
		address := func(line string) mail.Address { return mail.Address{Local: line, Domain: "pipe"} }
		mode := func(m os.FileMode) func() {
			return func() {
				if err := os.Chmod(file, m); err != nil {
					t.Error(err)
				}
			}
		}
		return moduletest.Fixture{
			Module:  s,
			Good:    []mail.Address{address("keep"), address("keep -a"), address(`[RCPT] keep "b c"`)},
			Foreign: mail.Address{Local: "keep", Domain: "example.com"},
			Break:   mode(0o600),
			Mend:    mode(0o700),
			Received: func() (all []moduletest.Arrival) {
				files, _ := filepath.Glob(filepath.Join(s.base, "out.*"))
				for _, name := range files {
					text, err := os.ReadFile(name)
					_, rest, _ := strings.Cut(string(text), "\nDelivered-To: ")
					to, _, _ := strings.Cut(rest, "\n")
					a, bad := mail.ParseAddress(to)
					if err != nil || bad != nil {
						t.Error(err, bad)
					}
					all = append(all, moduletest.Arrival{To: []mail.Address{a}, Text: string(text)})
				}
				return all
			},
		}
	})
}

func TestClaim(t *testing.T) {
	s := newSetup(t, nil)
	s.program(t, "prog", "")
	s.program(t, "a b", "")
	const bad, none = "5.1.3 not a ", "5.1.1 no such program"
	for _, tt := range []struct{ local, want string }{
		{"prog", "prog"},
		{"prog -x y", "prog"},
		{"[FILE][RCPT] prog [x]", "prog"},
		{`"a b" c`, "a b"},
		{"prog; rm -rf /", none}, // the name is prog;
		{"prog $(id) `id` | sh", "prog"},
		{"absent", none},
		{"-f", none},
		{"PROG", none},
		{"", bad},
		{"   ", bad},
		{`"" x`, bad},
		{`prog "x`, bad},
		{"[LOUD] prog", bad},
		{"[FILE]", bad},
		{"../../bin/sh", bad},
		{"/bin/sh", bad},
		{"sub/prog", bad},
		{`sub\prog`, bad},
		{".", bad},
		{"..", bad},
		{".hidden", bad},
		{"\"prog\nx\"", bad},
		{"prog\x00", bad},
		{"prog x\x00", bad},
		{"prog\x1b[31m", bad},
	} {
		for _, domain := range []string{"pipe", "PIPE"} {
			got, err := s.Claim(t.Context(), mail.Address{Local: tt.local, Domain: domain}, false)
			var no *module.Rejection
			switch {
			case strings.HasPrefix(tt.want, "5."):
				if !errors.As(err, &no) || !strings.HasPrefix(no.Error(), tt.want) {
					t.Errorf("Claim(%q) = %v, %v; want %s", tt.local, got, err, tt.want)
				}
			case err != nil || got.Queue != tt.want || got.Address != mail.Address{Local: tt.local, Domain: "pipe"} || !got.Relay:
				t.Errorf("Claim(%q) = %+v, %v; want queue %s, the same address, clients only", tt.local, got, err, tt.want)
			}
		}
	}
	for _, a := range []mail.Address{{Local: "prog"}, {Local: "prog", Domain: "pipe.example"}, {Local: "prog", Domain: "x.pipe"}} {
		if got, err := s.Claim(t.Context(), a, true); !errors.Is(err, module.ErrNotMine) {
			t.Errorf("Claim(%s) = %v, %v; want ErrNotMine", a, got, err)
		}
	}
}

// What a program is given: arguments, variables, text, directory; and no shell looks at it.
func TestGiven(t *testing.T) {
	var b bytes.Buffer
	log, _ := serverlog.New(&b, "PIPE", serverlog.Major)
	s := newSetup(t, log)
	s.program(t, "prog", `for a; do printf '%s|' "$a"; done > args; env | sort | grep -v -e ^PWD= -e ^_= -e ^SHLVL= -e ^OLDPWD= > env; cat > in; pwd > dir`)
	is(t, "prog", s.transfer(t, message("[RETPATH] [RCPT] prog ; rm -rf $HOME `id` $(id) \"a b\" * | > x")), mail.Delivered, "2.0.0",
		"Delivered to the program prog")
	for name, want := range map[string]string{
		"args": ";|rm|-rf|$HOME|`id`|$(id)|a b|*|||>|x|-p|bob@sender.example|-r|ann+x@example.com|",
		"env": "EXTENSION=x\nLANG=C\nMESSAGE_ID=4711\nORIGINAL_RECIPIENT=ann@old.example\nPATH=" + os.Getenv("PATH") +
			"\nRECIPIENT=ann+x@example.com\nSENDER=bob@sender.example\n",
		"in":  "Return-Path: <bob@sender.example>\nDelivered-To: ann+x@example.com\n" + hello,
		"dir": s.base + "\n",
	} {
		if got := s.file(t, name); got != want {
			t.Errorf("%s: %q; want %q", name, got, want)
		}
	}
	if _, line, _ := strings.Cut(lastLine(b.String()), " "); line != "2 PIPE-000001(prog) [4711] given to the program, 21 bytes" {
		t.Errorf("log line %q", line)
	}
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSuffix(s, "\n"), "\n")
	return lines[len(lines)-1]
}

// Strangers write the addresses of the envelope.
func TestHostileEnvelope(t *testing.T) {
	s := newSetup(t, nil)
	s.program(t, "prog", `cat > /dev/null; printf '%s|' "$@" "$SENDER" "$RECIPIENT" "$ORIGINAL_RECIPIENT" > args`)
	m := message("[RETPATH] [RCPT] prog")
	m.Envelope.ReturnPath = mail.Address{Local: "-f $(id); x", Domain: "e.example"}
	m.Envelope.Recipients[0] = mail.Recipient{Address: mail.Address{Local: "`id`", Domain: "e.example"}, Original: "rfc822;a\nLD_PRELOAD=/x"}
	is(t, "prog", s.transfer(t, m), mail.Delivered, "2.0.0", "")
	want := "-p|\"-f $(id); x\"@e.example|-r|`id`@e.example|\"-f $(id); x\"@e.example|`id`@e.example|a\nLD_PRELOAD=/x|"
	if got := s.file(t, "args"); got != want {
		t.Errorf("args %q; want %q", got, want)
	}
	m = message("[RETPATH] prog")
	m.Envelope.ReturnPath = mail.Address{}
	is(t, "null return path", s.transfer(t, m), mail.Delivered, "2.0.0", "")
	if got := s.file(t, "args"); !strings.HasPrefix(got, "-p|<>||ann+x") {
		t.Errorf("args %q; want <>, and an empty SENDER", got)
	}
	m = message("prog")
	m.Envelope.Recipients[0].Original = "rfc822;a\x00b"
	is(t, "NUL", s.transfer(t, m), mail.Failed, "5.1.3", "NUL")
	is(t, "an address that cannot be", s.transfer(t, message("../prog")), mail.Failed, "5.1.3", "not a name")
}

func TestFile(t *testing.T) {
	s := newSetup(t, nil)
	s.program(t, "prog", `cat > in; cat "$3" > file; echo "$*" > args`)
	is(t, "prog", s.transfer(t, message("[FILE] prog x")), mail.Delivered, "2.0.0", "")
	if in, file, args := s.file(t, "in"), s.file(t, "file"), s.file(t, "args"); in != "" || file != lentText || args != "x -f 4711.msg\n" {
		t.Errorf("input %q, file %q, arguments %q", in, file, args)
	}
}

func TestExitStatus(t *testing.T) {
	s := newSetup(t, nil)
	s.program(t, "exit", `cat > /dev/null; exit $1`)
	s.program(t, "kill", `kill -$1 $$; sleep 60`)
	failed, delayed := mail.Failed, mail.Delayed
	for _, tt := range []struct {
		line   string
		action mail.Action
		status string
		text   string
	}{
		{"exit 0", mail.Delivered, "2.0.0", "Delivered to the program exit"},
		{"exit 1", failed, "5.3.0", "the program exit has failed: exit status 1"},
		{"exit 64", failed, "5.3.0", "command line usage error (exit status 64)"},
		{"exit 65", failed, "5.6.0", "data format error"},
		{"exit 66", failed, "5.3.0", "cannot open input"},
		{"exit 67", failed, "5.1.1", "user unknown"},
		{"exit 68", failed, "5.1.2", "host name unknown"},
		{"exit 69", failed, "5.3.0", "service unavailable"},
		{"exit 70", failed, "5.3.0", "internal software error"},
		{"exit 71", delayed, "4.3.0", "system error"},
		{"exit 72", failed, "5.3.0", "critical system file missing"},
		{"exit 73", failed, "5.2.0", "cannot create output file"},
		{"exit 74", delayed, "4.3.0", "input/output error"},
		{"exit 75", delayed, "4.3.0", "temporary failure"},
		{"exit 76", failed, "5.5.0", "remote error in protocol"},
		{"exit 77", failed, "5.7.1", "permission denied"},
		{"exit 78", failed, "5.3.5", "local configuration error"},
		{"exit 79", failed, "5.3.0", "exit status 79"},
		{"exit 127", failed, "5.3.0", "exit status 127"},
		{"exit 255", failed, "5.3.0", "exit status 255"},
		{"kill 9", delayed, "4.3.0", "killed by SIGKILL"},
		{"kill 15", delayed, "4.3.0", "killed by SIGTERM"},
	} {
		is(t, tt.line, s.transfer(t, message(tt.line)), tt.action, tt.status, tt.text)
	}
}

func TestStderr(t *testing.T) {
	s := newSetup(t, nil)
	for _, tt := range []struct {
		name, line, script string
		action             mail.Action
		status, text       string
	}{
		{"not asked for", "prog", "echo /etc/secret >&2; exit 67", mail.Failed, "5.1.1", "the program prog has failed: user unknown (exit status 67)"},
		{"asked for", "[STDERR] prog", "echo 'ann has  left\nfor good' >&2; exit 67", mail.Failed, "5.1.1", "user unknown (exit status 67): ann has left for good"},
		{"nothing said", "[STDERR] prog", "exit 67", mail.Failed, "5.1.1", "the program prog has failed: user unknown (exit status 67)"},
		{"its own status", "[STDERR] prog", "echo 4.2.2 over quota >&2; exit 1", mail.Delayed, "4.2.2", "exit status 1: over quota"},
		{"its own status alone", "[STDERR] prog", "echo 5.7.1 >&2; exit 75", mail.Failed, "5.7.1", "temporary failure (exit status 75):"},
		{"good news are none", "[STDERR] prog", "echo 2.0.0 ok >&2; exit 75", mail.Delayed, "4.3.0", "2.0.0 ok"},
		{"no status", "[STDERR] prog", "echo 5.7.1.1 x >&2; exit 1", mail.Failed, "5.3.0", "5.7.1.1 x"},
		{"good although it says something", "[STDERR] prog", "echo 5.7.1 x >&2; exit 0", mail.Delivered, "2.0.0", "Delivered"},
		{"what a terminal obeys", "[STDERR] prog", `printf 'no\033[31m\001\377way' >&2; exit 1`, mail.Failed, "5.3.0", "no [31m ?way"},
		{"much", "[STDERR] prog", `yes 0123456789 | head -c 5000000 >&2; exit 1`, mail.Failed, "5.3.0", "0123456789 0123456789"},
	} {
		s.program(t, "prog", tt.script)
		r := s.transfer(t, message(tt.line))
		is(t, tt.name, r, tt.action, tt.status, tt.text)
		if len(r.Text) > 500 || strings.Contains(r.Text, "secret") {
			t.Errorf("%s: text %q", tt.name, r.Text)
		}
	}
}

// A file that is not what it has to be is never run, and what is for it waits for a person.
func TestFilesThatAreNotRun(t *testing.T) {
	const ran = "echo ran > ran"
	change := func(do func(string) error) func(t *testing.T, s *setup, file string) {
		return func(t *testing.T, _ *setup, file string) {
			if err := do(file); err != nil {
				t.Fatal(err)
			}
		}
	}
	chmod := func(m os.FileMode) func(t *testing.T, s *setup, file string) {
		return change(func(f string) error { return os.Chmod(f, m) })
	}
	instead := func(do func(string) error) func(t *testing.T, s *setup, file string) {
		return change(func(f string) error { return errors.Join(os.Remove(f), do(f)) })
	}
	for _, tt := range []struct {
		name, why string
		spoil     func(t *testing.T, s *setup, file string)
	}{
		{"gone", "no such file", change(os.Remove)},
		{"a directory", "not a regular file", instead(func(f string) error { return os.Mkdir(f, 0o700) })},
		{"a FIFO", "not a regular file", instead(func(f string) error { return syscall.Mkfifo(f, 0o700) })},
		{"a link out", "leads out", instead(func(f string) error { return os.Symlink("/bin/true", f) })},
		{"a link up and out", "leads out", instead(func(f string) error { return os.Symlink("../../../../bin/true", f) })},
		{"a dangling link", "no such file", instead(func(f string) error { return os.Symlink("nothing", f) })},
		{"a link to itself", "cannot be looked at", instead(func(f string) error { return os.Symlink(f, f) })},
		{"not executable", "not executable", chmod(0o600)},
		{"the world can write", "others can write", chmod(0o707)},
		{"a group can write", "others can write", chmod(0o770)},
		{"set-user-ID", "set-user-ID", chmod(0o700 | os.ModeSetuid)},
		{"set-group-ID", "set-group-ID", chmod(0o700 | os.ModeSetgid)},
		{"no interpreter", "no such file", change(func(f string) error { return os.WriteFile(f, []byte("#!/nowhere/sh\n"), 0o700) })}, //nolint:gosec // it is run
		{"no program", "exec format error", change(func(f string) error { return os.WriteFile(f, []byte("\x7fELF"), 0o700) })},        //nolint:gosec // it is run
		{"directory open to all", "others can write", change(func(f string) error { return os.Chmod(filepath.Dir(f), 0o777) })},       //nolint:gosec // that is it
		{"no directory", "directory of programs: no such file", func(_ *testing.T, s *setup, _ string) { s.set.Directory = "Absent" }},
		{"somebody else's", "belongs to somebody else", func(t *testing.T, _ *setup, f string) {
			if os.Geteuid() != 0 {
				t.Skip("only root can give a file away")
			}
			if err := os.Chown(f, 65534, 65534); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSetup(t, nil)
			tt.spoil(t, s, s.program(t, "prog", ran))
			r := s.transfer(t, message("prog"))
			is(t, tt.name, r, mail.Delayed, "4.3.5", "the program cannot be started: ")
			if !strings.Contains(r.Text, tt.why) || strings.Contains(r.Text, s.base) {
				t.Errorf("text %q; want %q, without the name of a file", r.Text, tt.why)
			}
			if s.file(t, "ran") != "none" {
				t.Error("it was run")
			}
		})
	}
}

func TestALinkInTheDirectoryIsAProgram(t *testing.T) {
	s := newSetup(t, nil)
	s.program(t, "prog", `echo "$0" > name`)
	if err := os.Symlink("prog", filepath.Join(s.base, "Programs", "other")); err != nil {
		t.Fatal(err)
	}
	is(t, "other", s.transfer(t, message("other")), mail.Delivered, "2.0.0", "")
	if got := s.file(t, "name"); !strings.HasSuffix(got, "/Programs/other\n") {
		t.Errorf("it was called %q", got)
	}
}

func TestLoop(t *testing.T) {
	s := newSetup(t, nil)
	s.program(t, "prog", "cat > in")
	for _, line := range []string{"prog", "[FILE] prog"} {
		m := message(line)
		m.Text = "Received: x\nDelivered-To: other@example.com\ndelivered-to:\n  Ann+x@EXAMPLE.com\n" + hello
		is(t, line, s.transfer(t, m), mail.Failed, "5.4.6", "Delivered-To")
	}
	m := message("prog")
	m.Text = "Delivered-To: other@example.com\n\nDelivered-To: ann+x@example.com\n"
	is(t, "in the body", s.transfer(t, m), mail.Delivered, "2.0.0", "")
}

func TestLimits(t *testing.T) {
	s := newSetup(t, nil)
	s.set.TimeLimit = settings.Duration(200 * time.Millisecond)
	s.program(t, "prog", "sleep 600 & echo $! > child; echo 5.0.0 never >&2; sleep 600")
	is(t, "limit", s.transfer(t, message("[STDERR] prog")), mail.Delayed, "4.3.0", "time limit exceeded")
	gone(t, s)

	s.set.TimeLimit = settings.Duration(time.Minute)
	s.program(t, "prog", "sleep 600 & echo $! > child; exit 0")
	is(t, "left behind", s.transfer(t, message("prog")), mail.Delivered, "2.0.0", "")
	gone(t, s)
}

// gone checks that the child of a program does not live.
func gone(t *testing.T, s *setup) {
	t.Helper()
	var pid int
	if _, err := fmt.Sscan(s.file(t, "child"), &pid); err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		if time.Since(begin) > 10*time.Second {
			t.Fatalf("process %d lives: %s", pid, stat)
		}
	}
}

func TestBigMessages(t *testing.T) {
	text := strings.Repeat("0123456789abcde\n", 50<<20/16)
	s := newSetup(t, nil)
	for _, tt := range []struct{ name, script, want string }{
		{"read", "wc -c > n", fmt.Sprintln(50<<20 + len("Return-Path: <bob@sender.example>\nDelivered-To: ann+x@example.com\nSubject: big\n\n"))},
		{"not read", "echo none > n; exit 0", "none\n"},
		{"not read to the end", "head -c 10 > n; exit 0", "Return-Pat"},
		{"closed", "exec <&-; echo closed > n", "closed\n"},
	} {
		s.program(t, "prog", tt.script)
		m := message("prog")
		m.Text = "Subject: big\n\n" + text
		is(t, tt.name, s.transfer(t, m), mail.Delivered, "2.0.0", "")
		if got := s.file(t, "n"); got != tt.want {
			t.Errorf("%s: %q; want %q", tt.name, got, tt.want)
		}
	}
	s.program(t, "prog", "exit 75")
	m := message("prog")
	m.Text = "\n" + text
	is(t, "dies early", s.transfer(t, m), mail.Delayed, "4.3.0", "temporary failure")
}

// A server that stops ends the program; nobody is blamed, and the message is there again.
func TestStop(t *testing.T) {
	s := newSetup(t, nil)
	s.program(t, "prog", "echo up > up; sleep 600")
	q := moduletest.NewQueue("prog", message("prog"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Transfer(ctx, q)
	}()
	for s.file(t, "up") == "none" {
		time.Sleep(5 * time.Millisecond)
	}
	cancel()
	<-done
	q.Check(t)
	_, all := q.Delayed()
	_, one := q.MessageDelayed(4711)
	if r := q.Results()[4711][0]; all || one || r != (mail.Result{}) {
		t.Errorf("queue delayed %v, message delayed %v, result %v; want it left alone", all, one, r)
	}
}

// One run a recipient, each with its own end.
func TestEachRecipientIsARun(t *testing.T) {
	s := newSetup(t, nil)
	s.program(t, "prog", "cat > /dev/null; exit $1")
	m := message("prog 0")
	m.Envelope.Recipients = nil
	m.To = []mail.Address{{Local: "prog 0", Domain: "pipe"}, {Local: "prog 75", Domain: "pipe"}, {Local: "prog 67", Domain: "pipe"}}
	q := moduletest.NewQueue("prog", m)
	s.Transfer(t.Context(), q)
	q.Check(t)
	for i, want := range []mail.Action{mail.Delivered, mail.Delayed, mail.Failed} {
		if r := q.Results()[4711][i]; r.Action != want {
			t.Errorf("recipient %d: %s %s; want %s", i, r.Action, r, want)
		}
	}
}

func TestShortTextIsNotGiven(t *testing.T) {
	s := newSetup(t, nil)
	s.program(t, "prog", "cat > in && mv in out")
	q := moduletest.NewQueue("prog", message("prog"))
	s.Transfer(t.Context(), longer{q})
	if r, ok := q.MessageDelayed(4711); !ok || r.Status.String() != "4.3.0" || s.file(t, "out") != "none" {
		t.Errorf("delayed %v with %v, written %q", ok, r, s.file(t, "out"))
	}
}

// longer is a queue whose texts have less than it says.
type longer struct{ *moduletest.Queue }

func (l longer) Due(ctx context.Context) iter.Seq[*module.Transfer] {
	return func(yield func(*module.Transfer) bool) {
		for t := range l.Queue.Due(ctx) {
			t.Size++
			if !yield(t) {
				return
			}
		}
	}
}

func TestAnotherUser(t *testing.T) {
	s := newSetup(t, nil)
	if os.Geteuid() != 0 {
		s.set.User = "root"
		s.program(t, "prog", "echo ran > ran")
		is(t, "not root", s.transfer(t, message("prog")), mail.Delayed, "4.3.5", "only root can start programs as root")
		return
	}
	s.set.User = "nobody"
	s.program(t, "prog", "")
	is(t, "closed to him", s.transfer(t, message("prog")), mail.Delayed, "4.3.5", "")
	dir, err := os.MkdirTemp("/tmp", "cgq")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s.set.Directory = dir
	script := "#!/bin/sh\ncat > /dev/null\necho \"$(id -un) $(id -G) $(pwd)\" >&2; exit 1\n"
	err = errors.Join(os.Chmod(dir, 0o755), os.WriteFile(filepath.Join(dir, "prog"), []byte(script), 0o755)) //nolint:gosec // others run it
	if err != nil {
		t.Fatal(err)
	}
	is(t, "nobody", s.transfer(t, message("[STDERR] prog")), mail.Failed, "5.3.0", ": nobody 65534 /")
	is(t, "file", s.transfer(t, message("[FILE] prog")), mail.Delayed, "4.3.5", "[FILE] is not for")
}

func TestSettings(t *testing.T) {
	standard := pipe.Defaults()
	if err := standard.Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	for _, tt := range []struct {
		change func(*pipe.Deliver)
		want   string
	}{
		{func(d *pipe.Deliver) { d.Directory = "" }, `directory: "" is neither`},
		{func(d *pipe.Deliver) { d.Directory = "../bin" }, `directory: "../bin" is neither absolute nor below`},
		{func(d *pipe.Deliver) { d.User = "nobody-of-that-name" }, "user: user: unknown user"},
		{func(d *pipe.Deliver) { d.TimeLimit = 0 }, "time_limit: 0s is not in 1s to 1h"},
		{func(d *pipe.Deliver) { d.Output = 17 << 20 }, "output: 17M is not in 1K to 16M"},
		{func(d *pipe.Deliver) { d.Channels = 0 }, "channels: 0 is not in 1 to 1000"},
		{func(d *pipe.Deliver) { d.QueueChannels = 11 }, "queue_channels: 11 is not in 1 to 10, which is channels"},
		{func(d *pipe.Deliver) { d.Retry = nil }, "retry: want one"},
		{func(d *pipe.Deliver) { d.Retry[0] = 0 }, "retry: 0s is not in 1s to 1w"},
		{func(d *pipe.Deliver) { d.Expire = 0 }, "expire: 0s is not in 1m to 30d"},
	} {
		set := pipe.Defaults()
		tt.change(&set)
		if err := set.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v; want %s", err, tt.want)
		}
	}
}

func TestAProgramIsExplained(t *testing.T) {
	s := newSetup(t, nil)
	file := s.program(t, "prog", "exit 0")
	says := func(want string) {
		t.Helper()
		if got := s.Explain(t.Context(), "prog"); len(got.Notes) != 1 || got.Notes[0] != want {
			t.Errorf("%q, want %q", got.Notes, want)
		}
	}
	says("to the program " + file + ", which is there and executable")
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	says("cannot start " + file + ": it is not executable")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	says("cannot start " + file + ": no such file or directory")
}
