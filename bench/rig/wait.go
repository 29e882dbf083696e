package rig

import (
	"context"
	"errors"
	"net"
	"strconv"
	"time"
)

// Poll asks every so often until done says so.
func Poll(ctx context.Context, every time.Duration, done func() (bool, error)) error {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-t.C:
		}
	}
}

// Cause says why ctx ended, where that is why err came.
func Cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil {
		return c
	}
	return err
}

// firstPort is below the ports that clients get, so that none of the many connections
// of a run sits on a port that the next server needs.
const firstPort = 21000

// Ports gives out ports of 127.0.0.1.
type Ports struct{ given int }

// Next finds a free port; each is used for one server only.
func (p *Ports) Next() (int, error) {
	for ; p.given < 5000; p.given++ {
		l, err := net.Listen("tcp", Address(firstPort+p.given))
		if err != nil {
			continue
		}
		l.Close()
		p.given++
		return firstPort + p.given - 1, nil
	}
	return 0, errors.New("no free port on 127.0.0.1 from 21000 to 25999")
}

// Address is that of a port.
func Address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
