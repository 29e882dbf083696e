package powercut

import (
	"encoding/json"
	"os"
	"sync"

	"cgq/pkg/endtoend/recorder"
)

// A sent is a message that a sender has begun to submit.
type sent struct {
	Token string
	ID    string // from the reply
	To    []string
	Begun recorder.Moment // before its first command
	Reply int             // to the whole message, or the first that is a refusal; 0: the connection broke
	Told  recorder.Moment // when the reply was there
}

// accepted says whether it was acknowledged.
func (s *sent) accepted() bool { return s.Reply == 250 }

// The kinds of acts.
const (
	actReject = "reject"
	actQuiet  = "reject --no-dsn"
	actFree   = "release"
)

// An act is what an administrator has done to the messages of one host queue, all of
// them acknowledged and delayed before he began.
type act struct {
	Kind   string
	Queue  string
	Tokens []string
	Begun  recorder.Moment
	Done   bool            // cgq has printed it
	Told   recorder.Moment // when
}

// A ledger is what was said outside while the disk was recorded.
type ledger struct {
	FileSystem string

	mu       sync.Mutex
	Ready    recorder.Moment // the first place for a cut
	Sent     []*sent
	Acts     []*act
	Arrivals []arrival
	Kills    []killing
}

// A killing is a SIGKILL: just before it, and when all that the dead had said had been
// heard. In between things are noted that the daemon did before it died.
type killing struct{ Begun, Over recorder.Moment }

// note adds a message.
func (l *ledger) note(s *sent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Sent = append(l.Sent, s)
}

// change changes what others may read.
func (l *ledger) change(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

// accepted counts the messages that were acknowledged.
func (l *ledger) accepted() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.Sent {
		if s.accepted() {
			n++
		}
	}
	return n
}

// save writes the ledger, when nobody changes it any more.
func (l *ledger) save(file string) error {
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o600)
}

func loadLedger(file string) (*ledger, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	l := &ledger{}
	return l, json.Unmarshal(b, l)
}
