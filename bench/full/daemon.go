package full

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"

	"cgq/bench/rig"
	"cgq/pkg/control"
)

// A Daemon is cgqd, to be started again and again.
type Daemon struct {
	path       string
	port, next int // where it listens, and where its relay would
}

// NewDaemon finds the program in bin, and ports for it.
func NewDaemon(bin string, ports *rig.Ports) (d *Daemon, err error) {
	d = &Daemon{}
	if d.path, err = rig.Program(bin, "cgqd"); err != nil {
		return nil, err
	}
	if d.port, err = ports.Next(); err != nil {
		return nil, err
	}
	d.next, err = ports.Next()
	return d, err
}

// Address is where it takes mail.
func (d *Daemon) Address() string { return rig.Address(d.port) }

// Init gives a base directory the settings of cgqd init, and a relay that is dead.
func (d *Daemon) Init(ctx context.Context, base string) error {
	if err := os.RemoveAll(filepath.Join(base, "Settings")); err != nil { // of an earlier run, with other ports
		return err
	}
	cmd := exec.CommandContext(ctx, d.path, "init", "--base", base, "--domain", "bench.test",
		"--smtp", d.Address(), "--relay", rig.Address(d.next))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cgqd init: %w: %s", rig.Cause(ctx, err), out)
	}
	return nil
}

// Set gives a key of a section another value, written as TOML has it. The key stands at
// the beginning of one line.
func (d *Daemon) Set(base, section, key, value string) error {
	name := filepath.Join(base, "Settings", section+".toml")
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	line := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(key) + ` = .*$`)
	if n := len(line.FindAll(text, -1)); n != 1 {
		return fmt.Errorf("%s: %d lines of the key %s", name, n, key)
	}
	return os.WriteFile(name, line.ReplaceAllLiteral(text, []byte(key+" = "+value)), 0o600)
}

// Start starts it on a base directory; what it says goes to output.
func (d *Daemon) Start(base string, output *os.File, args ...string) (*rig.Process, error) {
	cmd := exec.Command(d.path, append([]string{"--base", base}, args...)...)
	cmd.Stdout, cmd.Stderr = output, output
	return rig.StartProcess(cmd)
}

// Dial returns a client of the daemon of a base directory.
func Dial(base string) *control.Client { return control.Dial(filepath.Join(base, "control.sock")) }

// Whole says whether the daemon knows all its messages. A daemon that answers before
// that says how many it has not read, in numUnreadMessages.
func Whole(ctx context.Context, c *control.Client, messages int) (bool, error) {
	elements := map[string]int64{}
	for e, err := range control.Stat.Do(ctx, c, control.StatQuery{}) {
		if err != nil {
			return false, ctx.Err() // it does not answer yet
		}
		elements[e.Name] = e.Value
	}
	return isWhole(elements, messages)
}

func isWhole(elements map[string]int64, messages int) (bool, error) {
	if elements["numUnreadMessages"] > 0 {
		return false, nil
	}
	queued, ok := elements["numQueuedMessages"]
	switch {
	case !ok:
		return false, errors.New("the daemon has no element numQueuedMessages")
	case queued < int64(messages):
		return false, nil
	}
	return true, nil
}
