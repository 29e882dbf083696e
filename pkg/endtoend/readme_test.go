package endtoend

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"cgq/pkg/endtoend/program"
)

// A told command is a line of the README behind a prompt, and what it says there.
type told struct {
	line string
	says []string
}

// fiveMinutes are the commands of the README that a newcomer types, in order.
func fiveMinutes(t *testing.T) (all []told) {
	t.Helper()
	b, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(b), "\n## Five minutes\n")
	text, _, _ = strings.Cut(text, "\n## ")
	for i, block := range strings.Split(text, "```") {
		if i%2 == 0 {
			continue
		}
		for line := range strings.Lines(strings.TrimPrefix(block, "\n")) {
			line = strings.TrimRight(line, "\n")
			if cmd, ok := strings.CutPrefix(line, "$ "); ok {
				all = append(all, told{line: cmd})
			} else if len(all) > 0 && line != "" {
				last := &all[len(all)-1]
				last.says = append(last.says, line)
			}
		}
	}
	return all
}

var (
	changing = regexp.MustCompile(`\d+\.M\w+\.\w+|\d+`) // the name of a file in a Maildir, numbers
	spaces   = regexp.MustCompile(` {2,}`)
)

// same is a line without what is different each time.
func same(line string) string {
	return spaces.ReplaceAllString(changing.ReplaceAllString(line, "0"), " ")
}

// agree says whether out is what the README says: a line … stands for any lines.
func agree(says, out string) bool {
	var want []string
	for line := range strings.Lines(says) {
		if line = same(strings.TrimSpace(line)); line == "…" {
			want = append(want, `(?:.*\n)*`)
		} else {
			want = append(want, regexp.QuoteMeta(line)+`\n`)
		}
	}
	var got strings.Builder
	for line := range strings.Lines(out) {
		if line = strings.TrimSpace(line); line != "" {
			got.WriteString(same(line) + "\n")
		}
	}
	return regexp.MustCompile(`^` + strings.Join(want, "") + `$`).MatchString(got.String())
}

// A newcomer has the README, three terminals, and a directory with what was built.
type newcomer struct {
	dir     string
	exports string
	daemons []*program.Daemon
}

// runs runs a command line, and returns what it prints.
func (n *newcomer) runs(line string) string {
	out, _ := n.shell(n.exports + line).CombinedOutput() // that it fails shows in what it prints
	return string(out)
}

func (n *newcomer) shell(script string) *exec.Cmd {
	cmd := exec.Command("bash", "-c", script)
	cmd.Dir = n.dir
	return cmd
}

// starts starts a daemon in a terminal of its own, and returns what it prints.
func (n *newcomer) starts(t *testing.T, line string) string {
	t.Helper()
	d, err := program.Start(n.shell("exec "+line), patience)
	if err != nil {
		t.Fatal(err)
	}
	n.daemons = append(n.daemons, d)
	return d.Words()
}

// stops stops all daemons but the first so many.
func (n *newcomer) stops(t *testing.T, but int) {
	for ; len(n.daemons) > but; n.daemons = n.daemons[:len(n.daemons)-1] {
		if err := n.daemons[len(n.daemons)-1].End(syscall.SIGINT); err != nil {
			t.Error(err)
		}
	}
}

// looks says whether a command only looks: then it may look again, until it sees.
func looks(line string) bool {
	return regexp.MustCompile(`^(ls|grep|cgq (log tail|queue list|queue explain)) `).MatchString(line + " ")
}

// The README is true: who types what stands there sees what stands there, but for numbers
// and spaces.
func TestFiveMinutes(t *testing.T) {
	kind, err := kindOf("/tmp")
	if err != nil || !kind.Keeps {
		t.Skipf("a daemon does not start in /tmp: %v, %v", kind, err)
	}
	if _, err := exec.LookPath("swaks"); err != nil {
		if os.Getenv("CGQ_TEST_TOOLS") == "required" {
			t.Fatal(err)
		}
		t.Skip("swaks is missing; to try the README: apt-get install swaks")
	}
	n := &newcomer{dir: t.TempDir()}
	defer n.stops(t, 0)
	if err := os.Symlink(programs, filepath.Join(n.dir, "bin")); err != nil {
		t.Fatal(err)
	}
	mx, relay := freePort(t), freePort(t)
	here := strings.NewReplacer("127.0.0.1:2525", mx, "127.0.0.1:2599", relay, "/home/ann/cgq", n.dir)
	commands := fiveMinutes(t)
	if len(commands) < 15 {
		t.Fatalf("%d commands in the README", len(commands))
	}
	for _, c := range commands {
		line, says, out := here.Replace(c.line), here.Replace(strings.Join(c.says, "\n")), ""
		switch {
		case line == "make run": // what that does, at a port that is free
			n.runs("bin/cgqd init --base ./var --domain example.com --smtp " + mx)
			out = n.starts(t, "bin/cgqd --base ./var")
		case strings.HasPrefix(line, "bin/cgqd --base "):
			out = n.starts(t, line)
		case strings.HasPrefix(line, "export "):
			n.exports += line + "\n"
		case looks(line):
			_ = program.Wait(patience, pause, func() (bool, string) { // in vain: then it does not agree
				out = n.runs(line)
				return agree(says, out), out
			})
		default:
			if strings.Contains(line, "dora@") { // before that the second one is stopped
				n.stops(t, 1)
			}
			out = n.runs(line)
		}
		if !agree(says, out) {
			t.Fatalf("$ %s\n%s\nwant, but for numbers:\n%s", line, out, says)
		}
	}
}

// freePort is an address at which nobody listens.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
