package cli

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync"
	"time"

	"cgq/pkg/control"
	"cgq/pkg/mail"
)

// deeds is what a daemon holds and notes besides: of acts, holds, trash and content.
type deeds struct {
	explained control.Explanation
	shapes    []control.ShapeRow
	shaped    control.ShapeQuery
	trash     []control.TrashRow
	trashed   []control.TrashAct
	orders    []control.HoldOrder
	contents  map[mail.ID]string
	life      []control.TraceRow
	traced    mail.ID
	untold    error // behind the rows of a life

	mu         sync.Mutex
	selections []control.Selection // of lists

	// When they are set they answer.
	list  func(control.Selection) []control.MessageRow
	show  func(mail.ID) (control.Message, error)
	lines func(control.LogQuery) []control.LogLine
}

func fullDeeds() deeds {
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	in := now.Add
	return deeds{
		life: fullLife(),
		explained: control.Explanation{Module: "SMTP", Queue: "example.com", State: control.Delayed, Messages: 412, Recipients: 980,
			Suspended: 3, Held: 1, Oldest: ago(192 * time.Minute), Expires: in(5 * 24 * time.Hour),
			Reasons: []control.Reason{
				{Kind: "held", Text: hostile, Count: 1},
				{Kind: "delayed", Text: "the module has delayed the whole queue: " + hostile, Until: in(250 * time.Second)},
				{Kind: "suspended", Text: "messages or addresses wait for themselves", Count: 3},
			},
			Attempts: 7, LastError: hostile, LastTried: ago(50 * time.Minute), LastHost: "mx\x1b[2J.example.com",
			NextAttempt: in(250 * time.Second), Schedule: []time.Time{in(250 * time.Second), in(4 * time.Hour)},
			Errors: []control.ErrorRow{{Text: hostile, Count: 970, Class: "greylisted"}, {Text: "452 4.2.2 mailbox full", Count: 3, Class: "full"}},
			Way:    "mx", TLS: "none", Notes: []string{"and 3 hosts more"}, TriesSince: ago(24 * time.Hour),
			Hosts: []control.HostRow{
				{Host: "mx\x1b[2J.example.com", Preference: 10, Port: "25", Addresses: []string{"192.0.2.1", "2001:db8::1"}},
				{Host: "mx2.example.com", Preference: 20, Port: "25", Addresses: []string{}, Error: "host mx2.example.com has no address"},
			},
			Connections: &control.Connections{Open: 2, Idle: 1, Limit: 20, ModuleOpen: 7, ModuleLimit: 200},
			Tries:       fullTries(ago)},
		shapes: []control.ShapeRow{
			{Name: "example.com", Total: 980, Ages: []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 935}},
			{Name: "evil\x1b[2J.example", Total: 3, Ages: []int{3, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
			{Total: 983, Ages: []int{4, 2, 3, 4, 5, 6, 7, 8, 9, 935}},
		},
		trash: []control.TrashRow{
			{Act: 18, At: ago(time.Minute), By: "root", Text: hostile, Messages: 412, Recipients: 980, Bytes: 32715571, PurgedAt: in(24 * time.Hour)},
			{Act: 17, At: ago(time.Hour), By: "ann", Messages: 1, Recipients: 1, Bytes: 12, PurgedAt: in(23 * time.Hour)},
		},
		contents: map[mail.ID]string{
			4711: "Subject: " + hostile + "\nTo: x@example.com\n\nbody \x1b[31m\nlast line",
			4712: "Subject: short\n\n",
		},
	}
}

// fullTries has an attempt of each outcome.
func fullTries(ago func(time.Duration) time.Time) []control.TryRow {
	return []control.TryRow{
		{Begin: ago(time.Minute), Took: 2.5, Host: "mx3.example.com", Address: "192.0.2.3:25", Step: "end-of-data", Outcome: "sent",
			Reply: "250 2.0.0 taken", Messages: 12, Open: true},
		{Begin: ago(50 * time.Minute), Took: 0.2, Host: "mx\x1b[2J.example.com", Address: "[2001:db8::1]:25", Step: "rcpt", Outcome: "delayed",
			Reply: hostile, Messages: 1, Refusals: 3},
		{Begin: ago(51 * time.Minute), Took: 30, Host: "192.0.2.1", Address: "192.0.2.1:25", Step: "connect", Outcome: "failed", Reply: "time-out"},
		{Begin: ago(52 * time.Minute), Host: "mx2.example.com", Step: "dns", Outcome: "failed", Reply: "host mx2.example.com has no address"},
		{Begin: ago(53 * time.Minute), Host: "mx4.example.com", Address: "192.0.2.4:25", Step: "ehlo", Outcome: "connected"},
		{Begin: ago(54 * time.Minute), Took: 5, Host: "mx5.example.com", Address: "192.0.2.5:25", Step: "text", Outcome: "failed", Reply: "EOF"},
		{Begin: ago(90 * time.Minute), Took: 30, Host: "192.0.2.1", Address: "192.0.2.1:25", Step: "connect", Outcome: "failed", Reply: "time-out"},
	}
}

// fullLife is that of a message: a fact, and lines of the log.
func fullLife() []control.TraceRow {
	return []control.TraceRow{
		{Time: now, Tag: control.TraceFact, Text: "submitted through SMTP from <bob@example.org> to 2 recipients, 4321 bytes"},
		{Time: now, Tag: "QUEUE", Text: "12:00:00.000 2 QUEUE([4711]) enqueued"},
		{Time: now, Tag: control.TraceFact, Recipient: "x@example.com", Text: "attempt 1, delayed till 2026-11-23 13:00:00: " + hostile},
		{Time: now, Tag: "SMTP", Text: "12:00:00.000 1 SMTP(a) \x1b[2J"},
	}
}

func (d *deeds) selected(in control.Selection) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.selections = append(d.selections, in)
}

func (d *daemon) handleDeeds(m *control.Mux) {
	act := func(_ context.Context, _ control.Actor, in control.Act) (control.Outcome, error) {
		d.acts = append(d.acts, in)
		return d.outcome, d.err
	}
	control.Handle(m, control.MessageRelease, act)
	control.Handle(m, control.MessageReroute, act)
	control.Handle(m, control.HoldAdd, func(_ context.Context, _ control.Actor, in control.HoldOrder) (control.Outcome, error) {
		d.orders = append(d.orders, in)
		return d.outcome, d.err
	})
	empty := func(_ context.Context, _ control.Actor, in control.TrashAct) (control.Outcome, error) {
		d.trashed = append(d.trashed, in)
		if in.Act == 99 {
			return control.Outcome{}, control.Errorf(control.KindNoSuchBatch, "", "the trash has nothing of act 99")
		}
		return d.outcome, d.err
	}
	control.Handle(m, control.TrashRestore, empty)
	control.Handle(m, control.TrashPurge, empty)
	control.HandleRows(m, control.TrashList, func(context.Context, control.Actor, control.Nothing) iter.Seq2[control.TrashRow, error] {
		return stream(d.trash, d.err)
	})
	control.HandleRows(m, control.QueueShape,
		func(_ context.Context, _ control.Actor, in control.ShapeQuery) iter.Seq2[control.ShapeRow, error] {
			d.shaped = in
			if in.By == "error" {
				return stream([]control.ShapeRow{{Name: hostile, Total: 980, Ages: d.shapes[0].Ages, Class: "greylisted"},
					{Name: "-", Total: 3, Ages: d.shapes[1].Ages}, d.shapes[2]}, d.err)
			}
			return stream(d.shapes, d.err)
		})
	control.Handle(m, control.QueueExplain,
		func(_ context.Context, _ control.Actor, in control.QueueName) (control.Explanation, error) {
			if in.Queue != d.explained.Queue {
				return control.Explanation{}, control.Errorf(control.KindNoSuchQueue, "", "no queue %s(%s)", in.Module, in.Queue)
			}
			return d.explained, d.err
		})
	control.Handle(m, control.Route, func(_ context.Context, _ control.Actor, in control.RouteQuery) (control.Routing, error) {
		return routing(in), d.err
	})
	control.HandleRows(m, control.MessageTrace, func(_ context.Context, _ control.Actor, in control.MessageID) iter.Seq2[control.TraceRow, error] {
		d.traced = in.ID
		return stream(d.life, errors.Join(d.err, d.untold))
	})
	control.HandleDownload(m, control.MessageContent,
		func(_ context.Context, _ control.Actor, in control.MessageID, w io.Writer) (control.Content, error) {
			text, ok := d.contents[in.ID]
			if !ok {
				return control.Content{}, control.Errorf(control.KindNoSuchMessage, "", "no message %s", in.ID)
			}
			n, err := io.WriteString(w, text)
			return control.Content{Bytes: int64(n)}, errors.Join(err, d.err)
		})
}

// incomplete answers as a daemon does whose start has not read all of the Queue.
func incomplete(mail.ID) (control.Message, error) {
	return control.Message{}, control.Errorf(control.KindIncomplete, "", "the Queue is still being read")
}
