package admin

import (
	"context"
	"errors"
	"iter"

	"cgq/pkg/control"
	"cgq/pkg/kernel"
)

func (s *Server) holdList(context.Context, control.Actor, control.Nothing) iter.Seq2[control.HoldRow, error] {
	return func(yield func(control.HoldRow, error) bool) {
		for h := range s.Kernel.Holds() {
			row := control.HoldRow{Name: h.Name, ID: h.ID, Messages: h.Messages, Recipients: h.Recipients, Since: h.Since, Until: h.Until,
				By: h.By, Lasts: h.Lasts, Where: h.Where, Reason: h.Reason}
			if !yield(row, nil) {
				return
			}
		}
		if err := s.incomplete(); err != nil {
			yield(control.HoldRow{}, err)
		}
	}
}

// holdRemove counts recipients, or, of a restored backup, messages.
func (s *Server) holdRemove(ctx context.Context, who control.Actor, in control.HoldAct) (control.Outcome, error) {
	if err := s.whole(ctx); err != nil {
		return control.Outcome{}, err
	}
	done, err := s.Kernel.Unhold(in.Name, in.DryRun)
	if errors.Is(err, kernel.ErrNoHold) {
		return control.Outcome{}, control.Errorf(control.KindNoSuchHold, "cgq hold list shows all", "no hold %q", in.Name)
	}
	if !in.DryRun {
		s.audit(ctx, who, "unhold", done, err, "hold", in.Name)
	}
	if err != nil {
		return control.Outcome{}, err
	}
	return control.Outcome{Matched: done.Matched, Changed: done.Rows, Messages: done.Messages, Act: done.Act}, nil
}
