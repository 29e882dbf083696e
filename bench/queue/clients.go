package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"time"

	"cgq/bench/rig"
)

// sessions is how many clients send mail at the same time.
const sessions = 4

// clients is the part in which mail comes in while administrators act.
func clients(b *bench) (*rig.Table, measurement) {
	t := &rig.Table{Name: "clients",
		About:   fmt.Sprintf("%d clients send mail of 1 KiB as fast as they can, before and during acts on %d messages", sessions, b.stock.messages/10),
		Columns: rig.Columns("%.0f accepts/s before", "%.0f accepts/s during", "%.2f during/before", "%.1f p99 ms during", "%.1f worst ms", "%.2f seconds")}
	t.Columns[4].Worst = true
	for _, d := range b.deeds(0) {
		t.Least(d.name, "during/before", 0.5)
	}
	return t, func(ctx context.Context, t *rig.Table) error {
		return b.eachRound(ctx, t, func(round int) error {
			for _, d := range b.deeds(released + 2*round - 1) {
				if err := b.rest(ctx); err != nil {
					return err
				}
				if err := b.crowded(ctx, t, d); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// crowded files a deed that is done while clients send.
func (b *bench) crowded(ctx context.Context, t *rig.Table, d deed) error {
	before := time.Duration(b.seconds * float64(time.Second))
	stop, err := b.sending(ctx)
	if err != nil {
		return err
	}
	rig.Pause(ctx, before/4) // to get going
	start := time.Now()
	rig.Pause(ctx, before)
	begin, end, failed := d.check(ctx)
	all, err := stop()
	if err := errors.Join(failed, err, context.Cause(ctx)); err != nil {
		return err
	}
	alone, during := rig.Between(all, start, begin), rig.Between(all, begin, end)
	seconds := end.Sub(begin).Seconds()
	quick, slow := float64(len(alone))/begin.Sub(start).Seconds(), float64(len(during))/seconds
	t.Add(d.name, quick, slow, rig.Ratio(slow, quick), rig.Milliseconds(rig.Percentile(during, 99)),
		rig.Milliseconds(rig.Percentile(during, 100)), seconds)
	return nil
}

// sending lets the clients send, each over one connection, until stop is called.
func (b *bench) sending(ctx context.Context) (stop func() ([]rig.Span, error), err error) {
	all := make([]*smtp.Client, sessions)
	closeAll := func() {
		for _, c := range all {
			if c != nil {
				c.Close()
			}
		}
	}
	for i := range all {
		if all[i], err = connect(b.daemon.Address()); err != nil {
			closeAll()
			return nil, err
		}
	}
	end := rig.Flood(ctx, sessions, func(i int) error { return send(all[i]) })
	return func() ([]rig.Span, error) {
		defer closeAll()
		return end()
	}, nil
}

// sessionLimit is how long a session lasts at most, so that a daemon that hangs is found.
const sessionLimit = 10 * time.Minute

func connect(address string) (*smtp.Client, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(sessionLimit)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	c, err := smtp.NewClient(conn, "bench.test")
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if err := c.Hello("client.test"); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// sent is the text of what clients send.
var sent = func() []byte {
	b := []byte("From: <client@client.test>\nSubject: a measurement\n\n")
	for len(b) < 1<<10 {
		b = append(b, line...)
	}
	return b
}()

// send sends one message, and returns when it is durable: the reply says so. Its host
// queue is none of those that anybody acts on.
func send(c *smtp.Client) error {
	if err := errors.Join(c.Mail("client@client.test"), c.Rcpt("rcpt@clients.example")); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	_, err = w.Write(sent)
	return errors.Join(err, w.Close())
}
