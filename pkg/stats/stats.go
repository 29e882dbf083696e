// Package stats holds the statistics elements under the product's names, such as
// numQueuedMessages: counters that rise, and gauges that are asked when somebody
// looks. It keeps no history.
package stats

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// A Set is all elements of a server. It is safe for concurrent use; the zero Set
// is empty.
type Set struct {
	mu       sync.Mutex
	counters map[string]*Counter
	gauges   map[string]func() int64
}

// A Counter rises. It is safe for concurrent use.
type Counter struct{ n atomic.Int64 }

// Add adds n, which may be negative for what is going on just now.
func (c *Counter) Add(n int64) { c.n.Add(n) }

// Value is what it has risen to.
func (c *Counter) Value() int64 { return c.n.Load() }

// Counter returns the counter with a name; all callers get the same one.
func (s *Set) Counter(name string) *Counter {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counters == nil {
		s.counters = map[string]*Counter{}
	}
	if s.counters[name] == nil {
		s.counters[name] = new(Counter)
	}
	return s.counters[name]
}

// Gauge makes value the source of the element with a name.
func (s *Set) Gauge(name string, value func() int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gauges == nil {
		s.gauges = map[string]func() int64{}
	}
	s.gauges[name] = value
}

// An Element is one name with its value at the moment of asking.
type Element struct {
	Name  string
	Value int64
	Kind  Kind
	Doc   string // empty: the catalogue does not have it
}

// All returns every element, sorted by name.
func (s *Set) All() []Element {
	s.mu.Lock()
	values := make(map[string]func() int64, len(s.counters)+len(s.gauges))
	for name, c := range s.counters {
		values[name] = c.Value
	}
	maps.Copy(values, s.gauges)
	s.mu.Unlock() // a gauge may take other locks
	all := make([]Element, 0, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		about := catalogue[name]
		all = append(all, Element{name, values[name](), about.Kind, about.Doc})
	}
	return all
}
