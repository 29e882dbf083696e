package extfilter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"cgq/pkg/serverlog"
)

// Filters are all External Filters of the server. They are safe for concurrent use.
type Filters struct {
	base string
	host func() string
	log  *slog.Logger

	mu     sync.Mutex
	all    map[string]*filter // by the name in small letters
	closed bool
	ending sync.WaitGroup // of those that are not used any more
}

// A filter is one of them.
type filter struct {
	Filter
	client client
	asking sync.WaitGroup // it is not closed while somebody asks
}

// A client speaks with a filter.
type client interface {
	// filter asks. An error says that there is no answer, and why.
	filter(ctx context.Context, r *Request) (Answer, error)
	// close ends what is going on.
	close()
}

// New returns no filters at all. Programs run in the base directory; host is the name of
// this server; log has the tag EXTFILTER.
func New(base string, host func() string, log *slog.Logger) *Filters {
	return &Filters{base: base, host: host, log: log, all: map[string]*filter{}}
}

// Use makes the filters those of the settings. One whose settings are as they were goes on
// as it is; one that has changed is another one, and the old one ends when nobody asks it
// any more.
func (f *Filters) Use(s *Settings) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	all := map[string]*filter{}
	for _, set := range s.Filters {
		set = set.complete()
		key := strings.ToLower(set.Name)
		if old := f.all[key]; old != nil && old.Filter == set {
			all[key] = old
			delete(f.all, key)
			continue
		}
		all[key] = &filter{Filter: set, client: f.client(set)}
	}
	old := f.all
	f.all = all
	for _, x := range old {
		f.end(x)
	}
}

// client makes the one of a filter; of a disabled one there is none.
func (f *Filters) client(set Filter) client {
	log := serverlog.Session(f.log, 0, set.Name)
	switch {
	case set.Disabled:
		return nil
	case set.Kind == kindMilter:
		network, address, _ := milterAddress(set.Address) // Validate has seen it
		return newMilter(milterOptions{network: network, address: address, host: f.host, log: log})
	case set.Kind == kindRspamd:
		return newRspamd(rspamdOptions{url: set.URL, password: set.Password, spamHeader: set.SpamHeader, host: f.host, log: log})
	}
	return newHelper(set, f.base, log)
}

// end closes a filter when nobody asks it any more.
func (f *Filters) end(x *filter) {
	if x.client == nil {
		return
	}
	f.ending.Go(func() {
		x.asking.Wait()
		x.client.close()
	})
}

// Close ends all filters, and waits for that. Then none is available.
func (f *Filters) Close() {
	f.mu.Lock()
	f.closed = true
	for _, x := range f.all {
		f.end(x)
	}
	f.all = map[string]*filter{}
	f.mu.Unlock()
	f.ending.Wait()
}

// ErrUnknown is returned by Filter for a name that no filter has.
var ErrUnknown = errors.New("there is no External Filter of that name")

// Names are those of all filters, the disabled ones too.
func (s *Settings) Names() []string {
	names := map[string]bool{}
	for _, x := range s.Filters {
		names[x.Name] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// Filter asks the filter of that name, in any case. A disabled one accepts everything
// (communigate: the action is a null operation). The error matches [*Unavailable] when
// there is no answer, [ErrUnknown], or is that of ctx.
func (f *Filters) Filter(ctx context.Context, name string, r *Request) (Answer, error) {
	f.mu.Lock()
	x := f.all[strings.ToLower(name)]
	if x == nil {
		f.mu.Unlock()
		return Answer{}, fmt.Errorf("%w: %s", ErrUnknown, name)
	}
	x.asking.Add(1)
	f.mu.Unlock()
	defer x.asking.Done()
	if x.client == nil {
		return Answer{Notes: []string{"it is disabled"}}, nil
	}
	asking, cancel := context.WithTimeoutCause(ctx, x.Timeout.D(), errTimeout)
	defer cancel()
	a, err := x.client.filter(asking, r)
	switch {
	case err == nil:
		return a, nil
	case ctx.Err() != nil:
		return Answer{}, context.Cause(ctx)
	case errors.Is(err, context.DeadlineExceeded):
		err = errTimeout
	}
	return Answer{}, &Unavailable{Name: x.Name, Why: err.Error(), Wait: x.WhenDown == downWait}
}

// errTimeout is what the product says.
var errTimeout = errors.New("external helper timed out")
