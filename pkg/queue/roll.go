package queue

import (
	"cmp"
	"maps"
	"slices"
)

// A roll is the keys of all host queues, sorted for whoever asks. Host queues come and go
// all the time; to sort ten thousand for each list would hold up the mail.
type roll struct {
	sorted []Key // as they were when somebody asked; it is replaced, never changed
	known  bool  // sorted is, but for what follows
	added  []Key // that came since, in any order; they may have gone again
	gone   bool  // some have since
}

// idle is how many keys beside those that are there a roll remembers, of which nobody asks.
const idle = 1000

// add says that a host queue has come, of so many.
func (r *roll) add(k Key, all int) {
	switch {
	case !r.known:
	case len(r.added) > all+idle:
		*r = roll{}
	default:
		r.added = append(r.added, k)
	}
}

// drop says that one has gone.
func (r *roll) drop() { r.gone = true }

// keys returns those that are there.
func (r *roll) keys(there map[Key]*host) []Key {
	switch {
	case !r.known:
		r.sorted = slices.SortedFunc(maps.Keys(there), Key.compare)
	case len(r.added) > 0 || r.gone:
		r.sorted = r.merged(there)
	}
	r.known, r.added, r.gone = true, nil, false
	return r.sorted
}

func (r *roll) merged(there map[Key]*host) []Key {
	slices.SortFunc(r.added, Key.compare)
	all := make([]Key, 0, len(there))
	old, added := r.sorted, r.added
	for len(old)+len(added) > 0 {
		from := &old
		if len(old) == 0 || len(added) > 0 && added[0].compare(old[0]) < 0 {
			from = &added
		}
		k := (*from)[0]
		*from = (*from)[1:]
		if n := len(all); n > 0 && all[n-1] == k {
			continue // it has gone and come back
		}
		if _, ok := there[k]; ok || !r.gone {
			all = append(all, k)
		}
	}
	return all
}

func (k Key) compare(other Key) int {
	return cmp.Or(cmp.Compare(k.Module, other.Module), cmp.Compare(k.Queue, other.Queue))
}
