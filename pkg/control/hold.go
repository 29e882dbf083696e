package control

import (
	"strings"
	"time"

	"cgq/pkg/mail"
)

// A Backup says what an archive holds.
type Backup struct {
	Messages int   `json:"messages"`         // in it
	Left     int   `json:"left,omitzero"`    // have left the queue while it was made
	Damaged  int   `json:"damaged,omitzero"` // could not be read, and are not in it; the log names them
	Bytes    int64 `json:"bytes"`            // of the archive
}

// A HoldRow is one hold in a list.
type HoldRow struct {
	Name       string    `json:"name"`           // what hold/remove takes; empty: of damage, which only a reject ends
	ID         mail.ID   `json:"id,omitzero"`    // the message that is damaged
	Messages   int       `json:"messages"`       // that it holds, of a backup and of damage
	Recipients int       `json:"recipients"`     // that it holds, of a person
	Since      time.Time `json:"since,omitzero"` // absent: nobody knows
	Until      time.Time `json:"until,omitzero"` // absent: until a person removes it
	By         string    `json:"by"`             // who; empty: nobody
	Lasts      bool      `json:"lasts"`          // it also holds what comes later
	Where      string    `json:"where"`          // what it selects, as an expression
	Reason     string    `json:"reason"`         // may hold what strangers wrote
}

// A HoldOrder asks for a hold.
type HoldOrder struct {
	Selection
	Reason string  `json:"reason"`
	For    Seconds `json:"for,omitempty"` // absent: until a person removes it
	DryRun bool    `json:"dry_run,omitempty"`
}

// Check refuses a hold without a selection, without a reason, and of no time.
func (h HoldOrder) Check() error {
	switch reason := strings.TrimSpace(h.Reason); {
	case reason == "":
		return Errorf(KindBadRequest, "say why: others will ask", "no reason for the hold")
	case len(reason) > MaxText:
		return Errorf(KindBadRequest, "512 bytes at most", "a reason of %d bytes", len(reason))
	case h.For < 0:
		return Errorf(KindBadRequest, "leave it out for a hold that has no end", "a hold for less than no time")
	}
	return h.Selection.check()
}

// A TrashRow is what one act has put into the trash.
type TrashRow struct {
	Act        uint64    `json:"act"`
	At         time.Time `json:"at"`
	By         string    `json:"by"`
	Text       string    `json:"text"` // that he gave; empty: dropped
	Messages   int       `json:"messages"`
	Recipients int       `json:"recipients"`
	Bytes      int64     `json:"bytes"`     // of the messages
	PurgedAt   time.Time `json:"purged_at"` // when it goes for good
}

// A TrashAct names what an act has put into the trash, or all of it.
type TrashAct struct {
	Act    uint64 `json:"act,omitempty"`
	All    bool   `json:"all,omitempty"`
	DryRun bool   `json:"dry_run,omitempty"`
}

// Check refuses to guess.
func (t TrashAct) Check() error {
	if (t.Act == 0) != t.All {
		return Errorf(KindBadRequest, "cgq trash list shows the numbers of all acts", "name one act, or say all")
	}
	return nil
}

// A HoldAct names a hold to act on.
type HoldAct struct {
	Name   string `json:"name"`
	DryRun bool   `json:"dry_run,omitempty"`
}

// Check refuses no name.
func (h HoldAct) Check() error {
	if h.Name == "" {
		return Errorf(KindBadRequest, "cgq hold list shows the names of all holds", "no name of a hold")
	}
	return nil
}
