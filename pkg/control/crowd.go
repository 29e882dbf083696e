package control

import (
	"cmp"
	"net"
	"net/http"
	"os"
	"sync"
)

// How many connections there are at a time. Who opens more is told so; who opens twice as
// many is hung up on. One user cannot keep another out, and nobody the administrator.
const (
	maxOwner  = 512 // of root, and of the user that the daemon runs as
	maxUser   = 64  // of another user
	maxOthers = 256 // of all other users together
)

// A crowd counts connections by user. The zero crowd has none.
type crowd struct {
	mu     sync.Mutex
	conns  map[net.Conn]uint32 // with the user of each
	users  map[uint32]int
	others int // of those that are neither root nor the daemon's user
}

// A place is what a connection finds.
type place int

const (
	room  place = iota
	full        // it is told so
	crush       // it is hung up on
)

func owner(uid uint32) bool { return uid == 0 || int(uid) == os.Geteuid() }

// enter counts a connection, till leave; of one user, and of others, there may be so many,
// 0: the standard.
func (c *crowd) enter(conn net.Conn, uid uint32, ofUser, ofOthers int) place {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conns == nil {
		c.conns, c.users = map[net.Conn]uint32{}, map[uint32]int{}
	}
	c.conns[conn] = uid
	c.users[uid]++
	if owner(uid) {
		return judge(c.users[uid], maxOwner)
	}
	c.others++
	return max(judge(c.users[uid], cmp.Or(ofUser, maxUser)), judge(c.others, cmp.Or(ofOthers, maxOthers)))
}

func judge(n, limit int) place {
	switch {
	case n > 2*limit:
		return crush
	case n > limit:
		return full
	}
	return room
}

// leave is called when a connection is closed.
func (c *crowd) leave(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	uid, ok := c.conns[conn]
	if !ok {
		return
	}
	delete(c.conns, conn)
	if c.users[uid]--; c.users[uid] == 0 {
		delete(c.users, uid)
	}
	if !owner(uid) {
		c.others--
	}
}

// state is a ConnState of [http.Server].
func (c *crowd) state(conn net.Conn, s http.ConnState) {
	if s == http.StateClosed || s == http.StateHijacked {
		c.leave(conn)
	}
}
