package admin

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"time"

	"cgq/pkg/control"
	"cgq/pkg/header"
	"cgq/pkg/kernel"
	"cgq/pkg/mail"
	"cgq/pkg/queue"
)

// statuses are the words of the protocol for those of the queue.
var statuses = map[control.State]queue.Status{control.Active: queue.Processing, control.Processing: queue.Processing,
	control.Ready: queue.Ready, control.Suspended: queue.Suspended, control.Delayed: queue.Delayed, control.Held: queue.Held}

// selection translates what a request says. Modules are written in capitals and
// host queues in small letters, whatever case somebody types.
func selection(c control.Selection) (queue.Selection, error) {
	sel := queue.Selection{All: c.All, IDs: c.IDs}
	for _, m := range c.Module {
		sel.Modules = append(sel.Modules, strings.ToUpper(m))
	}
	for _, q := range c.Queue {
		sel.Queues = append(sel.Queues, strings.ToLower(q))
	}
	for _, st := range c.State {
		status, ok := statuses[st]
		if !ok {
			return sel, control.Errorf(control.KindBadRequest, "active, processing, ready, suspended, delayed or held", "no state %q", st)
		}
		sel.States = append(sel.States, status)
	}
	return sel, nil
}

func state(s queue.Status) control.State { return control.State(strings.ToLower(s.String())) }

// hostState is the state of a host queue: Active for Processing.
func hostState(v queue.HostView) control.State {
	if s := v.Status(); s != queue.Processing {
		return state(s)
	}
	return control.Active
}

func (s *Server) queueList(_ context.Context, _ control.Actor, in control.Selection) iter.Seq2[control.QueueRow, error] {
	return func(yield func(control.QueueRow, error) bool) {
		sel, err := selection(in)
		if err != nil {
			yield(control.QueueRow{}, err)
			return
		}
		for v := range s.Kernel.Hosts(sel) {
			if v.Messages == 0 {
				continue // only its delay is remembered
			}
			row := control.QueueRow{Module: v.Module, Queue: v.Queue, State: hostState(v), Messages: v.Messages,
				Recipients: v.Recipients, Bytes: v.Bytes, Oldest: v.Oldest, DelayedTill: v.Until, NextAttempt: v.Next,
				Attempts: v.Attempts, LastError: v.LastError.String(), Hold: v.Hold}
			if !yield(row, nil) {
				return
			}
		}
		if err := s.incomplete(); err != nil {
			yield(control.QueueRow{}, err)
		}
	}
}

// incomplete is the error of one who is told what is known, as long as a start still
// reads the Queue: a list that is not whole must not look so.
func (s *Server) incomplete() error {
	n := s.Unread()
	if n == 0 {
		return nil
	}
	return control.Errorf(control.KindIncomplete, "ask again in a moment", "the Queue is still being read: %d messages are not known yet", n)
}

// whole waits until all of the Queue is known: an act is about all that it names
// (SPOOL L4).
func (s *Server) whole(ctx context.Context) error {
	select {
	case <-s.Read:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if s.Unread() > 0 {
		return control.Errorf(control.KindStopping, "nothing was changed", "the daemon stops, and has not read all of the Queue")
	}
	return nil
}

// missing is the answer to one who names what is not there.
func (s *Server) missing(kind control.Kind, hint, format string, args ...any) error {
	if err := s.incomplete(); err != nil {
		return err
	}
	return control.Errorf(kind, hint, format, args...)
}

func (s *Server) queueShow(_ context.Context, _ control.Actor, in control.QueueName) (control.QueueHead, error) {
	v, ok := s.Kernel.Host(queue.Key{Module: strings.ToUpper(in.Module), Queue: strings.ToLower(in.Queue)})
	if !ok || v.Messages == 0 {
		return control.QueueHead{}, s.missing(control.KindNoSuchQueue, "cgq queue list shows all that hold messages",
			"no queue %s(%s)", in.Module, in.Queue)
	}
	return control.QueueHead{Module: v.Module, Queue: v.Queue, Status: hostState(v), DelayedTill: v.Until,
		LastError: v.LastError.String()}, nil
}

// queueRelease counts host queues.
func (s *Server) queueRelease(ctx context.Context, who control.Actor, in control.Act) (control.Outcome, error) {
	sel, err := selection(in.Selection)
	if err == nil {
		err = s.whole(ctx)
	}
	if err != nil {
		return control.Outcome{}, err
	}
	done, err := s.Kernel.Release(sel, who.Name, in.DryRun)
	if err != nil {
		return control.Outcome{}, fault(err)
	}
	if done.Queues == 0 && len(in.Queue) == 1 && len(in.IDs) == 0 { // with ids messages were meant, and released
		return control.Outcome{}, control.Errorf(control.KindNoSuchQueue, "cgq queue list shows all that hold messages",
			"no queue %s(%s)", strings.Join(in.Module, ","), in.Queue[0])
	}
	return control.Outcome{Matched: done.Queues, Changed: done.Queues, Messages: done.Messages}, nil
}

// reject counts recipients.
func (s *Server) reject(ctx context.Context, who control.Actor, in control.Act) (control.Outcome, error) {
	if strings.TrimSpace(in.Text) == "" && !in.NoDSN && !in.DryRun {
		return control.Outcome{}, control.Errorf(control.KindBadRequest, "say why with --text, or use --no-dsn", "no text for the reports")
	}
	sel, err := selection(in.Selection)
	if err == nil {
		err = s.whole(ctx)
	}
	if err != nil {
		return control.Outcome{}, err
	}
	done, err := s.Kernel.Reject(sel, who.Name, in.Text, !in.NoDSN, in.DryRun)
	if err != nil {
		return control.Outcome{}, fault(err)
	}
	out := control.Outcome{Matched: done.Matched, Changed: done.Rows, Messages: done.Messages}
	for _, row := range done.Skipped {
		skip := control.Skip{ID: row.ID, Reason: "being processed"}
		if len(out.Skips) < control.MaxSkips {
			if m, ok := s.Kernel.Message(row.ID); ok && row.Rcpt < len(m.Envelope.Recipients) {
				skip.Recipient = m.Envelope.Recipients[row.Rcpt].Address.String()
			}
		}
		out.Skip(skip)
	}
	return out, nil
}

// fault is what a caller hears of an act that was not done.
func fault(err error) error {
	if errors.Is(err, kernel.ErrEmpty) {
		return control.Errorf(control.KindEmptySelection, "name what is meant, or say all", "the selection is empty")
	}
	return err
}

// messageList yields a row for each host queue that a message is in.
func (s *Server) messageList(_ context.Context, _ control.Actor, in control.Selection) iter.Seq2[control.MessageRow, error] {
	return func(yield func(control.MessageRow, error) bool) {
		sel, err := selection(in)
		if err != nil {
			yield(control.MessageRow{}, err)
			return
		}
		for m := range s.Kernel.Messages(sel) {
			for _, row := range rows(m) {
				if !yield(row, nil) {
					return
				}
			}
		}
		if err := s.incomplete(); err != nil {
			yield(control.MessageRow{}, err)
		}
	}
}

// rows are those of one message: one for each host queue, in the order of its
// recipients. Its state is that of the recipient who is nearest to his end.
func rows(m queue.MessageView) (all []control.MessageRow) {
	var keys []queue.Key
	best := map[queue.Key]queue.Status{}
	for _, r := range m.Recipients {
		at := slices.Index(keys, r.Key)
		if at < 0 {
			at, keys = len(keys), append(keys, r.Key)
			best[r.Key] = r.Status
			all = append(all, control.MessageRow{ID: m.ID, Module: r.Key.Module, Queue: r.Key.Queue, Submitted: m.Envelope.Submitted,
				ReturnPath: m.Envelope.ReturnPath.String(), Sender: m.Envelope.Auth, Source: m.Envelope.Source.String(),
				Bytes: m.Size, Subject: m.Subject})
		}
		row := &all[at]
		row.Recipients++
		best[r.Key] = min(best[r.Key], r.Status)
		row.State = state(best[r.Key])
		row.Attempts = max(row.Attempts, r.Attempts)
		if !r.Delayed.IsZero() && (row.DelayedTill.IsZero() || r.Delayed.Before(row.DelayedTill)) {
			row.DelayedTill = r.Delayed
		}
		if row.LastError == "" {
			row.LastError = r.LastError.String()
		}
	}
	return all
}

func (s *Server) messageShow(_ context.Context, _ control.Actor, in control.MessageID) (control.Message, error) {
	m, ok := s.Kernel.Message(in.ID)
	if !ok {
		return control.Message{}, s.missing(control.KindNoSuchMessage,
			"it may have left the queue: look for ["+in.ID.String()+"] with cgq log tail --message", "no message %d in the queue", in.ID)
	}
	out := control.Message{ID: m.ID, ReturnPath: m.Envelope.ReturnPath.String(), MessageID: s.field(m.ID, "Message-ID"),
		EnvelopeID: m.Envelope.EnvelopeID, Subject: m.Subject, Submitted: m.Envelope.Submitted, Sender: m.Envelope.Auth,
		Source: m.Envelope.Source.String(), Bytes: m.Size, Recipients: []control.RecipientRow{}}
	for _, r := range m.Recipients {
		row := control.RecipientRow{Recipient: r.Address.String(), Module: r.Key.Module, Queue: r.Key.Queue,
			Status: state(r.Status), Attempts: r.Attempts, LastError: r.LastError.String()}
		if !r.Until.IsZero() {
			row.RetryIn = control.Seconds(time.Until(r.Until))
		}
		out.Recipients = append(out.Recipients, row)
	}
	return out, nil
}

// field is a field of the header of a message, or empty.
func (s *Server) field(id mail.ID, name string) string {
	text, err := s.Open(id)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			return "(" + err.Error() + ")"
		}
		return ""
	}
	defer text.Close()
	b, err := io.ReadAll(io.LimitReader(text, 64<<10))
	if err != nil {
		return "(" + err.Error() + ")"
	}
	value, _ := header.Get(b, name)
	return value
}
