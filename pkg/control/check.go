package control

import "time"

// Check asks how the daemon is, for a monitoring system.
var Check = Stream[CheckQuery, CheckItem]{"check", Monitor,
	"how the daemon is: items, each judged against thresholds"}

// A Verdict is what a [CheckItem] says, in the words of Nagios.
type Verdict string

// The verdicts, the worst last.
const (
	VerdictOK       Verdict = "ok"
	VerdictWarning  Verdict = "warning"
	VerdictCritical Verdict = "critical"
)

// A CheckQuery has the thresholds. Zero is the default, and of what has none: that it is
// not judged.
type CheckQuery struct {
	QueueWarning    int     `json:"queue_warning,omitempty"`    // percent of queue_limit, 1 to 100; 80
	JournalWarning  int     `json:"journal_warning,omitempty"`  // percent of the journal, 1 to 100; 75
	OldestWarning   Seconds `json:"oldest_warning,omitempty"`   // age of the oldest message in a host queue
	OldestCritical  Seconds `json:"oldest_critical,omitempty"`  // likewise
	DelayedWarning  int     `json:"delayed_warning,omitempty"`  // host queues that are delayed
	DelayedCritical int     `json:"delayed_critical,omitempty"` // likewise
}

// The thresholds that are meant by zero, in percent.
const (
	QueueWarning   = 80
	JournalWarning = 75
)

// Check holds the thresholds to their ranges.
func (q CheckQuery) Check() error {
	for name, percent := range map[string]int{"queue": q.QueueWarning, "journal": q.JournalWarning} {
		if percent < 0 || percent > 100 {
			return Errorf(KindBadRequest, "a number of percent, up to 100", "the warning of the %s at %d%%", name, percent)
		}
	}
	if q.DelayedWarning < 0 || q.DelayedCritical < 0 || q.OldestWarning < 0 || q.OldestCritical < 0 {
		return Errorf(KindBadRequest, "0 is: not judged", "a threshold below 0")
	}
	if c := q.DelayedCritical; c > 0 && c < q.DelayedWarning {
		return Errorf(KindBadRequest, "swap them", "delayed queues are critical at %d and a warning only at %d", c, q.DelayedWarning)
	}
	if c := q.OldestCritical; c > 0 && c < q.OldestWarning {
		return Errorf(KindBadRequest, "swap them", "the oldest message is critical at %v and a warning only at %v",
			time.Duration(c), time.Duration(q.OldestWarning))
	}
	return nil
}

// A CheckItem is one thing that was looked at. Warning and Critical are the thresholds
// that it was held against, as the Nagios plug-ins write ranges: "80" is more than 80,
// "80:" less.
type CheckItem struct {
	Name     string  `json:"name"` // "queue"; others may come
	State    Verdict `json:"state"`
	Value    int64   `json:"value"`
	Unit     string  `json:"unit"` // "", "%", "s" or "B"
	Warning  string  `json:"warning,omitempty"`
	Critical string  `json:"critical,omitempty"`
	Text     string  `json:"text"` // for people; may name files, so hostile
}
