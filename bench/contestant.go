package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"cgq/bench/rig"
)

// A contestant is a mail server that can be measured.
type contestant interface {
	about() about
	// start runs the server with an empty queue, and returns when it answers.
	start(ctx context.Context, in place) (*server, error)
}

// about is what the report says of a contestant.
type about struct {
	Name     string   `json:"name"`
	Version  string   `json:"version"`
	Settings []string `json:"settings"` // a line each
}

// A place is where a server has to run.
type place struct {
	dir   string // its own, empty
	port  int    // of 127.0.0.1, where it listens
	next  int    // port of the next hop
	relay bool   // the next hop is there; if not, what is accepted stays in the queue
	local bool   // mail comes from programs of the machine
}

// A server is a contestant that runs.
type server struct {
	*rig.Process
	out    string                             // the file with what it prints
	queued func(context.Context) (int, error) // how many messages it has; nil: it cannot say
}

// launch starts cmd as a server that prints into in.dir, and waits for its greeting.
func launch(ctx context.Context, in place, cmd *exec.Cmd) (*server, error) {
	s := &server{out: filepath.Join(in.dir, "output")}
	f, err := os.Create(s.out)
	if err != nil {
		return nil, err
	}
	defer f.Close() // the child has its own
	cmd.Stdout, cmd.Stderr = f, f
	if s.Process, err = rig.StartProcess(cmd); err != nil {
		return nil, err
	}
	if err := s.Ready(ctx, in.port); err != nil {
		s.Kill()
		return nil, fmt.Errorf("%w%s", err, s.lastWords())
	}
	return s, nil
}

// atRest waits until the server has nothing to do, and returns the processor time that it has
// used by then.
func (s *server) atRest(ctx context.Context) (time.Duration, error) {
	if err := s.Settle(ctx); err != nil {
		return 0, err
	}
	return s.CPU()
}

// end stops the server; to an error it adds what that has printed.
func (s *server) end(err error) error {
	if e := s.Stop(); err == nil {
		err = e
	}
	if err != nil {
		err = fmt.Errorf("%w%s", err, s.lastWords())
	}
	return err
}

// lastWords is the end of what the server has printed, to be put behind an error.
func (s *server) lastWords() string {
	text, err := os.ReadFile(s.out)
	if err != nil || len(text) == 0 {
		return ""
	}
	return "\nit printed at last:\n" + string(bytes.TrimSpace(text[max(0, len(text)-2000):]))
}

// contestants finds the servers of these names, with their programs in bin or installed.
func contestants(ctx context.Context, names []string, bin string) ([]contestant, error) {
	for _, tool := range []string{"smtp-source", "smtp-sink"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("%s is missing; Debian has it in: apt-get install postfix", tool)
		}
	}
	var all []contestant
	for _, name := range names {
		var c contestant
		var err error
		switch name {
		case "floor":
			c, err = newFloor(bin)
		case "cgqd":
			c, err = newCgqd(bin)
		case "postfix":
			c, err = newPostfix(ctx)
		default:
			err = fmt.Errorf("no contestant %q; there are floor, cgqd, postfix", name)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// floor is bench/floor.
type floor struct{ path string }

func newFloor(bin string) (floor, error) {
	path, err := rig.Program(bin, "floor")
	return floor{path}, err
}

func (floor) about() about {
	how := "one log, group commit, no policy, no queue; 20 connections to the sink"
	return about{"floor", rig.OwnVersion(), []string{how}}
}

func (f floor) start(ctx context.Context, in place) (*server, error) {
	args := []string{"-addr", rig.Address(in.port), "-log", filepath.Join(in.dir, "log")}
	if in.relay {
		args = append(args, "-relay", rig.Address(in.next))
	}
	return launch(ctx, in, exec.Command(f.path, args...))
}

// cgqd is the product, with the settings that cgqd init writes.
type cgqd struct{ daemon, client string }

func newCgqd(bin string) (c cgqd, err error) {
	if c.daemon, err = rig.Program(bin, "cgqd"); err != nil {
		return c, err
	}
	c.client, err = rig.Program(bin, "cgq")
	return c, err
}

func (cgqd) about() about {
	how := "as cgqd init writes them; relay: the sink; to measure acceptance, a port where nobody listens"
	return about{"cgqd", rig.OwnVersion(), []string{how}}
}

// configure implements mailer.
func (c cgqd) configure(ctx context.Context, in place) error {
	base := c.base(in)
	init := exec.CommandContext(ctx, c.daemon, "init", "--base", base, "--domain", "bench.test",
		"--smtp", rig.Address(in.port), "--relay", rig.Address(in.next))
	if out, err := init.CombinedOutput(); err != nil {
		return fmt.Errorf("cgqd init: %w: %s", rig.Cause(ctx, err), bytes.TrimSpace(out))
	}
	return nil
}

func (c cgqd) start(ctx context.Context, in place) (*server, error) {
	base := c.base(in)
	if _, err := os.Stat(base); err != nil {
		if err := c.configure(ctx, in); err != nil {
			return nil, err
		}
	}
	s, err := launch(ctx, in, exec.Command(c.daemon, "--base", base))
	if err != nil {
		return nil, err
	}
	s.queued = func(ctx context.Context) (int, error) { return c.queued(ctx, base) }
	return s, nil
}

// queued sums what cgq queue list says.
func (c cgqd) queued(ctx context.Context, base string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var complaint strings.Builder
	cmd := exec.CommandContext(ctx, c.client, "--base", base, "queue", "list", "-o", "jsonl")
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("cgq queue list: %w: %s", err, complaint.String())
	}
	return sumMessages(out)
}

// sumMessages adds up the messages of all host queues in the JSON rows.
func sumMessages(rows []byte) (sum int, err error) {
	for d := json.NewDecoder(bytes.NewReader(rows)); ; {
		var row struct{ Messages *int }
		if err := d.Decode(&row); errors.Is(err, io.EOF) {
			return sum, nil
		} else if err != nil {
			return 0, err
		}
		if row.Messages == nil {
			return 0, errors.New("a row without messages")
		}
		sum += *row.Messages
	}
}
