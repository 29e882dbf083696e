package spool

import (
	"cmp"
	"math"
	"slices"

	"cgq/pkg/idmap"
	"cgq/pkg/mail"
)

// The messages of a spool are busy or rest (L10): each is in one of the two maps. Most mail
// that waits, waits for hours while nothing happens to it, and is a value of 16 bytes
// then, which the collector does not look at. It is busy, a [message], as long as
// something of it is not in its file, or its file is not whole, sure and in one place;
// and for good when it is one of the few that are too large for a value.
//
// A busy message has its place in memory until it rests or goes. The others become busy
// under mu, by anybody; to rest they go under checkpoint and mu. So a *message is that of
// its id as long as one holds mu. One who holds checkpoint, and has seen under it that
// the message is busy, may keep it without mu: what it is told is told to that message,
// or to one that has gone. Everybody else has a copy, and looks again by the id.
//
// The caller of every method holds mu, or is alone.
type messages struct {
	busy    idmap.Map[*message]
	resting idmap.Map[rest]
}

// A rest is what is remembered of a message that rests.
type rest struct {
	textAt int32 // below 0: of an edited one, as ^textAt
	facts  int32
	text   uint32
	tail   uint16 // how many sectors the file has behind the one in which the text ends
	folder folder
}

// rest returns what is remembered of a message when it rests. ok is false if it has
// to be busy.
func (m *message) rest() (r rest, ok bool) {
	if m.image != nil || m.oldest != 0 || len(m.unfiled) > 0 || m.twice || m.draft || m.anew {
		return r, false
	}
	tail := m.size - sectors(int64(m.textAt)+m.text)
	if tail < 0 || tail%sector != 0 || tail/sector > math.MaxUint16 || m.text > math.MaxUint32 {
		return r, false
	}
	at := m.textAt
	if m.edited {
		at = ^at
	}
	return rest{at, m.facts, uint32(m.text), uint16(tail / sector), m.folder}, true
}

// message is what the message was before it rested.
func (r rest) message() message {
	m := message{textAt: r.textAt, facts: r.facts, text: int64(r.text), folder: r.folder}
	if m.edited = r.textAt < 0; m.edited {
		m.textAt = ^r.textAt
	}
	m.size = sectors(int64(m.textAt)+m.text) + int64(r.tail)*sector
	return m
}

// sectors is how many bytes the sectors have in which n bytes end.
func sectors(n int64) int64 { return (n + sector - 1) / sector * sector }

func (all *messages) len() int { return all.busy.Len() + all.resting.Len() }

// has says whether there is a message.
func (all *messages) has(id mail.ID) bool {
	return all.busy.Ref(id) != nil || all.resting.Ref(id) != nil
}

// facts is how many facts a message has.
func (all *messages) facts(id mail.ID) (n int32, ok bool) {
	if m, ok := all.busy.Get(id); ok {
		return m.facts, true
	}
	r, ok := all.resting.Get(id)
	return r.facts, ok
}

// look returns a copy of a message.
func (all *messages) look(id mail.ID) (m message, ok bool) {
	if m, ok := all.busy.Get(id); ok {
		return *m, true
	}
	r, ok := all.resting.Get(id)
	if !ok {
		return m, false
	}
	return r.message(), true
}

// change returns a message that is going to change, which makes it busy; nil, if there
// is none. What it gets must be a reason to be busy, and somebody must settle it when
// that has ended.
func (all *messages) change(id mail.ID) *message {
	if m, ok := all.busy.Get(id); ok {
		return m
	}
	r, ok := all.resting.Get(id)
	if !ok {
		return nil
	}
	m := r.message()
	all.resting.Delete(id)
	all.busy.Set(id, &m)
	return &m
}

// put adds a message, which is nobody else's from then on.
func (all *messages) put(id mail.ID, m *message) {
	if r, ok := m.rest(); ok {
		all.resting.Set(id, r)
		return
	}
	all.busy.Set(id, m)
}

// settle lets a busy message rest, unless something keeps it busy, or it has gone. The
// caller holds checkpoint, too.
func (all *messages) settle(id mail.ID, m *message) {
	r, ok := m.rest()
	if is, _ := all.busy.Get(id); !ok || is != m {
		return
	}
	all.busy.Delete(id)
	all.resting.Set(id, r)
}

// forget takes a message away.
func (all *messages) forget(id mail.ID) {
	all.busy.Delete(id)
	all.resting.Delete(id)
}

// some adds the next n messages behind an id to a list, by their ids, and returns it.
func (all *messages) some(list []listed, last mail.ID, n int) []listed {
	start := len(list)
	for id, r := range all.resting.After(last) {
		if len(list) == start+n {
			break
		}
		list = append(list, listed{id: id, facts: r.facts})
	}
	end := len(list) + n
	for id, m := range all.busy.After(last) {
		if len(list) == end {
			break
		}
		list = append(list, listed{id: id, facts: m.facts})
	}
	slices.SortFunc(list[start:], func(a, b listed) int { return cmp.Compare(a.id, b.id) })
	return list[:min(len(list), start+n)]
}
