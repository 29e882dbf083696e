package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"sync"
	"time"

	"cgq/bench/full"
	"cgq/bench/rig"
	"cgq/pkg/disk"
	"cgq/pkg/spool"
)

// restartLimit is how long a start may take before it counts as hung.
const restartLimit = 30 * time.Minute

// restart is the part in which cgqd starts with a full Queue.
func restart(b *bench) (*rig.Table, measurement) {
	t := &rig.Table{Name: "restart",
		About: "cgqd starts with message files in its Queue; seconds from its start. Cold: after the file system was unmounted",
		Columns: rig.Columns("%.2f first accept s", "%.2f full index s", "%.2f CPU s", "%.0f peak RSS MiB", "%.0f RSS MiB",
			"%.0f B/message", "%.2f stop s")}
	for _, n := range b.restart {
		for _, how := range []string{"cold", "warm"} {
			t.Most(restartCase(n, how), "first accept s", 1)
			if n == 1_000_000 {
				t.Most(restartCase(n, how), "full index s", 15)
			}
		}
	}
	return t, func(ctx context.Context, b *bench, t *rig.Table) error {
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
func (b *bench) restartWith(ctx context.Context, t *rig.Table, n int) error {
	d, err := full.NewDaemon(b.bin, &b.ports)
	if err != nil {
		return err
	}
	base := filepath.Join(b.site.Dir, fmt.Sprintf("queue-%d", n))
	if err := full.Make(ctx, base, n, letterOfStart); err != nil {
		return err
	}
	if b.plan.Keep == "" {
		defer os.RemoveAll(base)
	}
	if err := d.Init(ctx, base); err != nil {
		return err
	}
	if err := b.site.Sync(); err != nil {
		return err
	}
	err = b.eachRound(ctx, t, func() error {
		want, err := full.Count(base)
		if err != nil {
			return err
		}
		forgotten, err := b.site.Forget(ctx)
		if err != nil {
			return err
		}
		if forgotten {
			if err := measureStart(ctx, d, t, restartCase(n, "cold"), base, want); err != nil {
				return err
			}
			want++ // that which was accepted
		}
		return measureStart(ctx, d, t, restartCase(n, "warm"), base, want)
	})
	if err != nil {
		return err
	}
	return b.look(t, restartCase(n, "spool.Inspect alone, warm"), base)
}

// startDomains is for how many domains there are messages; every tenth is for one more.
const startDomains = 3000

// letterOfStart is a message of the Queue that a start finds: with its text of 3 KiB its
// file is a block of 4 KiB.
func letterOfStart(n int) full.Letter {
	domain := fmt.Sprintf("d%04d.test", n%startDomains)
	if n%10 == 0 {
		domain = "many.test"
	}
	return full.Letter{Envelope: envelope(domain), Text: startText}
}

var startText = letter(3 << 10)

// look measures the reading part of a start in this process, where it can be profiled.
func (b *bench) look(t *rig.Table, name, base string) error {
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
	t.Add(name, rig.None, elapsed.Seconds(), cpu.Seconds(), rig.None, rig.None, rig.None, rig.None)
	return nil
}

// measureStart starts the daemon, waits until it knows all its messages, and stops it.
func measureStart(ctx context.Context, d *full.Daemon, t *rig.Table, name, base string, messages int) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, restartLimit, fmt.Errorf("not done after %v", restartLimit))
	defer cancel()
	output, err := os.Create(filepath.Join(base, "output"))
	if err != nil {
		return err
	}
	defer output.Close()
	begin := time.Now()
	p, err := d.Start(base, output)
	if err != nil {
		return err
	}
	defer p.Kill()
	var accepted, indexed time.Duration
	var errs [2]error
	var both sync.WaitGroup
	both.Go(func() {
		errs[0] = p.While(ctx, time.Millisecond, func() (bool, error) { return send(d.Address()) })
		accepted = time.Since(begin)
	})
	client := full.Dial(base)
	defer client.Close()
	both.Go(func() {
		errs[1] = p.While(ctx, 20*time.Millisecond, func() (bool, error) { return full.Whole(ctx, client, messages) })
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
	t.Add(name, accepted.Seconds(), indexed.Seconds(), cpu.Seconds(), float64(peak>>20), float64(now>>20),
		float64(peak)/float64(messages), stopped.Seconds())
	return nil
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
