package server

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// TestMain is cgqd itself when it is called so: a shell in a test can run it.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "cgqd" {
		os.Exit(Main())
	}
	os.Exit(m.Run())
}

// What is made from cgqd and checked in is what it makes: make docs.
func TestGeneratedPagesAreUpToDate(t *testing.T) {
	made := t.TempDir()
	for _, args := range [][]string{{"gen-docs", filepath.Join(made, "docs")}, {"gen-completions", filepath.Join(made, "completions")}} {
		if out, err := cgqd(made, args...); err != nil {
			t.Fatal(err, out)
		}
	}
	for _, dir := range []string{"docs/commands", "docs/man", "completions"} {
		want, err := filepath.Glob(filepath.Join(made, dir, "*"))
		if err != nil || len(want) < 4 {
			t.Fatalf("%s: %d files, %v", dir, len(want), err)
		}
		for _, file := range want {
			name := filepath.Join("../..", dir, filepath.Base(file))
			w, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if g, err := os.ReadFile(name); err != nil || !bytes.Equal(g, w) {
				t.Errorf("%s is not what the program makes (%v); make docs", name, err)
			}
		}
		got, err := filepath.Glob(filepath.Join("../..", dir, "cgqd*"))
		if err != nil || len(got) != len(want) {
			t.Errorf("%s has %d files of cgqd (%v), the program makes %d; make docs", dir, len(got), err, len(want))
		}
	}
}

// Every command can be understood from its help.
func TestEveryCommandExplainsItself(t *testing.T) {
	for _, cmd := range append(commands(), newCommand(nil, nil)) {
		if cmd.Short == "" || cmd.Long == "" || cmd.Example == "" {
			t.Errorf("%s: short %q, long %q, example %q; want all", cmd.CommandPath(), cmd.Short, cmd.Long, cmd.Example)
		}
	}
}

// commands are those below cgqd that are not hidden.
func commands() (all []*cobra.Command) {
	for _, cmd := range newCommand(nil, nil).Commands() {
		if cmd.IsAvailableCommand() {
			all = append(all, cmd)
		}
	}
	return all
}

// Every example of every help is run, by a shell, as it stands, with the base directory and
// the backup of the test; what never ends is stopped when it is ready.
func TestEveryExampleWorks(t *testing.T) {
	for _, cmd := range append(commands(), newCommand(nil, nil)) {
		for line := range strings.Lines(cmd.Example) {
			if line = strings.TrimSpace(line); line != "" {
				t.Run(line, func(t *testing.T) { runExample(t, line) })
			}
		}
	}
}

func runExample(t *testing.T, line string) {
	dir := t.TempDir()
	base := filepath.Join(dir, "lib")
	if !strings.Contains(line, "init") {
		if err := initialize(base, new(bytes.Buffer), func(c *config) {
			c.SMTP.Receive.Listen, c.Queue.Journal.AnySystem, c.Queue.Journal.Size = []string{"127.0.0.1:0"}, true, 3*segment
		}); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err == nil {
		err = os.Symlink(self, filepath.Join(dir, "cgqd"))
	}
	if err != nil {
		t.Fatal(err)
	}
	line = strings.NewReplacer("/var/lib/cgq", base, "/backup/queue.tar", archived(t, 2)).Replace(line)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	shell := exec.CommandContext(ctx, "sh", "-c", "exec "+line)
	shell.Dir = dir
	shell.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH")}
	said, err := shell.StderrPipe()
	if err == nil {
		err = shell.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for lines := bufio.NewScanner(said); lines.Scan(); {
		all.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "cgqd: ready") {
			if err := shell.Process.Signal(os.Interrupt); err != nil {
				t.Error(err)
			}
		}
	}
	if err := shell.Wait(); err != nil {
		t.Errorf("%v\n%s", err, all.String())
	}
}
