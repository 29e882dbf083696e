package cli

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"cgq/pkg/control"
)

// TestMain is cgq itself when it is called so: a shell in a test can run it.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "cgq" {
		os.Exit(Main())
	}
	os.Exit(m.Run())
}

// Every example of every help is run, by a shell, as it stands; where it writes is the
// directory of the test, and what never ends is interrupted.
func TestEveryExampleWorks(t *testing.T) {
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, line := range strings.Split(cmd.Example, "\n") {
			if line = strings.TrimSpace(line); line != "" {
				t.Run(line, func(t *testing.T) { runExample(t, cmd, line) })
			}
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(&app{}))
}

var (
	// outside are the directories that examples write to.
	outside = regexp.MustCompile(`/backup/|/etc/bash_completion\.d/|/root/`)
	// sourced is what only the shell of the reader can do.
	sourced = regexp.MustCompile(`source <\((.*)\)`)
)

func runExample(t *testing.T, cmd *cobra.Command, line string) {
	t.Parallel()
	d := full()
	d.imported.Problems = nil
	d.settings = append(d.settings, control.SettingRow{Key: "queue.enqueuer.queue_limit", Value: "0", Default: "0", Type: "number", File: "queue.toml"})
	if strings.Contains(line, "--wait") {
		d.turns(world{4711: {rcpt("x@example.com", control.Delayed, 1, "")}}, world{})
	}
	dir := t.TempDir()
	for _, made := range []string{"bin", "evidence"} {
		if err := os.Mkdir(filepath.Join(dir, made), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, from := range map[string]string{"spam.eml": "rules.eml", "a.eml": "rules.eml", "message.eml": "rules.eml", "rules.toml": "rules.eml",
		"Rules.settings": "Rules.settings",
		"new-rules.toml": "Rules.settings"} { // which nobody reads here: the daemon of the test does not
		b, err := os.ReadFile(filepath.Join("testdata", from))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err == nil {
		err = os.Symlink(self, filepath.Join(dir, "bin", "cgq"))
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/bin/true", filepath.Join(dir, "bin", "nano")); err != nil { // it changes nothing
		t.Fatal(err)
	}
	script := sourced.ReplaceAllString(outside.ReplaceAllString(line, ""), "$1 > /dev/null")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	shell := exec.CommandContext(ctx, "bash", "-o", "pipefail", "-c", script)
	var out bytes.Buffer
	shell.Stdout, shell.Stderr = &out, &out
	if strings.Contains(line, "--watch") { // it has to be interrupted, when it has printed something
		shell.Args[len(shell.Args)-1] = "exec " + script
		shell.Stdout = &printer{piece: "\n", many: 1, enough: func() { _ = shell.Process.Signal(os.Interrupt) }}
	}
	shell.Dir = dir
	base := d.serve(t)
	newMailroom(t, base)
	shell.Env = []string{"PATH=" + filepath.Join(dir, "bin") + ":" + os.Getenv("PATH"),
		"CGQ_BASE=" + base, "HOME=" + dir, "EDITOR=nano"}
	err = shell.Run()
	if strings.HasPrefix(line, "cgq top") && strings.Contains(out.String(), "it needs a terminal") {
		return // its own tests have one
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
}
