package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cgq/pkg/control"
	"cgq/pkg/mail"
)

// now is when the tests run.
var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// hostile is what a stranger may put into a reply or a subject.
const hostile = "451 \x1b]0;owned\x07\x1b[2Jgrey\nlisted\u202egnp.exe\u009b31m \xff|\u200b"

// A daemon answers with what it holds and notes what it was asked.
type daemon struct {
	queues   []control.QueueRow
	messages []control.MessageRow
	page     control.Message
	outcome  control.Outcome
	err      error // of every call, and behind the rows of every stream
	rights   []control.Right
	acts     []control.Act
	logs     control.LogQuery
	logged   string // which supplementary log was asked for
	levels   []control.LogLevelOrder
	identity control.Identity
	created  string
	deleted  []control.AccountAct
	checks   []control.CheckItem
	asked    control.CheckQuery
	slow     bool // a check is never answered
	archive  string
	backup   control.Backup
	holds    []control.HoldRow
	elements []control.Element
	freed    []control.HoldAct
	deeds
	ruled
	adjusted
}

// full is a daemon with three queues.
func full() *daemon {
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	return &daemon{
		rights: control.Rights(),
		queues: []control.QueueRow{
			{Module: "LOCAL", Queue: "ann@example.org", State: control.Active, Messages: 1, Recipients: 1, Bytes: 1536,
				Oldest: ago(2 * time.Second)},
			{Module: "SMTP", Queue: "bücher.example", State: control.Held, Messages: 3, Recipients: 3, Bytes: 999,
				Oldest: ago(26 * time.Hour), Attempts: 2, Hold: "disk move"},
			{Module: "SMTP", Queue: "example.com", State: control.Delayed, Messages: 412, Recipients: 980, Bytes: 32715571,
				Oldest: ago(3*time.Hour + 12*time.Minute), DelayedTill: now.Add(250 * time.Second),
				NextAttempt: now.Add(250 * time.Second), Attempts: 7, LastError: hostile},
		},
		messages: []control.MessageRow{
			{ID: 4711, Module: "SMTP", Queue: "example.com", State: control.Suspended, Submitted: ago(133 * time.Minute),
				ReturnPath: "bob@example.org", Sender: "bob@example.org", Source: "SMTP", Bytes: 4300, Recipients: 2,
				Attempts: 3, DelayedTill: now.Add(time.Hour), LastError: "452 4.2.2 mailbox full", Subject: hostile},
			{ID: 4712, Module: "SMTP", Queue: "example.com", State: control.Ready, Submitted: ago(5 * time.Second),
				ReturnPath: "<>", Source: "DSN", Bytes: 12, Recipients: 1, Subject: "Undelivered, \"quoted\""},
		},
		page: control.Message{
			ID: 4711, ReturnPath: "bob@example.org", MessageID: "<1@example.org>", Subject: hostile,
			Submitted: ago(133 * time.Minute),
			Sender:    "bob@example.org", Source: "SMTP", Bytes: 4300,
			Recipients: []control.RecipientRow{
				{Recipient: "x@example.com", Module: "SMTP", Queue: "example.com", Status: control.Suspended,
					RetryIn: control.Seconds(time.Hour), Attempts: 3, LastError: hostile},
				{Recipient: "y@example.com", Module: "SMTP", Queue: "example.com", Status: control.Processing},
			},
		},
		elements: []control.Element{{Name: "numQueuedMessages", Value: 416}},
		outcome:  control.Outcome{Matched: 1, Changed: 1, Messages: 1},
		identity: control.Identity{User: "ann", UID: 1001, GID: 1001, Rights: []control.Right{control.Monitor, control.Release, control.Submit},
			Grants: []control.Granted{{By: "grant 1 of access.toml: group mailops", Rights: []control.Right{control.Monitor, control.Release}},
				{By: "grant 2 of access.toml: everybody", Rights: []control.Right{control.Submit}}}},
		archive: strings.Repeat("archive\n", 30_000),
		backup:  control.Backup{Messages: 412, Bytes: 240_000},
		holds: []control.HoldRow{
			{Name: "restored", Messages: 412, Since: ago(2 * time.Hour), Reason: "restored from the backup of 2026-11-22 03:00:00 UTC"},
			{ID: 4711, Messages: 1, Reason: "facts before number 3 are lost " + hostile},
			{Name: "17", Recipients: 980, Since: ago(time.Hour), Until: now.Add(3 * time.Hour), By: "ann", Lasts: true,
				Where: `queue == "example.com"`, Reason: hostile},
		},
		deeds: fullDeeds(),
		ruled: fullRules(),

		adjusted: fullSettings(),
	}
}

// stream yields rows, then the error of the daemon.
func stream[Row any](rows []Row, err error) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
		if err != nil {
			yield(*new(Row), err)
		}
	}
}

func (d *daemon) mux() *control.Mux {
	m := &control.Mux{Grant: func(control.Actor) []control.Right { return d.rights }}
	act := func(_ context.Context, _ control.Actor, in control.Act) (control.Outcome, error) {
		d.acts = append(d.acts, in)
		return d.outcome, d.err
	}
	control.Handle(m, control.QueueRelease, act)
	control.Handle(m, control.QueueReject, act)
	control.Handle(m, control.MessageReject, act)
	control.HandleRows(m, control.QueueList,
		func(_ context.Context, _ control.Actor, in control.Selection) iter.Seq2[control.QueueRow, error] {
			d.selected(in)
			return stream(d.queues, d.err)
		})
	control.HandleRows(m, control.MessageList,
		func(_ context.Context, _ control.Actor, in control.Selection) iter.Seq2[control.MessageRow, error] {
			return stream(d.listed(in), d.err)
		})
	control.HandleRows(m, control.MessageExport,
		func(_ context.Context, _ control.Actor, in control.Selection) iter.Seq2[control.MessageID, error] {
			var ids []control.MessageID
			for _, row := range d.listed(in) {
				ids = append(ids, control.MessageID{ID: row.ID})
			}
			return stream(slices.Compact(ids), d.err)
		})
	control.Handle(m, control.QueueShow,
		func(_ context.Context, _ control.Actor, in control.QueueName) (control.QueueHead, error) {
			for _, q := range d.queues {
				if q.Module == in.Module && q.Queue == in.Queue {
					return control.QueueHead{Module: q.Module, Queue: q.Queue, Status: q.State,
						DelayedTill: q.DelayedTill, LastError: q.LastError}, nil
				}
			}
			return control.QueueHead{}, control.Errorf(control.KindNoSuchQueue, "", "no queue %s(%s)", in.Module, in.Queue)
		})
	control.Handle(m, control.MessageShow,
		func(_ context.Context, _ control.Actor, in control.MessageID) (control.Message, error) {
			if d.show != nil {
				return d.show(in.ID)
			}
			if in.ID != d.page.ID {
				return control.Message{}, control.Errorf(control.KindNoSuchMessage, "", "no message %s", in.ID)
			}
			return d.page, nil
		})
	d.handleRest(m)
	d.handleDeeds(m)
	d.handleRules(m)
	d.handleSettings(m)
	d.handleLogs(m)
	return m
}

// listed are the messages of a selection.
func (d *daemon) listed(in control.Selection) (rows []control.MessageRow) {
	d.selected(in)
	if d.list != nil {
		return d.list(in)
	}
	for _, row := range d.messages {
		if len(in.IDs) == 0 || slices.Contains(in.IDs, row.ID) {
			rows = append(rows, row)
		}
	}
	return rows
}

func (d *daemon) handleRest(m *control.Mux) {
	control.HandleRows(m, control.LogTail,
		func(_ context.Context, _ control.Actor, in control.LogQuery) iter.Seq2[control.LogLine, error] {
			d.logs = in
			if d.lines != nil {
				return stream(d.lines(in), d.err)
			}
			return stream([]control.LogLine{
				{Time: now, Level: 2, Tag: "QUEUE", ID: 4711, Line: "12:00:00.000 2 QUEUE([4711]) enqueued"},
				{Time: now, Level: 1, Tag: "SMTP", Line: "12:00:00.000 1 SMTP(a) \x1b[2J"},
			}, d.err)
		})
	control.Handle(m, control.AccountCreate,
		func(_ context.Context, _ control.Actor, in control.Account) (control.Account, error) {
			d.created = in.Address
			return in, d.err
		})
	control.HandleRows(m, control.AccountList,
		func(context.Context, control.Actor, control.AccountQuery) iter.Seq2[control.Account, error] {
			return stream([]control.Account{{Address: "ann@example.org"}, {Address: "bob@example.org"}}, d.err)
		})
	control.Handle(m, control.AccountDelete,
		func(_ context.Context, _ control.Actor, in control.AccountAct) (control.Outcome, error) {
			d.deleted = append(d.deleted, in)
			return d.outcome, d.err
		})
	control.HandleRows(m, control.Stat,
		func(context.Context, control.Actor, control.StatQuery) iter.Seq2[control.Element, error] {
			return stream(d.elements, d.err)
		})
	control.HandleRows(m, control.Check,
		func(ctx context.Context, _ control.Actor, in control.CheckQuery) iter.Seq2[control.CheckItem, error] {
			if d.slow {
				<-ctx.Done()
			}
			d.asked = in
			return stream(d.checks, d.err)
		})
	control.HandleDownload(m, control.QueueBackup,
		func(_ context.Context, _ control.Actor, _ control.Nothing, w io.Writer) (control.Backup, error) {
			_, err := io.WriteString(w, d.archive)
			return d.backup, errors.Join(err, d.err)
		})
	control.HandleRows(m, control.HoldList, func(context.Context, control.Actor, control.Nothing) iter.Seq2[control.HoldRow, error] {
		return stream(d.holds, d.err)
	})
	control.Handle(m, control.HoldRemove, func(_ context.Context, _ control.Actor, in control.HoldAct) (control.Outcome, error) {
		d.freed = append(d.freed, in)
		return d.outcome, d.err
	})
	control.HandleRows(m, control.Listeners,
		func(context.Context, control.Actor, control.Nothing) iter.Seq2[control.Listener, error] {
			return stream([]control.Listener{{Role: "mx", Address: "127.0.0.1:43211"}}, d.err)
		})
	control.Handle(m, control.Ping, func(context.Context, control.Actor, control.Nothing) (control.Daemon, error) {
		return control.Daemon{Version: "1.2.3", PID: 4242, Base: "/var/lib/cgq", State: "running",
			Uptime: control.Seconds(90 * time.Minute)}, d.err
	})
}

// serve runs the daemon till the test ends and returns its base directory.
func (d *daemon) serve(t *testing.T) string {
	t.Helper()
	base, err := os.MkdirTemp("", "cgq") // short: a socket's path has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	l, err := control.Listen(filepath.Join(base, "control.sock"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.mux().Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		os.RemoveAll(base)
	})
	return base
}

// A result is what one run of cgq left behind.
type result struct {
	out, errOut string
	status      int
}

// cgq runs one command line against the daemon at base. set changes the app first.
func cgq(t *testing.T, base string, set func(*app), args ...string) result {
	t.Helper()
	var out, errOut bytes.Buffer
	a := &app{in: strings.NewReader(""), out: &out, errOut: &errOut, now: func() time.Time { return now }, base: base,
		every: time.Millisecond}
	if set != nil {
		set(a)
	}
	status := a.run(t.Context(), args)
	return result{out.String(), errOut.String(), status}
}

func ids(n ...mail.ID) []mail.ID { return n }
