package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cgq/bench/full"
	"cgq/bench/rig"
	"cgq/pkg/control"
)

// A deed is something that an administrator does with a tenth of the messages.
type deed struct {
	name string
	do   func(ctx context.Context) (changed int, err error)
	want int // changed
}

// deeds are those of a tenth. Nobody has released the host queues of the digit before.
func (b *bench) deeds(digit int) []deed {
	var batch uint64 // that the reject has put into the trash
	from := senderDomain(digit)
	ofDomain := b.count(func(n int) bool { return senderDomain(b.sender(n)) == from })
	return []deed{
		{"release of host queues", func(ctx context.Context) (int, error) {
			out, err := control.MessageRelease.Do(ctx, b.client, control.Act{AtOnce: true,
				Selection: control.Selection{Queue: []string{ofDigit(digit)}}})
			return out.Changed, err
		}, b.count(func(n int) bool { return b.digit(n) == digit })},
		{"reject of senders, to the trash", func(ctx context.Context) (int, error) {
			out, err := control.MessageReject.Do(ctx, b.client, control.Act{NoDSN: true,
				Selection: control.Selection{SenderDomain: []string{from}}})
			batch = out.Act
			if err == nil && !out.Trash {
				err = errors.New("it is not in the trash")
			}
			return out.Changed, err
		}, ofDomain},
		{"restore of that", func(ctx context.Context) (int, error) {
			out, err := control.TrashRestore.Do(ctx, b.client, control.TrashAct{Act: batch})
			return out.Changed, err
		}, ofDomain},
	}
}

// check does a deed and returns from when until when.
func (d deed) check(ctx context.Context) (begin, end time.Time, err error) {
	begin = time.Now()
	changed, err := d.do(ctx)
	end = time.Now()
	if err == nil && changed != d.want {
		err = fmt.Errorf("%d were changed, not %d", changed, d.want)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", d.name, err)
	}
	return begin, end, err
}

const idle = "idle"

// acts is the part in which administrators act, and others ask meanwhile.
func acts(b *bench) (*rig.Table, measurement) {
	t := &rig.Table{Name: "acts",
		About: fmt.Sprintf("acts on %d messages until they are durable; every 2 ms somebody asks for one host queue, and with ping for nothing", b.stock.messages/10),
		Columns: rig.Columns("%.2f seconds", "%.2f worst seconds", "%.0f flushes", "%.1f p99 ms of a call", "%.1f max ms", "%.1f ms above idle",
			"%.1f max ms of ping")}
	t.Columns[1].Worst = true
	for _, d := range b.deeds(0) {
		t.Most(d.name, "seconds", 5)
		t.Most(d.name, "ms above idle", 10)
	}
	t.Most(bySender, "ms above idle", 10)
	return t, func(ctx context.Context, t *rig.Table) error {
		return b.eachRound(ctx, t, func(round int) error { return b.actRound(ctx, t, round) })
	}
}

// actRound is one round. Each act is compared with the idle daemon of its own round.
func (b *bench) actRound(ctx context.Context, t *rig.Table, round int) error {
	waits := b.waiting(ctx)
	rig.Pause(ctx, time.Duration(b.seconds*float64(time.Second)))
	alone, err := waits()
	if err != nil {
		return err
	}
	t.Add(idle, rig.None, rig.None, rig.None, alone.p99(), alone.most(), rig.None, alone.ping())
	if alone.most() > noisy {
		t.Note(idle, fmt.Sprintf("NOISY: a call took over %v ms though nobody did anything; what is above idle says little", noisy))
	}
	looking := deed{bySender, func(ctx context.Context) (int, error) {
		return count(control.MessageList.Do(ctx, b.client, b.ofSender(round)))
	}, b.count(func(n int) bool { return b.sender(n) == someone(round) })}
	for _, d := range append([]deed{looking}, b.deeds(released+2*(round-1))...) {
		if err := b.rest(ctx); err != nil {
			return err
		}
		before, err := b.flushes(ctx)
		if err != nil {
			return err
		}
		waits := b.waiting(ctx)
		begin, end, failed := d.check(ctx)
		meanwhile, err := waits()
		if err := errors.Join(failed, err); err != nil {
			return err
		}
		after, err := b.flushes(ctx)
		if err != nil {
			return err
		}
		seconds := end.Sub(begin).Seconds()
		t.Add(d.name, seconds, seconds, float64(after-before), meanwhile.p99(), meanwhile.most(), max(0, meanwhile.most()-alone.most()), meanwhile.ping())
	}
	return nil
}

// noisy is how many milliseconds no call takes on a machine that is quiet.
const noisy = 10

// A wait is how long calls took: those that take the kernel's lock, and those that take
// none, whose worst is that of the machine.
type wait struct{ show, pings []time.Duration }

func (w wait) p99() float64  { return rig.Milliseconds(rig.Percentile(w.show, 99)) }
func (w wait) most() float64 { return rig.Milliseconds(rig.Percentile(w.show, 100)) }
func (w wait) ping() float64 { return rig.Milliseconds(rig.Percentile(w.pings, 100)) }

// waiting makes both calls every 2 ms, or as soon as those before are answered, until
// stop is called.
func (b *bench) waiting(ctx context.Context) (stop func() (wait, error)) {
	client, tick := full.Dial(b.base), time.NewTicker(2*time.Millisecond)
	name := control.QueueName{Module: "SMTP", Queue: b.queue(0)}
	var w wait // of the one writer
	end := rig.Flood(ctx, 1, func(int) error {
		<-tick.C
		begin := time.Now()
		_, err := control.QueueShow.Do(ctx, client, name)
		shown := time.Now()
		if err != nil {
			return err
		}
		_, err = control.Ping.Do(ctx, client, control.Nothing{})
		w.show, w.pings = append(w.show, shown.Sub(begin)), append(w.pings, time.Since(shown))
		return err
	})
	return func() (wait, error) {
		_, err := end()
		tick.Stop()
		client.Close()
		return w, err
	}
}
