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
	"cgq/pkg/mail"
	"cgq/pkg/queue"
	"cgq/pkg/selection"
)

// compile is the selection that a request names.
func compile(c control.Selection) (*selection.Selection, error) {
	t := selection.Terms{All: c.All, IDs: c.IDs, Module: c.Module, Queue: c.Queue, Sender: c.Sender, Recipient: c.Rcpt,
		SenderDomain: c.SenderDomain, RecipientDomain: c.RcptDomain, Auth: c.Auth, Source: c.Source, Error: c.Error,
		Subject: c.Subject, Age: c.Age, Size: c.Size, Where: c.Where, Limit: c.Limit}
	for _, name := range c.Queue { // as people write it, or as the DNS has it
		if ascii := inASCII(strings.ToLower(name)); ascii != "" && !strings.ContainsAny(name, "~*") {
			t.Queue = append(slices.Clip(t.Queue), ascii)
		}
	}
	for _, st := range c.State {
		t.State = append(t.State, string(st))
	}
	sel, err := selection.Compile(t)
	return sel, refused(err)
}

// refused is what the caller hears of a selection that cannot be understood, or computed.
func refused(err error) error {
	var wrong *selection.Error
	if errors.As(err, &wrong) {
		return control.Errorf(control.KindBadRequest, wrong.Hint, "%s", wrong.Summary())
	}
	return err
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
		sel, err := compile(in)
		if err != nil {
			yield(control.QueueRow{}, err)
			return
		}
		for v, err := range s.Kernel.Hosts(sel) {
			if err != nil {
				yield(control.QueueRow{}, refused(err))
				return
			}
			if v.Messages == 0 {
				continue // only its delay is remembered
			}
			row := control.QueueRow{Module: v.Module, Queue: v.Queue, State: hostState(v), Messages: v.Messages,
				Recipients: v.Recipients, Bytes: v.Bytes, Oldest: v.Oldest, DelayedTill: v.Until, NextAttempt: v.Next,
				Attempts: v.Attempts, LastError: v.LastError.String(), Hold: v.Hold,
				MessageAttempts: v.OwnTries, MessageError: v.OwnError.String()}
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
	v, ok := s.Kernel.Host(key(in))
	if !ok || v.Messages == 0 {
		return control.QueueHead{}, s.noQueue(in)
	}
	return control.QueueHead{Module: v.Module, Queue: v.Queue, Status: hostState(v), DelayedTill: v.Until,
		LastError: v.LastError.String(), NextAttempt: v.Next}, nil
}

// messageList yields a row for each host queue that a message is in.
func (s *Server) messageList(_ context.Context, _ control.Actor, in control.Selection) iter.Seq2[control.MessageRow, error] {
	return func(yield func(control.MessageRow, error) bool) {
		for m, err := range s.messages(in) {
			if err != nil {
				yield(control.MessageRow{}, err)
				return
			}
			for _, row := range rows(m) {
				if !yield(row, nil) {
					return
				}
			}
		}
	}
}

// messageExport yields the ids of messages, for who may read them and not list them.
func (s *Server) messageExport(_ context.Context, _ control.Actor, in control.Selection) iter.Seq2[control.MessageID, error] {
	return func(yield func(control.MessageID, error) bool) {
		for m, err := range s.messages(in) {
			if !yield(control.MessageID{ID: m.ID}, err) {
				return
			}
		}
	}
}

// messages yields those that are selected. An error is the last.
func (s *Server) messages(in control.Selection) iter.Seq2[queue.MessageView, error] {
	return func(yield func(queue.MessageView, error) bool) {
		sel, err := compile(in)
		if err != nil {
			yield(queue.MessageView{}, err)
			return
		}
		for m, err := range s.Kernel.Messages(sel) {
			if err != nil {
				yield(queue.MessageView{}, refused(err))
				return
			}
			if !yield(m, nil) {
				return
			}
		}
		if err := s.incomplete(); err != nil {
			yield(queue.MessageView{}, err)
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
		return control.Message{}, s.noMessage(in.ID)
	}
	out := control.Message{ID: m.ID, ReturnPath: m.Envelope.ReturnPath.String(), MessageID: s.field(m.ID, "Message-ID"),
		EnvelopeID: m.Envelope.EnvelopeID, Subject: m.Subject, Submitted: m.Envelope.Submitted, Sender: m.Envelope.Auth,
		Source: m.Envelope.Source.String(), Bytes: m.Size, Recipients: []control.RecipientRow{}}
	for _, r := range m.Recipients {
		row := control.RecipientRow{Recipient: r.Address.String(), Module: r.Key.Module, Queue: r.Key.Queue,
			Status: state(r.Status), Attempts: r.Attempts, LastError: r.LastError.String()}
		if at := s.Kernel.Expires(r.Key.Module, m.Envelope.Submitted); out.Expires.IsZero() || !at.IsZero() && at.Before(out.Expires) {
			out.Expires = at
		}
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
