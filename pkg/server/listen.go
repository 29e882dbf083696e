package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"

	"cgq/pkg/serverlog"
	"cgq/pkg/settings"
)

// keyListen is in smtp.toml.
const keyListen = "receive.listen"

// A door is a listener that mail comes in at, with its address as the settings have it.
type door struct {
	address string
	net.Listener
}

// doors are those that are open.
type doors struct {
	mu   sync.Mutex
	open []door
	hear func([]net.Listener) // has mail taken at these alone, and closes the others that it had; nil: nobody does yet
}

// all returns them.
func (d *doors) all() []door {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.open)
}

// use has mail taken at these alone.
func (d *doors) use(open []door) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = open
	listeners := make([]net.Listener, len(open))
	for i, o := range open {
		listeners[i] = o.Listener
	}
	if d.hear != nil {
		d.hear(listeners)
	}
}

// are reports whether they are those of the settings.
func (d *doors) are(addresses []string) bool {
	return slices.EqualFunc(d.all(), addresses, func(o door, address string) bool { return o.address == address })
}

func openDoor(address string) (door, error) {
	l, err := net.Listen("tcp", address)
	return door{address, l}, err
}

// openDoors binds. An address in use is found out before anything is done; and for a low
// port it takes root, whose rights are given up next.
func openDoors(c *config) (all []door, err error) {
	for _, address := range c.SMTP.Receive.Listen {
		d, err := openDoor(address)
		if err != nil {
			closeDoors(all)
			return nil, blame(c, err)
		}
		all = append(all, d)
	}
	return all, nil
}

func closeDoors(all []door) {
	for _, d := range all {
		d.Close()
	}
}

// blame is what is wrong with the addresses of a configuration, with file and line.
func blame(c *config, err error) error {
	return c.files.Blame(settingsDir, settings.Section{Name: "smtp", Value: &c.SMTP}, keyListen, err.Error())
}

// A rehanging is a change of doors that is prepared. It ends by done or by undo.
type rehanging struct {
	s     *server
	next  []door
	fresh []door // of next, those that were opened for it
	shut  []door // those that had to make room for one of these
	later bool   // it takes a start, since it takes root
}

// rehang opens what a configuration has and its predecessor has not. Its error is what is
// wrong with the settings; then all is as before. If somebody has an address it is
// perhaps one of ours that is to go, as 127.0.0.1:25 is where :25 comes: then that one
// goes first.
func (s *server) rehang(c *config) (*rehanging, error) {
	r := &rehanging{s: s}
	have := s.doors.all()
	var missing []int
	for _, address := range c.SMTP.Receive.Listen {
		i := slices.IndexFunc(have, func(d door) bool { return d.address == address })
		if i < 0 {
			missing = append(missing, len(r.next))
			r.next = append(r.next, door{address: address})
			continue
		}
		r.next = append(r.next, have[i])
		have = slices.Delete(have, i, i+1)
	}
	for _, i := range missing { // have: what is to go
		d, err := openDoor(r.next[i].address)
		if errors.Is(err, syscall.EADDRINUSE) && r.makeRoom(d.address, &have) {
			d, err = openDoor(d.address)
		}
		switch {
		case errors.Is(err, syscall.EACCES) && os.Geteuid() != 0:
			r.undo()
			return &rehanging{s: s, later: true}, nil
		case err != nil:
			r.undo()
			return nil, blame(c, err)
		}
		r.next[i], r.fresh = d, append(r.fresh, d)
	}
	return r, nil
}

// makeRoom closes those of the doors that are to go which have the port of an address, and
// says whether there were any.
func (r *rehanging) makeRoom(address string, going *[]door) bool {
	has := func(d door) bool { return portOf(d.Addr().String()) == portOf(address) }
	var closed []door
	for _, d := range *going {
		if has(d) {
			closed = append(closed, d)
		}
	}
	*going = slices.DeleteFunc(*going, has)
	r.shut = append(r.shut, closed...)
	r.s.doors.use(slices.DeleteFunc(r.s.doors.all(), func(d door) bool { return slices.Contains(closed, d) }))
	return len(closed) > 0
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address) // Validate has seen it
	return port
}

// done has mail taken at the new doors, and the others closed.
func (r *rehanging) done() {
	if r.later {
		return
	}
	r.s.doors.use(r.next)
	for _, d := range r.fresh {
		r.s.system.Log(context.Background(), serverlog.Major, "listening", "role", "mx", "address", d.Addr().String())
	}
}

// undo leaves the doors as they were.
func (r *rehanging) undo() {
	closeDoors(r.fresh)
	if len(r.shut) == 0 {
		return
	}
	open := r.s.doors.all()
	for _, was := range r.shut {
		d, err := openDoor(was.Addr().String())
		if err != nil {
			r.s.system.Error(fmt.Sprintf("no mail is taken at %s any more: %v", was.Addr(), err))
			continue
		}
		open = append(open, door{was.address, d.Listener})
	}
	r.s.doors.use(open)
}
