package access

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"cgq/pkg/control"
)

const (
	// groupsFor is how long the groups of a user are believed: so long after a change of
	// /etc/group he may do what he could before.
	groupsFor = 10 * time.Second
	// maxCached is how many users' groups are kept.
	maxCached = 1000
)

// Names asks the operating system.
type Names struct {
	User   func(name string) (uint32, error)
	Group  func(name string) (uint32, error)
	Groups func(uid uint32) ([]uint32, error) // of a user, with his first one; none: there is no such user
}

// System is the operating system that we run on.
func System() Names {
	return Names{
		User: func(name string) (uint32, error) {
			u, err := user.Lookup(name)
			if err != nil {
				return 0, missing("user", name, err)
			}
			return parse(u.Uid)
		},
		Group: func(name string) (uint32, error) {
			g, err := user.LookupGroup(name)
			if err != nil {
				return 0, missing("group", name, err)
			}
			return parse(g.Gid)
		},
		Groups: groups,
	}
}

func missing(what, name string, err error) error {
	_, user1 := errors.AsType[user.UnknownUserError](err)
	_, group1 := errors.AsType[user.UnknownGroupError](err)
	if user1 || group1 {
		return fmt.Errorf("there is no %s %q", what, name)
	}
	return fmt.Errorf("%s %q: %w", what, name, err)
}

func groups(uid uint32) (all []uint32, err error) {
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if _, unknown := errors.AsType[user.UnknownUserIdError](err); unknown {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ids, err := u.GroupIds()
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		gid, err := parse(id)
		if err != nil {
			return nil, err
		}
		all = append(all, gid)
	}
	return all, nil
}

func parse(id string) (uint32, error) {
	n, err := strconv.ParseUint(id, 10, 32)
	return uint32(n), err
}

// A Door knows who may do what by the settings of now. It is safe for concurrent use.
type Door struct {
	names Names
	log   *slog.Logger
	table atomic.Pointer[Table]

	mu    sync.Mutex
	known map[uint32]known
}

// A known is the groups of a user, for a while.
type known struct {
	gids  []uint32
	until time.Time
}

// New returns a door that is open to root and the daemon's user alone, till Use. The log
// hears when groups cannot be looked up.
func New(names Names, log *slog.Logger) *Door {
	d := &Door{names: names, log: log, known: map[uint32]known{}}
	d.table.Store(new(Table))
	return d
}

// Use makes a table the current one.
func (d *Door) Use(t *Table) { d.table.Store(t) }

// Rights is a Grant of [control.Mux].
func (d *Door) Rights(who control.Actor) (all []control.Right) {
	granted := d.Granted(who)
	for _, r := range control.Rights() {
		if slices.ContainsFunc(granted, func(g control.Granted) bool { return slices.Contains(g.Rights, r) }) {
			all = append(all, r)
		}
	}
	return all
}

// Granted is what a caller has been granted, and by what.
func (d *Door) Granted(who control.Actor) []control.Granted {
	switch {
	case who.UID == 0:
		return []control.Granted{{By: "root", Rights: control.Rights()}}
	case int(who.UID) == os.Geteuid():
		return []control.Granted{{By: "the user that cgqd runs as", Rights: control.Rights()}}
	}
	t := d.table.Load()
	if !t.Others() {
		return nil
	}
	return t.granted(who.UID, append(d.groups(who.UID), who.GID))
}

// groups are those of a user. When they cannot be looked up he has none.
func (d *Door) groups(uid uint32) []uint32 {
	now := time.Now()
	d.mu.Lock()
	k, ok := d.known[uid]
	d.mu.Unlock()
	if ok && now.Before(k.until) {
		return slices.Clone(k.gids)
	}
	gids, err := d.names.Groups(uid) // may take long; only he waits
	if err != nil {
		d.log.Warn("the groups of a user cannot be looked up, what they have is not granted to him: "+err.Error(), "uid", uid)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.known) >= maxCached {
		clear(d.known)
	}
	d.known[uid] = known{gids, now.Add(groupsFor)}
	return slices.Clone(gids)
}
