package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"cgq/bench/rig"
	"cgq/pkg/control"
	"cgq/pkg/disk"
	"cgq/pkg/spool"
)

// restartLimit is how long a start may take before it counts as hung.
const restartLimit = 30 * time.Minute

// restart is the part in which cgqd starts with a full Queue.
func restart(b *bench) (*table, measurement) {
	t := &table{Name: "restart",
		About: "cgqd starts with message files in its Queue; seconds from its start. Cold: after the file system was unmounted",
		Columns: []column{{"first accept s", 2}, {"full index s", 2}, {"CPU s", 2}, {"peak RSS MiB", 0}, {"RSS MiB", 0},
			{"B/message", 0}, {"stop s", 2}}}
	for _, n := range b.restart {
		for _, how := range []string{"cold", "warm"} {
			t.most(restartCase(n, how), "first accept s", 1)
			if n == 1_000_000 {
				t.most(restartCase(n, how), "full index s", 15)
			}
		}
	}
	return t, func(ctx context.Context, b *bench, t *table) error {
		for _, n := range b.restart {
			if err := b.restartWith(ctx, t, n); err != nil {
				return fmt.Errorf("%d messages: %w", n, err)
			}
		}
		return nil
	}
}

func restartCase(messages int, how string) string {
	return fmt.Sprintf("%d messages, %s", messages, how)
}

// restartWith measures starts with so many messages.
func (b *bench) restartWith(ctx context.Context, t *table, n int) error {
	d := daemon{}
	var err error
	if d.path, err = rig.Program(b.bin, "cgqd"); err != nil {
		return err
	}
	if d.port, err = b.ports.Next(); err != nil {
		return err
	}
	if d.next, err = b.ports.Next(); err != nil {
		return err
	}
	base, err := b.fullQueue(ctx, n)
	if err != nil {
		return err
	}
	if b.plan.Keep == "" {
		defer os.RemoveAll(base)
	}
	if err := d.init(ctx, base); err != nil {
		return err
	}
	if err := b.site.Sync(); err != nil {
		return err
	}
	err = b.eachRound(ctx, t, func() error {
		want, err := countMessages(base)
		if err != nil {
			return err
		}
		forgotten, err := b.site.Forget(ctx)
		if err != nil {
			return err
		}
		if forgotten {
			if err := d.measure(ctx, t, restartCase(n, "cold"), base, want); err != nil {
				return err
			}
			want++ // that which was accepted
		}
		return d.measure(ctx, t, restartCase(n, "warm"), base, want)
	})
	if err != nil {
		return err
	}
	return b.look(t, restartCase(n, "spool.Inspect alone, warm"), base)
}

// look measures the reading part of a start in this process, where it can be profiled.
func (b *bench) look(t *table, name, base string) error {
	fs, err := disk.OpenOS(base)
	if err != nil {
		return err
	}
	defer fs.Close()
	before, err := usedNow()
	if err != nil {
		return err
	}
	begin := time.Now()
	err = b.profiled("restart", func() error {
		_, err := spool.Inspect(fs, "Queue")
		return err
	})
	if err != nil {
		return err
	}
	elapsed := time.Since(begin)
	after, err := usedNow()
	if err != nil {
		return err
	}
	cpu := after.user + after.system - before.user - before.system
	t.add(name, none, elapsed.Seconds(), cpu.Seconds(), none, none, none, none)
	return nil
}

// A daemon is cgqd, to be started again and again.
type daemon struct {
	path       string
	port, next int // where it listens, and where its relay would
}

// init gives a base directory the settings of cgqd init, and a relay that is dead.
func (d daemon) init(ctx context.Context, base string) error {
	if err := os.RemoveAll(filepath.Join(base, "Settings")); err != nil { // of an earlier run, with other ports
		return err
	}
	cmd := exec.CommandContext(ctx, d.path, "init", "--base", base, "--domain", "bench.test",
		"--smtp", rig.Address(d.port), "--relay", rig.Address(d.next))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cgqd init: %w: %s", rig.Cause(ctx, err), out)
	}
	return nil
}

// measure starts the daemon, waits until it knows all its messages, and stops it.
func (d daemon) measure(ctx context.Context, t *table, name, base string, messages int) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, restartLimit, fmt.Errorf("not done after %v", restartLimit))
	defer cancel()
	output, err := os.Create(filepath.Join(base, "output"))
	if err != nil {
		return err
	}
	defer output.Close()
	cmd := exec.Command(d.path, "--base", base)
	cmd.Stdout, cmd.Stderr = output, output
	begin := time.Now()
	p, err := rig.StartProcess(cmd)
	if err != nil {
		return err
	}
	defer p.Kill()
	var accepted, indexed time.Duration
	var errs [2]error
	var both sync.WaitGroup
	both.Go(func() {
		errs[0] = p.While(ctx, time.Millisecond, func() (bool, error) { return send(rig.Address(d.port)) })
		accepted = time.Since(begin)
	})
	client := control.Dial(filepath.Join(base, "control.sock"))
	defer client.Close()
	both.Go(func() {
		errs[1] = p.While(ctx, 20*time.Millisecond, func() (bool, error) { return whole(ctx, client, messages) })
		indexed = time.Since(begin)
	})
	both.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	cpu, err := p.CPU()
	if err != nil {
		return err
	}
	peak, now, err := p.Memory()
	if err != nil {
		return err
	}
	begin = time.Now()
	if err := p.Stop(); err != nil {
		return err
	}
	stopped := time.Since(begin)
	t.add(name, accepted.Seconds(), indexed.Seconds(), cpu.Seconds(), float64(peak>>20), float64(now>>20),
		float64(peak)/float64(messages), stopped.Seconds())
	return nil
}

// whole says whether the daemon knows all its messages. A daemon that answers before
// that says how many it has not read, in numUnreadMessages.
func whole(ctx context.Context, c *control.Client, messages int) (bool, error) {
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

// send sends one message. Until the daemon takes it, it is false.
func send(address string) (bool, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return false, nil // not listening yet
	}
	if err := conn.SetDeadline(time.Now().Add(restartLimit)); err != nil {
		return false, errors.Join(err, conn.Close())
	}
	c, err := smtp.NewClient(conn, "bench.test")
	if err != nil {
		conn.Close()
		return false, nil // not yet
	}
	defer c.Close()
	for _, step := range []func() error{
		func() error { return c.Hello("src.test") },
		func() error { return c.Mail("sender@src.test") },
		func() error { return c.Rcpt("rcpt@many.test") },
	} {
		if err := step(); err != nil {
			return false, nil // 4yz: not yet
		}
	}
	w, err := c.Data()
	if err != nil {
		return false, nil
	}
	_, err = io.WriteString(w, "Subject: the first\r\n\r\nHello.\r\n")
	return errors.Join(err, w.Close()) == nil, nil
}
