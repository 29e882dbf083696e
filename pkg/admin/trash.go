package admin

import (
	"context"
	"errors"
	"iter"
	"strconv"

	"cgq/pkg/control"
	"cgq/pkg/kernel"
)

func (s *Server) trashList(context.Context, control.Actor, control.Nothing) iter.Seq2[control.TrashRow, error] {
	return func(yield func(control.TrashRow, error) bool) {
		for _, b := range s.Kernel.Trash() {
			row := control.TrashRow{Act: b.Act, At: b.At, By: b.By, Text: b.Text, Messages: b.Messages, Recipients: b.Recipients,
				Bytes: b.Bytes, PurgedAt: s.Kernel.TrashUntil(b.At)}
			if !yield(row, nil) {
				return
			}
		}
		if err := s.incomplete(); err != nil {
			yield(control.TrashRow{}, err)
		}
	}
}

// trashRestore counts recipients.
func (s *Server) trashRestore(ctx context.Context, who control.Actor, in control.TrashAct) (control.Outcome, error) {
	return s.empty(ctx, who, "restore", in, s.Kernel.Undo)
}

// trashPurge counts recipients.
func (s *Server) trashPurge(ctx context.Context, who control.Actor, in control.TrashAct) (control.Outcome, error) {
	return s.empty(ctx, who, "purge", in, s.Kernel.Purge)
}

// empty takes one batch out of the trash, or all of them.
func (s *Server) empty(ctx context.Context, who control.Actor, what string, in control.TrashAct,
	do func(kernel.Order, ...uint64) (kernel.Outcome, error)) (control.Outcome, error) {
	if err := s.whole(ctx); err != nil {
		return control.Outcome{}, err
	}
	acts := []uint64{in.Act}
	if in.All {
		acts = nil
		for _, b := range s.Kernel.Trash() {
			acts = append(acts, b.Act)
		}
	}
	done, err := do(kernel.Order{By: who.Name, Dry: in.DryRun}, acts...)
	switch {
	case in.All && errors.Is(err, kernel.ErrNoBatch):
		return control.Outcome{}, nil
	case errors.Is(err, kernel.ErrNoBatch):
		return control.Outcome{}, control.Errorf(control.KindNoSuchBatch, "cgq trash list shows all", "the trash has nothing of act %s",
			strconv.FormatUint(in.Act, 10))
	}
	if !in.DryRun {
		s.audit(ctx, who, what, done, err, "trash", acts)
	}
	return control.Outcome{Matched: done.Matched, Changed: done.Rows, Messages: done.Messages, Act: done.Act}, err
}
