package submitted

import (
	"slices"
	"sync"
)

// Grounds are directories themselves, whatever paths lead to them. One directory of the
// settings at a time takes files from a ground; and what is known of one is known under
// each of its names.
type grounds struct {
	mu      sync.Mutex
	used    map[identity]*use
	waiting map[identity][]*directory // they are given a hint when nobody has it any more
	known   map[identity]bool         // what is taken there the start has found, or the log has been told
	broken  map[identity]*handle      // by that it keeps its identity
}

// A use is by the watch, and by each claim.
type use struct {
	by *directory
	n  int
}

func newGrounds() *grounds {
	return &grounds{used: map[identity]*use{}, waiting: map[identity][]*directory{},
		known: map[identity]bool{}, broken: map[identity]*handle{}}
}

// hold has a directory use a ground once more, until release. If another one does, it
// returns that, and the directory is given a hint when it does not any more.
func (g *grounds) hold(in *handle, d *directory) (other *directory) {
	g.mu.Lock()
	defer g.mu.Unlock()
	id := in.Identity()
	u := g.used[id]
	switch {
	case u == nil:
		u = &use{by: d}
		g.used[id] = u
	case u.by != d:
		if !slices.Contains(g.waiting[id], d) {
			g.waiting[id] = append(g.waiting[id], d)
		}
		return u.by
	}
	u.n++
	return nil
}

// release ends one use.
func (g *grounds) release(in *handle) {
	g.mu.Lock()
	defer g.mu.Unlock()
	id := in.Identity()
	u := g.used[id]
	if u.n--; u.n > 0 {
		return
	}
	delete(g.used, id)
	for _, d := range g.waiting[id] {
		d.hints.add("")
	}
	delete(g.waiting, id)
}

// know says that what was taken there is known.
func (g *grounds) know(in *handle) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.known[in.Identity()] = true
}

// knows reports whether it is.
func (g *grounds) knows(in *handle) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.known[in.Identity()]
}

// breaks says that a sync has failed there.
func (g *grounds) breaks(in *handle) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.broken[in.Identity()] == nil {
		g.broken[in.Identity()] = in
	}
}

// isBroken reports whether a sync has failed there, under whatever name.
func (g *grounds) isBroken(in *handle) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.broken[in.Identity()] != nil
}
