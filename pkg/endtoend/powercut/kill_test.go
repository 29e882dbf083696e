package powercut

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"cgq/pkg/endtoend/recorder"
)

// A clock counts what happens: each moment is later than all before it.
type clock struct{ n atomic.Int64 }

func (c *clock) now() recorder.Moment { return recorder.Moment{Ops: int(c.n.Add(1))} }

// quick is mail that nobody lets wait.
var quick = []kind{
	{50, []string{"x@remote.test"}, 300, 6000},
	{15, []string{"x@remote.test", "y@remote.test", "z@other.test", ann}, 300, 6000},
	{20, []string{bob}, 300, 6000},
	{10, []string{"nobody@remote.test", "x@remote.test"}, 300, 3000},
	{5, []string{"x@remote.test", bob}, 33 << 10, 80 << 10}, // over inline_limit
}

// The daemon is killed at any moment while mail comes and goes, again and again:
// whatever was acknowledged arrives, and nothing whose arrival was recorded comes again.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a while")
	}
	for _, mode := range []string{"nobody", "anybody"} { // chapter: Enqueue Asynchronously
		t.Run(mode, func(t *testing.T) { killUnderLoad(t, mode) })
	}
}

// killUnderLoad is TestKill in a mode.
func killUnderLoad(t *testing.T, mode string) {
	t.Helper()
	var c clock
	k, err := startSink("127.0.0.1:0", c.now)
	check(t, err)
	defer k.stop()
	s := newSite(t, filepath.Join(t.TempDir(), "cgq"), k.address)
	s.set(t, "queue", "enqueue_asynchronously", `"`+mode+`"`)
	sending := &load{ledger: &ledger{}, now: c.now, kinds: quick}
	defer func() { _ = s.end(syscall.SIGKILL) }() // after a failure
	defer sending.over.Store(true)
	rng := rand.New(rand.NewPCG(rand.Uint64(), 0))
	for n := range *rounds {
		live(t, s, sending)
		if n == 0 {
			s.accounts(t)
			sending.start(16)
		}
		enough := sending.ledger.accepted() + rng.IntN(300) // 0: as soon as it is ready
		wait(t, func() (bool, string) {
			got := sending.ledger.accepted()
			return got >= enough, fmt.Sprintf("%d messages acknowledged, want %d", got, enough)
		})
		death := killing{Begun: c.now()}
		check(t, s.end(syscall.SIGKILL))
		wait(t, func() (bool, string) { return k.quiet(), "the sink has sessions with the dead" })
		death.Over = c.now()
		sending.ledger.Kills = append(sending.ledger.Kills, death)
		if (n+1)%10 == 0 {
			fmt.Printf("%d rounds, %d messages acknowledged, %d arrivals\n", n+1, sending.ledger.accepted(), len(k.has()))
		}
	}
	live(t, s, sending)
	sending.stop()
	v := finish(t, s, k, sending.ledger)
	fmt.Printf("%d rounds of SIGKILL: %v\n", *rounds, v)
	if bad := v.bad(); len(bad) > 0 {
		t.Error(strings.Join(bad, "\n"))
	}
	if v.owed == 0 {
		t.Error("nothing was acknowledged")
	}
}

// live starts the daemon, and tells the senders where it is.
func live(t *testing.T, s *site, sending *load) {
	t.Helper()
	address, err := s.start()
	check(t, err)
	sending.address.Store(&address)
}

// finish lets the queue drain when nothing is sent any more, and judges.
func finish(t *testing.T, s *site, k *sink, l *ledger) *verdict {
	t.Helper()
	left, err := s.drain()
	check(t, err)
	if len(left) > 0 {
		t.Errorf("%d messages do not leave the queue, one of them %+v", len(left), left[0])
	}
	var f *found
	wait(t, func() (bool, string) { // a checkpoint takes away what has gone
		f, err = s.look()
		check(t, err)
		return len(f.files) == 0, fmt.Sprintf("%d files of nobody are left: %v", len(f.files), f.files)
	})
	l.Arrivals = k.has()
	return judgeLives(l, &after{found: *f})
}
