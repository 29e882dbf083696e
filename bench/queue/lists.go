package main

import (
	"context"
	"fmt"
	"iter"
	"time"

	"cgq/bench/rig"
	"cgq/pkg/control"
)

// A list is something that an administrator asks for.
type list struct {
	name string
	ask  func(ctx context.Context, round int) (rows int, err error)
	rows int // that must come, to a tenth more or less, and a few: mail comes in, and time goes on
}

const (
	queueList = "queue list"
	bySender  = "message list, one of 1,000 senders"
	byDomain  = "queue shape by domain"
)

// lists is the part in which administrators look.
func lists(b *bench) (*rig.Table, measurement) {
	t := &rig.Table{Name: "lists", About: "lists over the control socket, from the request until the last row is read here",
		Columns: rig.Columns("%.1f ms", "%.1f worst ms", "%.0f ms of cgqd's CPU", "%.0f rows")}
	t.Columns[1].Worst = true
	t.Most(queueList, "ms", 100)
	t.Most(bySender, "ms", 500)
	t.Most(byDomain, "ms", 300)
	return t, func(ctx context.Context, t *rig.Table) error {
		return b.eachRound(ctx, t, func(int) error {
			for turn := range turns {
				for _, l := range b.lists() {
					if err := b.list(ctx, t, l, turn); err != nil {
						return fmt.Errorf("%s: %w", l.name, err)
					}
				}
			}
			return nil
		})
	}
}

// turns is how often the lists take turns within a round, so that whatever the machine
// does meanwhile meets all of them.
const turns = 3

// list files one list.
func (b *bench) list(ctx context.Context, t *rig.Table, l list, turn int) error {
	before, err := b.process.CPU()
	if err != nil {
		return err
	}
	begin := time.Now()
	rows, err := l.ask(ctx, turn)
	took := rig.Milliseconds(time.Since(begin))
	if err != nil {
		return err
	}
	if margin := l.rows/10 + 10; rows < l.rows-margin || rows > l.rows+margin {
		return fmt.Errorf("%d rows, not some %d", rows, l.rows)
	}
	after, err := b.process.CPU()
	if err != nil {
		return err
	}
	t.Add(l.name, took, took, rig.Milliseconds(after-before), float64(rows))
	return nil
}

// lists are all of them.
func (b *bench) lists() []list {
	ofSender := b.stock.messages / senders
	messages := func(name string, rows int, of func(round int) control.Selection) list {
		return list{name, func(ctx context.Context, round int) (int, error) {
			return count(control.MessageList.Do(ctx, b.client, of(round)))
		}, rows}
	}
	shape := func(name, by string, rows int) list {
		return list{name, func(ctx context.Context, _ int) (int, error) {
			return count(control.QueueShape.Do(ctx, b.client, control.ShapeQuery{By: by}))
		}, rows}
	}
	return []list{
		{queueList, func(ctx context.Context, _ int) (int, error) {
			return count(control.QueueList.Do(ctx, b.client, control.Selection{}))
		}, b.stock.queues},
		messages(bySender, ofSender, b.ofSender),
		messages("message list, the same as an expression", ofSender, func(round int) control.Selection {
			return control.Selection{Where: fmt.Sprintf("sender == %q", address(someone(round)).String())}
		}),
		messages("message list, the oldest thousandth", ofSender, func(int) control.Selection {
			return control.Selection{Age: []string{fmt.Sprintf(">%ds", int((time.Since(b.made) + ages - ages/1000).Seconds()))}}
		}),
		messages("message list, of one domain", b.stock.messages/b.stock.queues, func(round int) control.Selection {
			return control.Selection{RcptDomain: []string{b.queue(someone(round))}}
		}),
		shape(byDomain, "domain", b.stock.queues),
		shape("queue shape by sender", "sender", senders),
		shape("queue shape by error", "error", len(refusals)),
	}
}

// ofSender selects the messages of one of the senders.
func (b *bench) ofSender(round int) control.Selection {
	return control.Selection{Sender: []string{address(someone(round)).String()}}
}

// someone is another number each round.
func someone(round int) int { return (round*37 + 123) % senders }

// count reads a list to its end.
func count[Row any](rows iter.Seq2[Row, error]) (n int, err error) {
	for _, err := range rows {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}
