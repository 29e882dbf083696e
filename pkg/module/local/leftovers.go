package local

import (
	"errors"
	"io/fs"
	"slices"
	"sync"

	"cgq/pkg/disk"
)

// leftovers are the files in tmp that could not be removed when they were done with.
// They are tried again; what a crash leaves is cleared away by those who read Maildirs.
type leftovers struct {
	mu    sync.Mutex
	names []string
}

// maxLeftovers is how many are kept in mind.
const maxLeftovers = 10_000

func (l *leftovers) add(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.names) < maxLeftovers {
		l.names = append(l.names, name)
	}
}

// forget is for a name that is about to be used again.
func (l *leftovers) forget(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.names = slices.DeleteFunc(l.names, func(n string) bool { return n == name })
}

// clear removes them, as far as it can: what fails is for the next time.
func (l *leftovers) clear(fsys disk.FS) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n, name := range l.names {
		if err := fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			l.names = l.names[n:]
			return
		}
	}
	l.names = nil
}
