package endtoend

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// A screen is a terminal with a program in it: tmux, which a story types into and looks
// at.
type screen struct{ socket string }

// tmux runs a command of tmux on the screen.
func (s *screen) tmux(args ...string) *exec.Cmd {
	return exec.Command("tmux", append([]string{"-u", "-f", "/dev/null", "-S", s.socket}, args...)...)
}

func (s *screen) stop() {
	_ = s.tmux("kill-server").Run() // it may have ended with its program
}

// screenDo is the command screen of stories:
//
//	screen start COLUMNS LINES CMD...   begins
//	screen keys KEY...                  types: names of tmux, such as Enter, or texts
//	screen has REGEXP                   waits until a line matches
//	screen lacks REGEXP                 waits until no line does
//	screen is FILE                      waits until it is the file, but for what always differs
//	screen stop                         ends
func (s *site) screenDo(ts *testscript.TestScript, args []string) {
	verb := ""
	if len(args) > 0 {
		verb = args[0]
	}
	if (s.screen == nil) != (verb == "start") {
		ts.Fatalf("screen %s: there is a screen: %v", verb, s.screen != nil)
	}
	switch {
	case verb == "start" && len(args) > 3:
		s.startScreen(ts, number(ts, args, 1), number(ts, args, 2), args[3:])
	case verb == "keys" && len(args) > 1:
		for _, key := range args[1:] {
			ts.Check(s.screen.tmux("send-keys", key).Run())
		}
	case (verb == "has" || verb == "lacks") && len(args) == 2:
		want, err := regexp.Compile(`(?m)` + args[1])
		ts.Check(err)
		s.waitScreen(ts, func(is string) bool { return want.MatchString(is) == (verb == "has") })
	case verb == "is" && len(args) == 2:
		want := ts.ReadFile(args[1])
		s.waitScreen(ts, func(is string) bool { return steady(is) == want })
	case verb == "stop" && len(args) == 1:
		s.screen.stop()
		s.screen = nil
	default:
		ts.Fatalf("usage: screen start|keys|has|lacks|is|stop")
	}
}

func (s *site) startScreen(ts *testscript.TestScript, width, height int, args []string) {
	s.screens++ // the server of one before may not have ended yet
	s.screen = &screen{filepath.Join(s.base, "screen"+strconv.Itoa(s.screens))}
	cmd := s.screen.tmux(append([]string{"new-session", "-d", "-x", strconv.Itoa(width), "-y", strconv.Itoa(height)}, args...)...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = append(command(ts, "tmux").Env, "LANG=C.UTF-8", "TERM=xterm-256color", "SHELL=/bin/sh")
	if out, err := cmd.CombinedOutput(); err != nil {
		ts.Fatalf("tmux: %v: %s", err, out)
	}
	_ = s.screen.tmux("set-option", "-g", "escape-time", "0").Run() // Esc is a key at once
}

// waitScreen looks at the screen until it is as it should be.
func (s *site) waitScreen(ts *testscript.TestScript, right func(is string) bool) {
	wait(ts, func() (bool, string) {
		out, err := s.screen.tmux("capture-pane", "-p").CombinedOutput()
		return err == nil && right(string(out)), fmt.Sprintf("the screen is\n%s\nwithout what always differs\n%s", out, steady(string(out)))
	})
	if os.Getenv("CGQ_TEST_SCREENS") != "" { // for who wants to look
		out, _ := s.screen.tmux("capture-pane", "-p").Output()
		ts.Logf("%s", out)
	}
}

// what always differs: times, addresses, versions, graphs.
var differs = []struct {
	is  *regexp.Regexp
	has string
}{
	{regexp.MustCompile(` *\b\d\d:\d\d:\d\d`), " CLOCK"},
	{regexp.MustCompile(`\b\d+(\.\d+){3}(:\d+)?`), "ADDR"},
	{regexp.MustCompile(` *\b(\d+[dhm]\d\d[hms]|\d+s)\b`), " TIME"},
	{regexp.MustCompile(`cgqd v?\S+( +CLOCK|$)`), "cgqd VERSION CLOCK"},
	{regexp.MustCompile(` *\d+/min`), " N/min"},
	{regexp.MustCompile(` *[▁-█]+ *`), " GRAPH "},
	{regexp.MustCompile(`(?m) +$`), ""},
}

// steady is a screen without what always differs, and without empty lines.
func steady(s string) string {
	for _, d := range differs {
		s = d.is.ReplaceAllString(s, d.has)
	}
	var lines []string
	for line := range strings.SplitSeq(s, "\n") {
		if strings.TrimSpace(line) != "" {
			lines = append(lines, strings.TrimRight(line, " "))
		}
	}
	return strings.Join(lines, "\n") + "\n"
}
