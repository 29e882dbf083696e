package submitted

import (
	"errors"
	"path/filepath"
	"strings"
	"sync"

	"github.com/fsnotify/fsnotify"
)

// Hints are names that may be worth a look. They are never trusted alone.
type hints struct {
	ready chan struct{} // capacity 1: there is something to take

	mu    sync.Mutex
	names map[string]bool
	all   bool // some were lost
}

// maxHints is how many names are kept: of more everything is looked at.
const maxHints = 10_000

func newHints() *hints { return &hints{ready: make(chan struct{}, 1), names: map[string]bool{}} }

// add adds a name; the empty one stands for all.
func (h *hints) add(name string) {
	h.mu.Lock()
	switch {
	case name == "" || len(h.names) >= maxHints && !h.names[name]:
		h.all = true
		clear(h.names)
	case !h.all:
		h.names[name] = true
	}
	h.mu.Unlock()
	select {
	case h.ready <- struct{}{}:
	default:
	}
}

// take returns what there is, once.
func (h *hints) take() (names []string, all bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name := range h.names {
		names = append(names, name)
	}
	all = h.all
	clear(h.names)
	h.all = false
	return names, all
}

// A watch gives hints until it is stopped.
type watch func(*hints) (stop func(), err error)

// watcher returns that of a directory.
func watcher(dir string) watch {
	return func(h *hints) (func(), error) {
		w, err := fsnotify.NewWatcher()
		if err != nil {
			return nil, err
		}
		if err := w.Add(dir); err != nil {
			return nil, errors.Join(err, w.Close())
		}
		var reading sync.WaitGroup
		reading.Go(func() { h.follow(w.Events) })
		reading.Go(func() {
			for range w.Errors { // events were lost
				h.add("")
			}
		})
		return func() {
			_ = w.Close() // it was only read
			reading.Wait()
		}, nil
	}
}

// follow takes names from events.
func (h *hints) follow(events <-chan fsnotify.Event) {
	for e := range events {
		name := filepath.Base(e.Name)
		if e.Has(fsnotify.Create) && strings.HasSuffix(name, sub) {
			h.add(name)
		}
	}
}
