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
