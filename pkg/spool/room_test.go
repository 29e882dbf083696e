package spool_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/fact"
	"cgq/pkg/journal"
	"cgq/pkg/mail"
	"cgq/pkg/spool"
)

// J5: what was reserved fits, however full the others make the journal, and however
// much a peer has said; what is given back others can have.
func TestReservedFactsAlwaysFit(t *testing.T) {
	s := open(t, crashdisk.New(-1), spool.Options{Journal: journal.Options{SegmentSize: 256 << 10, Segments: 3}})
	defer s.Close()
	id, err := submit(s, "text", nil, "")
	if err != nil {
		t.Fatal(err)
	}
	room, err := s.Reserve(3)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil { // each has a commit of its own
		var n spool.Number
		if n, err = s.Append(tried(id)); err == nil {
			err = s.Wait(n)
		}
	}
	if !errors.Is(err, spool.ErrFull) {
		t.Fatal(err)
	}
	if _, err := s.Reserve(1); !errors.Is(err, spool.ErrFull) {
		t.Errorf("Reserve in a full journal: %v, want ErrFull", err)
	}
	loud := mail.Result{Action: mail.Failed, Text: strings.Repeat("\x01", 2000), MTA: strings.Repeat("%", 255)}
	for range 2 {
		n, err := room.Act([]fact.Change{{ID: id, Fact: fact.Settled{At: time.Now(), Result: loud}}}, nil)
		if err == nil {
			err = s.Wait(n)
		}
		if err != nil {
			t.Errorf("into the reserved room: %v", err)
		}
	}
	room.Release()
	if _, err := s.Reserve(1); err != nil {
		t.Errorf("after one frame was given back: %v", err)
	}
	d, err := s.Draft(envelope())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Commit(ctx, journal.Intake, nil); err == nil {
		t.Error("new mail got the room of the others")
	}
}
