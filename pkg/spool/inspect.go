package spool

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"cgq/pkg/disk"
	"cgq/pkg/journal"
	"cgq/pkg/mail"
)

// An Inspection is a Queue as it lies on the disk, and what a start would do about it.
type Inspection struct {
	Recovery
	Young               int               // messages that only the journal holds
	Standing            map[string]string // things, by their keys
	Used, Free, Damaged int               // segments of the journal
	Kept                []string          // names in damaged/
	Ceiling             mail.ID           // no higher id was given out
	Identity            string            // empty: the Queue has never been opened
}

// Inspect reads and judges the spool in dir as Open does, and writes nothing. Where
// Open would refuse, it returns the same error. Nobody may have the spool open.
func Inspect(fsys disk.FS, dir string) (*Inspection, error) {
	if err := finished(fsys, dir); err != nil {
		return nil, err
	}
	r := recovery(fsys, dir, slog.New(slog.DiscardHandler))
	contents, err := journal.Read(fsys, r.journals(), journal.Options{Aside: r.damaged()})
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	kept, err := fsys.List(r.damaged())
	if err := errors.Join(err, r.read(contents.Replay())); err != nil {
		return nil, fmt.Errorf("spool: recover: %w", err)
	}
	for batch := range slices.Chunk(r.files, indexBatch) {
		some := newRecovering(r.Spool)
		some.indexSome(batch)
		r.Damage = append(r.Damage, some.Damage...)
		r.Messages = append(r.Messages, some.Messages...)
	}
	slices.SortFunc(r.Messages, func(a, b Found) int { return cmp.Compare(a.ID, b.ID) })
	i := &Inspection{Recovery: r.Recovery, Standing: r.Spool.Standing(), Kept: kept,
		Used: contents.Used, Free: contents.Free, Damaged: contents.Damaged, Ceiling: r.ceiling, Identity: r.identity}
	for _, c := range r.found {
		if !c.filed {
			i.Young++
		}
	}
	return i, nil
}
