package control

import (
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
	Name     string    `json:"name"`           // what hold/remove takes; empty: of damage, which only a reject ends
	ID       mail.ID   `json:"id,omitzero"`    // the message that is damaged
	Messages int       `json:"messages"`       // that it holds
	Since    time.Time `json:"since,omitzero"` // absent: nobody knows
	Reason   string    `json:"reason"`         // may hold what strangers wrote
}

// A HoldAct names a hold to act on.
type HoldAct struct {
	Name   string `json:"name"`
	DryRun bool   `json:"dry_run,omitempty"`
}

// Check refuses no name.
func (h HoldAct) Check() error {
	if h.Name == "" {
		return Errorf(KindBadRequest, "hold/list shows the names of all holds", "no name of a hold")
	}
	return nil
}
