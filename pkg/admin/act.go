package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"cgq/pkg/control"
	"cgq/pkg/kernel"
	"cgq/pkg/queue"
	"cgq/pkg/selection"
	"cgq/pkg/serverlog"
)

// act does what a request wants with its selection: it waits until all of the Queue is
// known, tells the Audit log, and says what came of it.
func (s *Server) act(ctx context.Context, who control.Actor, what string, in control.Selection, dry bool,
	do func(*selection.Selection, kernel.Order) (kernel.Outcome, error), with ...any) (out kernel.Outcome, err error) {
	sel, err := compile(in)
	if err != nil {
		return out, err
	}
	if err := s.whole(ctx); err != nil {
		return out, err
	}
	out, err = do(sel, kernel.Order{By: who.Name, Dry: dry})
	if !dry {
		with = append([]any{"where", sel.String(), "limit", sel.Limit()}, with...)
		s.audit(ctx, who, what, out, err, with...)
	}
	switch {
	case errors.Is(err, kernel.ErrEmpty):
		err = control.Errorf(control.KindEmptySelection, "name what is meant, or say all", "the selection is empty")
	case errors.Is(err, kernel.ErrLong):
		err = control.Errorf(control.KindBadRequest, "hold less of it, or its messages by their ids", "%v", err)
	case err != nil:
		err = refused(err)
	}
	return out, err
}

// audit tells the Audit log, and the Server Log, of an act, whether it was done or not.
func (s *Server) audit(ctx context.Context, who control.Actor, what string, out kernel.Outcome, err error, with ...any) {
	line := fmt.Sprintf("act %d: %s by %s", out.Act, what, who.Name)
	if err != nil {
		with = append(with, "failed", err.Error())
	}
	with = append([]any{"uid", who.UID, "pid", who.PID, "matched", out.Matched, "changed", out.Rows,
		"already", already(out), "skipped", len(out.Skipped) - already(out), "messages", out.Messages}, with...)
	for _, log := range []*slog.Logger{s.Audit, s.Log.Logger("ADMIN")} {
		log.Log(ctx, serverlog.Major, line, with...)
	}
}

// already counts the rows that were before as an act would have them.
func already(out kernel.Outcome) (n int) {
	for _, skipped := range out.Skipped {
		if skipped.Reason == kernel.AtOnce || skipped.Reason == kernel.SameWay {
			n++
		}
	}
	return n
}

// queueRelease counts host queues.
func (s *Server) queueRelease(ctx context.Context, who control.Actor, in control.Act) (control.Outcome, error) {
	done, err := s.release(ctx, who, in)
	if err != nil {
		return control.Outcome{}, err
	}
	if done.Queues == 0 && len(in.Queue) == 1 && len(in.IDs) == 0 { // with ids messages were meant, and released
		return control.Outcome{}, control.Errorf(control.KindNoSuchQueue, "cgq queue list shows all that hold messages",
			"no queue %s(%s)", strings.Join(in.Module, ","), in.Queue[0])
	}
	out := control.Outcome{Matched: done.Queues, Changed: done.Changed, Messages: done.Messages, Act: done.Act}
	for _, key := range done.Idle {
		if v, ok := s.Kernel.Host(key); ok && v.Status() == queue.Held {
			out.Skip(control.Skip{Module: key.Module, Queue: key.Queue, Reason: kernel.OnHold})
		} else {
			out.Already++
		}
	}
	return out, nil
}

// messageRelease counts recipients.
func (s *Server) messageRelease(ctx context.Context, who control.Actor, in control.Act) (control.Outcome, error) {
	done, err := s.release(ctx, who, in)
	if err != nil {
		return control.Outcome{}, err
	}
	return s.outcome(done), nil
}

func (s *Server) release(ctx context.Context, who control.Actor, in control.Act) (kernel.Outcome, error) {
	pace := s.Pace()
	if in.AtOnce {
		pace = kernel.Pace{}
	}
	return s.act(ctx, who, "release", in.Selection, in.DryRun, func(sel *selection.Selection, o kernel.Order) (kernel.Outcome, error) {
		return s.Kernel.Release(sel, o, pace)
	}, "at_once", in.AtOnce)
}

// reject counts recipients.
func (s *Server) reject(ctx context.Context, who control.Actor, in control.Act) (control.Outcome, error) {
	if strings.TrimSpace(in.Text) == "" && !in.NoDSN && !in.DryRun {
		return control.Outcome{}, control.Errorf(control.KindBadRequest, "say why with --text, or use --no-dsn", "no text for the reports")
	}
	done, err := s.act(ctx, who, "reject", in.Selection, in.DryRun, func(sel *selection.Selection, o kernel.Order) (kernel.Outcome, error) {
		return s.Kernel.Reject(sel, o, in.Text, !in.NoDSN)
	}, "text", in.Text, "report", !in.NoDSN)
	if err != nil {
		return control.Outcome{}, err
	}
	out := s.outcome(done)
	out.Trash = in.NoDSN && out.Changed > 0
	return out, nil
}

// messageReroute counts recipients.
func (s *Server) messageReroute(ctx context.Context, who control.Actor, in control.Act) (control.Outcome, error) {
	done, err := s.act(ctx, who, "reroute", in.Selection, in.DryRun, func(sel *selection.Selection, o kernel.Order) (kernel.Outcome, error) {
		return s.Kernel.Reroute(ctx, sel, o, s.Route)
	})
	if err != nil {
		return control.Outcome{}, err
	}
	out := s.outcome(done)
	for _, m := range done.Moves[:min(len(done.Moves), control.MaxSkips)] {
		out.Moves = append(out.Moves, control.Move{FromModule: m.From.Module, FromQueue: m.From.Queue,
			ToModule: m.To.Module, ToQueue: m.To.Queue, Recipients: m.Recipients})
	}
	return out, nil
}

// outcome counts recipients.
func (s *Server) outcome(done kernel.Outcome) control.Outcome {
	out := control.Outcome{Matched: done.Matched, Changed: done.Rows, Already: already(done), Messages: done.Messages, Act: done.Act}
	for _, skipped := range done.Skipped {
		if skipped.Reason == kernel.AtOnce || skipped.Reason == kernel.SameWay {
			continue
		}
		skip := control.Skip{ID: skipped.ID, Reason: skipped.Reason}
		if len(out.Skips) < control.MaxSkips {
			if m, ok := s.Kernel.Message(skipped.ID); ok && skipped.Rcpt < len(m.Envelope.Recipients) {
				skip.Recipient = m.Envelope.Recipients[skipped.Rcpt].Address.String()
			}
		}
		out.Skip(skip)
	}
	return out
}

// holdAdd counts recipients.
func (s *Server) holdAdd(ctx context.Context, who control.Actor, in control.HoldOrder) (control.Outcome, error) {
	var until time.Time
	if in.For > 0 {
		until = time.Now().Add(in.For.Duration())
	}
	done, err := s.act(ctx, who, "hold", in.Selection, in.DryRun, func(sel *selection.Selection, o kernel.Order) (kernel.Outcome, error) {
		return s.Kernel.Hold(sel, o, strings.TrimSpace(in.Reason), until)
	}, "reason", in.Reason, "until", until)
	if err != nil {
		return control.Outcome{}, err
	}
	return s.outcome(done), nil
}
