package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"strconv"
	"time"

	"cgq/pkg/control"
	"cgq/pkg/fact"
	"cgq/pkg/mail"
	"cgq/pkg/serverlog"
)

// messageTrace is the life of a message in the order of time: its facts as long as it is in
// the Queue, and what the Server Log says of it.
func (s *Server) messageTrace(ctx context.Context, _ control.Actor, in control.MessageID) iter.Seq2[control.TraceRow, error] {
	return func(yield func(control.TraceRow, error) bool) {
		rows, err := s.facts(in.ID)
		if err == nil {
			rows, err = s.logged(ctx, in.ID, rows)
		}
		if err != nil {
			yield(control.TraceRow{}, err)
			return
		}
		slices.SortStableFunc(rows, func(a, b control.TraceRow) int { return a.Time.Compare(b.Time) })
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
		_, there := s.Kernel.Message(in.ID)
		switch err := s.incomplete(); {
		case !there && err != nil: // it may have facts that are not known yet
			yield(control.TraceRow{}, err)
		case len(rows) == 0:
			yield(control.TraceRow{}, s.missing(control.KindNoSuchMessage, "it may be older than the logs in SystemLogs",
				"no message %d in the queue, and no line of the log names it", in.ID))
		}
	}
}

// facts are those of a message that is in the Queue.
func (s *Server) facts(id mail.ID) (rows []control.TraceRow, err error) {
	m, ok := s.Kernel.Message(id)
	if !ok {
		return nil, nil
	}
	facts, err := s.Facts(id)
	if errors.Is(err, fs.ErrNotExist) { // it has left just now
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	e := m.Envelope
	at := e.Submitted
	rows = []control.TraceRow{{Time: at, Tag: control.TraceFact, Text: fmt.Sprintf("submitted through %s from %s to %d recipients, %d bytes",
		e.Source, e.ReturnPath.Path(), len(e.Recipients), m.Size)}}
	for _, f := range facts {
		t := telling{env: e, at: at}
		t.tell(f)
		at = t.at // a fact without a time happened behind the one before it
		rows = append(rows, control.TraceRow{Time: at, Tag: control.TraceFact, Recipient: t.rcpt, Text: t.text})
	}
	return rows, nil
}

// logged adds what the Server Log says of a message.
func (s *Server) logged(ctx context.Context, id mail.ID, rows []control.TraceRow) ([]control.TraceRow, error) {
	for l, err := range s.Log.Tail(ctx, serverlog.Query{Last: control.MaxLogLines, ID: uint64(id), Level: serverlog.All}) {
		if err != nil {
			return nil, err
		}
		rows = append(rows, control.TraceRow{Time: l.Time, Tag: l.Component(), Text: l.String()})
	}
	return rows, nil
}

// A telling is a fact in words.
type telling struct {
	env  *mail.Envelope
	at   time.Time
	rcpt string
	text string
}

func (t *telling) tell(f fact.Fact) {
	switch f := f.(type) {
	case fact.Routed:
		t.of(f.Rcpt, time.Time{})
		t.text = "routed to " + f.Module + "(" + f.Queue + ")" + f.Address.String()
	case fact.Begun:
		t.of(-1, f.At)
		t.text = "the Enqueuer begins with it after a start"
	case fact.Filtered:
		t.of(-1, f.At)
		t.text = "the Rules are applied"
		if n := len(f.Edits); n > 0 {
			t.text += fmt.Sprintf(", the header changed in %d places, by %+d bytes", n, f.Growth())
		}
		if f.Skip {
			t.text += ", Rules of Accounts are skipped"
		}
	case fact.Tried:
		t.of(f.Rcpt, f.At)
		t.text = fmt.Sprintf("attempt %d, delayed till %s: %s", f.Attempts, clock(f.Until), f.Result)
	case fact.Suspended:
		t.of(-1, f.At)
		t.text = fmt.Sprintf("%s(%s) attempt %d, message delayed till %s: %s", f.Module, f.Queue, f.Attempts, clock(f.Until), f.Result)
	case fact.Settled:
		t.of(f.Rcpt, f.At)
		t.text = f.Result.Action.String() + ": " + f.Result.String()
	case fact.Reported:
		t.text = "reported, to nobody"
		if f.DSN != 0 {
			t.text = "reported in [" + f.DSN.String() + "]"
		}
	case fact.Warned:
		t.text = "a warning was due after " + f.Age.String() + ", and went to nobody"
		if f.DSN != 0 {
			t.text = "the sender was warned after " + f.Age.String() + " in [" + f.DSN.String() + "]"
		}
	case fact.Held:
		t.of(f.Rcpt, time.Time{})
		t.text = "held by hold " + strconv.FormatUint(f.Hold, 10)
	case fact.Gone:
		t.text = "gone"
	default:
		t.act(f)
	}
}

// act tells what a person has done.
func (t *telling) act(f fact.Fact) {
	switch f := f.(type) {
	case fact.Rejected:
		t.of(f.Rcpt, f.At)
		t.text = "rejected" + by(f.By, f.Act) + ": " + f.Text
		if !f.Report {
			t.text = "moved to the trash" + by(f.By, f.Act)
		}
	case fact.Undone:
		t.of(f.Rcpt, f.At)
		t.text = "restored from the trash" + by(f.By, 0) + ": act " + strconv.FormatUint(f.Act, 10) + " is undone"
	case fact.Purged:
		t.of(f.Rcpt, f.At)
		t.text = "purged from the trash" + by(f.By, 0)
	case fact.Freed:
		t.of(f.Rcpt, f.At)
		t.text = "released" + by(f.By, f.Act)
		if !f.Until.IsZero() {
			t.text += ", its turn is at " + clock(f.Until)
		}
	case fact.Rerouted:
		t.of(f.Rcpt, f.At)
		t.text = "rerouted to " + f.Module + "(" + f.Queue + ")" + f.Address.String() + by(f.By, f.Act)
	case fact.Unknown:
		t.text = "a fact of a newer version: " + f.Line
	default:
		t.text = string(fact.Append(nil, f))
	}
}

// of notes whom a fact is about, and when it was, if that is known.
func (t *telling) of(rcpt int, at time.Time) {
	if rcpt >= 0 && rcpt < len(t.env.Recipients) {
		t.rcpt = t.env.Recipients[rcpt].Address.String()
	}
	if !at.IsZero() {
		t.at = at
	}
}

// by is who did something, and in which act.
func by(who string, act uint64) (s string) {
	if who != "" {
		s = " by " + who
	}
	if act != 0 {
		s += " in act " + strconv.FormatUint(act, 10)
	}
	return s
}

func clock(t time.Time) string { return t.Local().Format(time.DateTime) }
