package endtoend

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"

	"cgq/pkg/endtoend/program"
)

// command is a program with the environment of a story.
func command(ts *testscript.TestScript, args ...string) *exec.Cmd {
	name := args[0]
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil && !strings.Contains(name, "/") {
			name = path
			break
		}
	}
	cmd := exec.Command(name, args[1:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = []string{}
	for _, key := range []string{"PATH", "HOME", "TMPDIR", "CGQ_BASE", "GORACE"} {
		cmd.Env = append(cmd.Env, key+"="+ts.Getenv(key))
	}
	return cmd
}

// run runs a program. An error means that it could not be run.
func (s *site) run(ts *testscript.TestScript, args ...string) (out, errOut string, status int, err error) {
	cmd := command(ts, args...)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err = cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); ok {
		err = nil
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode(), err
}

func until(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: [!] until REGEXP CMD...")
	}
	want, err := regexp.Compile(`(?m)` + args[0])
	ts.Check(err)
	var out string
	wait(ts, func() (bool, string) {
		var errOut string
		var status int
		out, errOut, status, err = siteOf(ts).run(ts, args[1:]...)
		ts.Check(err)
		return status == 0 && want.MatchString(out) != neg, fmt.Sprintf("status %d\n%s%s", status, out, errOut)
	})
	_, _ = io.WriteString(ts.Stdout(), out)
}

func status(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || neg {
		ts.Fatalf("usage: status N CMD...")
	}
	want := number(ts, args, 0)
	out, errOut, got, err := siteOf(ts).run(ts, args[1:]...)
	ts.Check(err)
	_, _ = io.WriteString(ts.Stdout(), out)
	_, _ = io.WriteString(ts.Stderr(), errOut)
	if got != want {
		ts.Fatalf("status %d, want %d", got, want)
	}
}

func (s *site) daemonDo(ts *testscript.TestScript, args []string) {
	verb, umask := strings.Join(args, " "), ""
	if len(args) == 2 && args[0] == "start" {
		verb, umask = args[0], args[1]
	}
	if running := s.daemon != nil; running == (verb == "start") {
		ts.Fatalf("daemon %s: a daemon runs: %v", verb, running)
	}
	switch verb {
	case "start":
		s.start(ts, umask)
	case "term":
		ts.Check(s.daemon.Signal(syscall.SIGTERM))
	case "hangup":
		ts.Check(s.daemon.Signal(syscall.SIGHUP))
	case "died":
		d := s.daemon
		s.daemon = nil
		if err := d.End(0); err == nil || d.Succeeded() {
			ts.Fatalf("cgqd has ended with status 0")
		}
	case "stop", "kill", "ended":
		signal := map[string]syscall.Signal{"stop": syscall.SIGTERM, "kill": syscall.SIGKILL}[verb]
		d := s.daemon
		s.daemon = nil
		ts.Check(d.End(signal))
		_, _ = io.WriteString(ts.Stderr(), d.Words())
	default:
		ts.Fatalf("usage: daemon start|stop|term|ended|kill|hangup")
	}
}

// start starts the daemon and waits until it is ready.
func (s *site) start(ts *testscript.TestScript, umask string) {
	args := []string{"cgqd"}
	if umask != "" {
		args = []string{"sh", "-c", "umask " + umask + "; exec cgqd"}
	}
	var err error
	s.daemon, err = program.Start(command(ts, args...), patience)
	ts.Check(err)
	out, errOut, _, err := s.run(ts, "cgq", "stat", "--listeners", "-o", "json")
	ts.Check(err)
	var listeners []struct{ Role, Address string }
	if err := json.Unmarshal([]byte(out), &listeners); err != nil || len(listeners) != 1 || listeners[0].Role != "mx" {
		ts.Fatalf("cgq stat --listeners: %v: %s%s", err, out, errOut)
	}
	ts.Setenv("SMTP", listeners[0].Address)
	ts.Setenv("PID", strconv.Itoa(s.daemon.Pid()))
}
