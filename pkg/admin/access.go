package admin

import (
	"context"
	"fmt"
	"sync"
	"time"

	"cgq/pkg/control"
)

// An Access knows who may do what.
type Access struct {
	Rights  func(control.Actor) []control.Right   // nil: [control.Owner]
	Granted func(control.Actor) []control.Granted // and where it is from
}

func (s *Server) whoami(_ context.Context, who control.Actor, _ control.Nothing) (control.Identity, error) {
	id := control.Identity{User: who.Name, UID: who.UID, GID: who.GID, Rights: who.Rights, Grants: []control.Granted{}}
	if id.Rights == nil {
		id.Rights = []control.Right{}
	}
	if s.Access.Granted != nil {
		id.Grants = append(id.Grants, s.Access.Granted(who)...)
	}
	return id, nil
}

const (
	// refusalPause is how long after a refusal those like it are only counted.
	refusalPause = time.Minute
	// maxRefusals is how many users and requests are told apart meanwhile.
	maxRefusals = 1000
)

// refusals keeps the Audit log from being flooded: of what a user asks for again and again
// the first stands there, and a minute later how many more there were. The zero refusals
// has none.
type refusals struct {
	mu   sync.Mutex
	more map[denial]int // behind the first one
}

// A denial is what is counted together; the zero one is those that are too many to be told apart.
type denial struct {
	uid  uint32
	path string
}

// add counts a refusal. It reports whether it is the first of its minute; later is
// called at the end of that, with the number of those that followed.
func (r *refusals) add(what denial, later func(more int)) (first bool, as denial) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.more == nil {
		r.more = map[denial]int{}
	}
	if _, known := r.more[what]; !known && len(r.more) >= maxRefusals {
		what = denial{}
	}
	if _, known := r.more[what]; known {
		r.more[what]++
		return false, what
	}
	r.more[what] = 0
	time.AfterFunc(refusalPause, func() {
		r.mu.Lock()
		n := r.more[what]
		delete(r.more, what)
		r.mu.Unlock()
		if n > 0 {
			later(n)
		}
	})
	return true, what
}

// Refused tells the Audit log who was refused what. It is that of a [control.Mux].
func (s *Server) Refused(who control.Actor, path string, need control.Right) {
	whom := who.Name
	first, as := s.refusals.add(denial{who.UID, path}, func(more int) {
		s.note(context.Background(), who, fmt.Sprintf("refused: %s to %s, %d times more within a minute", path, whom, more), "right", string(need))
	})
	if first {
		line := fmt.Sprintf("refused: %s to %s", path, whom)
		if as == (denial{}) {
			line += ", and others, who are too many to be listed for a minute"
		}
		s.note(context.Background(), who, line, "right", string(need))
	}
}
