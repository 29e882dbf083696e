package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"cgq/bench/full"
	"cgq/bench/rig"
	"cgq/pkg/control"
)

// A bench measures one daemon with one stock.
type bench struct {
	options
	stock
	ports   rig.Ports
	daemon  *full.Daemon
	base    string
	process *rig.Process // nil: it does not run
	client  *control.Client
}

// longest is the longest step between attempts: nothing comes due by itself while we
// measure. The settings of cgqd have it as schedule, and a start believes no more.
const longest, schedule = 12 * time.Hour, `["12h"]`

// fill makes the base directory. Deliveries are kept quiet by a relay that is dead: each
// host queue with something that does not wait for itself is tried once, and waits then.
// That is over few channels, or an act that makes thousands of them ready is measured
// together with as many workers as there are channels, in line for the same lock.
func (b *bench) fill(ctx context.Context) error {
	if err := full.Make(ctx, b.base, b.stock.messages, b.letter); err != nil {
		return err
	}
	if err := b.daemon.Init(ctx, b.base); err != nil {
		return err
	}
	return errors.Join(b.daemon.Set(b.base, "smtp", "retry", schedule),
		b.daemon.Set(b.base, "queue", "send_warnings_after", "[]"), // the stock is old
		b.daemon.Set(b.base, "smtp", "channels", strconv.Itoa(b.channels)),
		// Who measures has chosen the place.
		b.daemon.Set(b.base, "queue", "allow_any_file_system", "true"))
}

// startLimit is how long a start may take before it counts as hung.
const startLimit = 15 * time.Minute

// running starts the daemon, if it does not run, and returns when it knows all its
// messages and is at rest.
func (b *bench) running(ctx context.Context) error {
	if b.process != nil {
		return b.rest(ctx)
	}
	output, err := os.Create(filepath.Join(b.base, "output"))
	if err != nil {
		return err
	}
	defer output.Close()
	var args []string
	if b.profile != "" {
		args = append(args, "--cpu-profile", b.profile)
	}
	begin := time.Now()
	if b.process, err = b.daemon.Start(b.base, output, args...); err != nil {
		return err
	}
	b.client = full.Dial(b.base)
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("not started after %v", startLimit))
	defer cancel()
	err = b.process.While(ctx, 20*time.Millisecond, func() (bool, error) { return full.Whole(ctx, b.client, b.stock.messages) })
	if err != nil {
		return fmt.Errorf("%w; %s says why", err, output.Name())
	}
	fmt.Printf("  cgqd knows all messages after %v\n", time.Since(begin).Round(10*time.Millisecond))
	return b.rest(ctx)
}

// restLimit is the longest wait for the daemon to be at rest; behind it the figures have
// what it was still doing in them.
const restLimit = 5 * time.Minute

// rest returns when the daemon has nothing left to do: what an act has left for later,
// such as files, belongs to no measurement.
func (b *bench) rest(ctx context.Context) error {
	if b.hurry {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, restLimit)
	defer cancel()
	err := b.process.Settle(limited)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		fmt.Printf("    cgqd is not at rest after %v\n", restLimit)
		return nil
	}
	return err
}

// eachRound calls measure for each round, with a daemon that runs and is at rest: what the
// round before has left must not look like somebody else's doing.
func (b *bench) eachRound(ctx context.Context, t *rig.Table, measure func(round int) error) error {
	round := 0
	if err := b.running(ctx); err != nil {
		return err
	}
	return t.Rounds(ctx, b.rounds, func() error {
		round++
		return errors.Join(measure(round), b.rest(ctx))
	})
}

// stop stops the daemon, if it runs.
func (b *bench) stop() error {
	if b.process == nil {
		return nil
	}
	b.client.Close()
	return b.process.Stop()
}

// flushes is how often the journal has been synced.
func (b *bench) flushes(ctx context.Context) (n int64, err error) {
	for e, err := range control.Stat.Do(ctx, b.client, control.StatQuery{Names: []string{"journalSyncs"}}) {
		if err != nil {
			return 0, err
		}
		n += e.Value
	}
	return n, nil
}
