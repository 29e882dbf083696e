package fact

import (
	"strconv"
	"time"

	"cgq/pkg/mail"
)

// RestoredKey is the key of the standing thing that holds a restored backup (SPOOL R6).
const RestoredKey = "hold restored"

// Restored is that standing thing: every message up to an id is held until a person
// frees them.
type Restored struct {
	Through mail.ID   // the highest id that the backup can have
	Backup  time.Time // the instant that the backup shows
	At      time.Time // when it was restored
}

// AppendRestored adds its text form to b:
//
//	restored through backup at
func AppendRestored(b []byte, r Restored) []byte {
	b = strconv.AppendUint(append(b, "restored "...), uint64(r.Through), 10)
	return stamp(stamp(b, r.Backup), r.At)
}

// ParseRestored reads what AppendRestored wrote.
func ParseRestored(line string) (Restored, error) {
	s := &scanner{rest: line}
	if s.word() != "restored" {
		s.fail("not a restored backup")
	}
	r := Restored{Through: mail.ID(s.int(0, 1<<62)), Backup: s.time(), At: s.time()}
	_, err := s.end(nil)
	return r, err
}

// Reason is why such a message is held.
func (r Restored) Reason() string {
	return "restored from the backup of " + r.Backup.UTC().Format("2006-01-02 15:04:05") + " UTC"
}

// HoldKey is how the keys of standing things begin that are holds of people; the number
// of the hold follows.
const HoldKey = "hold "

// A Hold is such a standing thing: what it selects waits until a person takes it away,
// or its time is over.
type Hold struct {
	Number uint64 // of the act that made it
	At     time.Time
	Until  time.Time // zero: nobody knows
	Lasts  bool      // it also holds what comes later
	By     string
	Reason string
	Where  string // what it selects, as an expression
}

// Key is the key that it stands under.
func (h Hold) Key() string { return HoldKey + strconv.FormatUint(h.Number, 10) }

// AppendHold adds its text form to b:
//
//	held number at until lasts by reason where
func AppendHold(b []byte, h Hold) []byte {
	b = strconv.AppendUint(append(b, "held "...), h.Number, 10)
	return words(stamp(stamp(b, h.At), h.Until), yesNo(h.Lasts), h.By, h.Reason, h.Where)
}

// ParseHold reads what AppendHold wrote.
func ParseHold(line string) (Hold, error) {
	s := &scanner{rest: line}
	if s.word() != "held" {
		s.fail("not a hold")
	}
	h := Hold{Number: s.act(), At: s.time(), Until: s.time(), Lasts: s.yesNo(), By: s.word(), Reason: s.word(), Where: s.word()}
	_, err := s.end(nil)
	return h, err
}

// ActsKey is the key of the standing thing that is the number of the last act, in digits.
const ActsKey = "acts"
