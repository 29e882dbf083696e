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

// empty takes one batch out of the trash, or all of them, one after the other.
func (s *Server) empty(ctx context.Context, who control.Actor, what string, in control.TrashAct,
	do func(uint64, kernel.Order) (kernel.Outcome, error)) (out control.Outcome, err error) {
	if err := s.whole(ctx); err != nil {
		return out, err
	}
	acts := []uint64{in.Act}
	if in.All {
		acts = nil
		for _, b := range s.Kernel.Trash() {
			acts = append(acts, b.Act)
		}
	}
	for _, number := range acts {
		done, err := do(number, kernel.Order{By: who.Name, Dry: in.DryRun})
		if in.All && errors.Is(err, kernel.ErrNoBatch) { // meanwhile
			continue
		}
		if !in.DryRun {
			s.audit(ctx, who, what, done, err, "trash", number)
		}
		if errors.Is(err, kernel.ErrNoBatch) {
			return out, control.Errorf(control.KindNoSuchBatch, "cgq trash list shows all", "the trash has nothing of act %s",
				strconv.FormatUint(number, 10))
		}
		if err != nil {
			return out, err
		}
		out.Matched, out.Changed, out.Messages = out.Matched+done.Matched, out.Changed+done.Rows, out.Messages+done.Messages
	}
	return out, nil
}
