package control

import "time"

// The supplementary logs, and what the components write to the Server Log.
var (
	LogEmails = Stream[LogQuery, LogLine]{"log/emails", Monitor,
		"as log/tail, of the supplementary log EMails: what became of each recipient"}
	LogAudit = Stream[LogQuery, LogLine]{"log/audit", Monitor,
		"as log/tail, of the supplementary log Audit: who did what, and who was refused"}
	LogLevels = Stream[Nothing, LogLevel]{"log/levels", Monitor,
		"what the components write to the Server Log, sorted by tag"}
	LogLevelSet = Call[LogLevelOrder, LogLevel]{"log/level", Settings,
		"sets what a component writes to the Server Log: for a time, or until a restart or other settings"}
)

// MaxLevelTime is how long a level that was set by hand can last, other than until a restart.
const MaxLevelTime = 30 * 24 * time.Hour

// A LogLevelOrder sets the level of a component.
type LogLevelOrder struct {
	Tag   string  `json:"tag"`             // any case: "ENQUEUER"
	Level int     `json:"level"`           // 0 to 5
	For   Seconds `json:"for,omitempty"`   // then the settings are back; 0: at a restart, or when they say something else
	Reset bool    `json:"reset,omitempty"` // what the settings say, at once; without the two above
}

// Check holds the order to its ranges.
func (o LogLevelOrder) Check() error {
	switch {
	case o.Tag == "":
		return Errorf(KindBadRequest, "as in ENQUEUER", "no tag of a component")
	case o.Level < 0 || o.Level > 5:
		return Errorf(KindBadRequest, "0 Crashes Only to 5 All Info", "no log level %d", o.Level)
	case o.For < 0 || o.For.Duration() > MaxLevelTime:
		return Errorf(KindBadRequest, "up to 720h", "a level for %v", o.For.Duration())
	case o.Reset && (o.Level != 0 || o.For != 0):
		return Errorf(KindBadRequest, "leave out one of the two", "a level, and that of the settings")
	}
	return nil
}

// A LogLevel is what a component writes to the Server Log.
type LogLevel struct {
	Tag      string    `json:"tag"`
	Level    int       `json:"level"`          // 0 to 5
	Name     string    `json:"name"`           // the chapter's: "Low Level"
	Settings int       `json:"settings"`       // what the settings say
	ByHand   bool      `json:"by_hand"`        // Level was set while the daemon ran
	Until    time.Time `json:"until,omitzero"` // then Settings are back by themselves
}
