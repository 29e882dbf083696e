// Package idmap is a map by message ids that stays sorted and small. Ids rise by one
// from message to message, and most of those that are near each other live and go
// together: a page holds those of a range of 256, sorted, a byte and a value each, so
// a value is found in a few steps, the next one is beside it, and there is no room
// for what has gone. A page that lost most of its values shrinks.
//
// A Map is not safe for concurrent use.
package idmap

import (
	"iter"
	"slices"

	"cgq/pkg/mail"
)

// A Map holds values by their ids. The zero Map is empty.
type Map[V any] struct {
	pages map[uint64]*page[V]
	order []uint64 // keys of pages, sorted
	n     int
}

// A page holds the values whose ids have the same upper bits.
type page[V any] struct {
	low    []uint8 // lower bits of the ids, sorted
	values []V     // beside them
}

const (
	pageBits = 8
	pageMask = 1<<pageBits - 1
)

func split(id mail.ID) (key uint64, low uint8) { return uint64(id) >> pageBits, uint8(id & pageMask) }

// Len is the number of values.
func (m *Map[V]) Len() int { return m.n }

// Get returns the value of an id.
func (m *Map[V]) Get(id mail.ID) (v V, ok bool) {
	if p := m.Ref(id); p != nil {
		return *p, true
	}
	return v, false
}

// Ref returns where the value of an id lies, until the next Set or Delete; nil if there
// is none.
func (m *Map[V]) Ref(id mail.ID) *V {
	key, low := split(id)
	p := m.pages[key]
	if p == nil {
		return nil
	}
	at, ok := p.find(low)
	if !ok {
		return nil
	}
	return &p.values[at]
}

// find returns the place of an id in its page, or where it belongs.
func (p *page[V]) find(low uint8) (at int, ok bool) {
	if n := len(p.low); n == 0 || p.low[n-1] < low { // a new one
		return n, false
	} else if int(p.low[n-1]-p.low[0]) == n-1 && low >= p.low[0] { // no gaps
		return int(low - p.low[0]), true
	}
	return slices.BinarySearch(p.low, low)
}

// Set gives an id a value.
func (m *Map[V]) Set(id mail.ID, v V) {
	key, low := split(id)
	p := m.pages[key]
	if p == nil {
		p = m.add(key)
	}
	at, ok := p.find(low)
	if ok {
		p.values[at] = v
		return
	}
	if len(p.low) == cap(p.low) {
		p.resize(min(room(len(p.low)+1), pageMask+1))
	}
	p.low = slices.Insert(p.low, at, low)
	p.values = slices.Insert(p.values, at, v)
	m.n++
}

// add makes an empty page.
func (m *Map[V]) add(key uint64) *page[V] {
	if m.pages == nil {
		m.pages = map[uint64]*page[V]{}
	}
	p := &page[V]{}
	m.pages[key] = p
	at, _ := slices.BinarySearch(m.order, key)
	m.order = slices.Insert(m.order, at, key)
	return p
}

// room is how much a page is given that holds n values: a quarter more, and never so
// much that the next Delete shrinks it.
func room(n int) int { return max(4, n+n/4) }

// resize gives a page room for n values.
func (p *page[V]) resize(n int) {
	p.low = append(make([]uint8, 0, n), p.low...)
	p.values = append(make([]V, 0, n), p.values...)
}

// Delete takes an id away.
func (m *Map[V]) Delete(id mail.ID) {
	key, low := split(id)
	p := m.pages[key]
	if p == nil {
		return
	}
	at, ok := p.find(low)
	if !ok {
		return
	}
	m.n--
	p.low = slices.Delete(p.low, at, at+1)
	p.values = slices.Delete(p.values, at, at+1) // clears what is behind, for the collector
	switch n := len(p.low); {
	case n == 0:
		delete(m.pages, key)
		at, _ := slices.BinarySearch(m.order, key)
		m.order = slices.Delete(m.order, at, at+1)
	case cap(p.low) > 4 && n < cap(p.low)/2:
		p.resize(room(n))
	}
}

// Last returns the highest id, or 0.
func (m *Map[V]) Last() mail.ID {
	if len(m.order) == 0 {
		return 0
	}
	key := m.order[len(m.order)-1]
	p := m.pages[key]
	return mail.ID(key<<pageBits | uint64(p.low[len(p.low)-1]))
}

// After yields the ids behind one and their values, in order. Between two of them
// nothing may be set or deleted but the value in hand.
func (m *Map[V]) After(id mail.ID) iter.Seq2[mail.ID, V] {
	return func(yield func(mail.ID, V) bool) {
		if id++; id == 0 {
			return
		}
		key, low := split(id)
		first, _ := slices.BinarySearch(m.order, key)
		for _, k := range m.order[first:] {
			p := m.pages[k]
			at := 0
			if k == key {
				at, _ = slices.BinarySearch(p.low, low)
			}
			for ; at < len(p.low); at++ {
				if !yield(mail.ID(k<<pageBits|uint64(p.low[at])), p.values[at]) {
					return
				}
			}
		}
	}
}

// All yields all ids and their values, in order, as After does.
func (m *Map[V]) All() iter.Seq2[mail.ID, V] { return m.After(0) }
