package powercut

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"cgq/pkg/endtoend/recorder"
)

// perRecording is how many cuts are made of one recording.
const perRecording = 50

// acknowledged is how many messages a recording lasts, in each of its three parts.
const acknowledged = 250

func TestPowerCuts(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes minutes")
	}
	needDevices(t, "/dev/fuse", "/dev/loop-control")
	for _, f := range fileSystems {
		t.Run(f.name, func(t *testing.T) {
			need(t, f.tools...)
			t.Parallel()
			rng := rand.New(rand.NewPCG(rand.Uint64(), 0))
			var sum verdict
			share := (*cuts + len(fileSystems) - 1) / len(fileSystems)
			for done := 0; done < share; {
				w := record(t, &f)
				for n := min(share, done+perRecording); done < n; {
					sum.add(w.cut(t, rng))
					if done++; done%100 == 0 || done == share {
						fmt.Printf("%s: %d cuts, %v\n", f.name, done, &sum)
					}
				}
				w.forget(t)
			}
		})
	}
}

// A world is a recording and what was said outside.
type world struct {
	fileSystem *fileSystem
	dir        string
	recording  *recorder.Recording
	ledger     *ledger
	fast       string
}

// record lets a daemon work on a new disk: it is stopped and started once, and killed
// and started once.
func record(t *testing.T, f *fileSystem) *world {
	t.Helper()
	d := newDisk(t, f)
	r := d.recording
	k, err := startSink("127.0.0.1:0", r.Now)
	check(t, err)
	defer k.stop()
	k.refuse(laterDomain, 421)
	s := newSite(t, filepath.Join(d.mounted, "cgq"), k.address)
	l := &ledger{FileSystem: f.name}
	sending := &load{ledger: l, now: r.Now, kinds: mixed}
	acting := &administrator{load: sending, site: s, sink: k}
	running := false
	start := func() {
		address, err := s.start()
		check(t, err)
		sending.address.Store(&address)
		if !running {
			running = true
			s.accounts(t)
			unix.Sync()
			l.Ready = r.Now()
			sending.start(8)
			acting.start()
		}
	}
	defer func() { _ = s.end(syscall.SIGKILL) }() // after a failure
	defer sending.over.Store(true)
	defer acting.over.Store(true)
	for n, end := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL, syscall.SIGTERM} {
		start()
		wait(t, func() (bool, string) {
			got := l.accepted()
			return got >= (n+1)*acknowledged, fmt.Sprintf("%d messages acknowledged", got)
		})
		if n == 2 {
			sending.stop()
			acting.stop()
		}
		death := killing{Begun: r.Now()}
		check(t, s.end(end))
		if end == syscall.SIGKILL {
			wait(t, func() (bool, string) { return k.quiet(), "the sink has sessions with the dead" })
			death.Over = r.Now()
			l.Kills = append(l.Kills, death)
		}
	}
	l.Arrivals = k.has()
	check(t, d.end())
	t.Logf("recorded %v from %v on; %d messages, %d acts, %d arrivals",
		r.Now(), l.Ready, len(l.Sent), len(l.Acts), len(l.Arrivals))
	check(t, l.save(filepath.Join(d.dir, "ledger")))
	return &world{f, d.dir, r, l, fast(t)}
}

// forget gives back what the recording takes.
func (w *world) forget(t *testing.T) {
	t.Helper()
	check(t, w.recording.Close())
	for _, name := range []string{"log", "disk"} {
		check(t, os.Truncate(filepath.Join(w.dir, name), 0))
	}
}

// cut makes one power cut at a random place, and fails the test when it must not have
// had the consequences that it had.
func (w *world) cut(t *testing.T, rng *rand.Rand) *verdict {
	t.Helper()
	c := w.choose(rng)
	v := w.try(t, c)
	if bad := v.bad(); len(bad) > 0 {
		t.Fatalf("%s\na cut after %d of %d operations: %v; to see it again:\n"+
			"go test ./pkg/endtoend/powercut -run TestAgain -v -args -replay %s -cut %d:%d",
			strings.Join(bad, "\n"), c.Ops, w.recording.Now().Ops, v, w.dir, c.Ops, c.Seed)
	}
	return v
}

// choose takes a random cut.
func (w *world) choose(rng *rand.Rand) recorder.Cut {
	first, end := w.ledger.Ready.Ops+1, w.recording.Now().Ops
	return recorder.Cut{Ops: first + rng.IntN(end-first+1), Seed: rng.Uint64(), Unit: w.fileSystem.unit}
}

// try lets the power fail and come back.
func (w *world) try(t *testing.T, c recorder.Cut) *verdict {
	t.Helper()
	a, err := w.restart(t, c)
	if err != nil {
		t.Fatalf("%s, a cut after %d operations, seed %d, recording %s: %v", w.fileSystem.name, c.Ops, c.Seed, w.dir, err)
	}
	return judge(w.ledger, cutAt{at: w.recording.At(c.Ops)}, a)
}

// image writes a state of a disk after a cut into a file.
func (w *world) image(t *testing.T, r *recorder.Recording, c recorder.Cut) (name string) {
	t.Helper()
	name = filepath.Join(w.fast, "image")
	file, err := os.Create(name)
	check(t, err, file.Truncate(r.Size()))
	_, err = r.Image(file, c)
	check(t, err, file.Close())
	return name
}

// imageAgain is image, but the power comes back, and fails a second time while the
// file system and cgqd recover, or soon after.
func (w *world) imageAgain(t *testing.T, c recorder.Cut) (name string) {
	t.Helper()
	d := serve(t, w.fast, w.recording.Size())
	_, err := w.recording.Image(d.recording, c)
	check(t, err, d.recording.Flush())
	first := d.recording.Now().Ops
	check(t, d.mount(t, w.fileSystem))
	s := &site{base: filepath.Join(d.mounted, "cgq"), bin: built(t)}
	_, err = s.clearWay()
	check(t, err)
	s.set(t, "smtp", "relay", `"127.0.0.1:1"`) // nobody listens: what arrives is counted later
	_, err = s.start()
	check(t, err, s.end(syscall.SIGKILL))
	rng := rand.New(rand.NewPCG(c.Seed, 1))
	second := recorder.Cut{Ops: first + rng.IntN(d.recording.Now().Ops-first+1), Seed: rng.Uint64(), Unit: c.Unit}
	check(t, d.end())
	name = w.image(t, d.recording, second)
	check(t, d.recording.Close(), os.RemoveAll(d.dir))
	return name
}

// restart makes the disk as it may look after the cut, and lets a daemon work there
// until its queue is empty. After some cuts the power fails once more meanwhile.
func (w *world) restart(t *testing.T, c recorder.Cut) (a *after, err error) {
	t.Helper()
	image, deep := "", c.Seed%4 == 0
	if deep {
		image = w.imageAgain(t, c)
	} else {
		image = w.image(t, w.recording, c)
	}
	dir := filepath.Join(w.fast, "after")
	check(t, os.MkdirAll(dir, 0o700))
	unmount, err := w.fileSystem.mount(t, image, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unmount(), os.Remove(image)) }()

	k, err := startSink("127.0.0.1:0", nil)
	check(t, err)
	defer k.stop()
	s := &site{base: filepath.Join(dir, "cgq"), bin: built(t)}
	s.set(t, "smtp", "relay", strconv.Quote(k.address))
	defer func() { err = errors.Join(err, s.end(syscall.SIGKILL)) }()
	a = &after{delayed: map[string]bool{}, left: map[string]bool{}}
	if a.strays, err = s.clearWay(); err != nil {
		return nil, err
	}
	if _, err = s.start(); err != nil {
		return nil, err
	}
	rows, err := s.queue()
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		a.delayed[r.Queue] = a.delayed[r.Queue] || r.waits() && !deep
	}
	left, err := s.drain()
	if err != nil {
		return nil, err
	}
	for _, r := range left {
		a.left[fmt.Sprint(r.ID)] = true
	}
	f, err := s.look()
	if err != nil {
		return nil, err
	}
	if f.trash, err = s.trashed(); err != nil {
		return nil, err
	}
	a.found, a.arrivals = *f, k.has()
	return a, nil
}

// The judge has to see it when a reply comes before its message is durable, and when
// the disk forgets what was flushed.
func TestBrokenPromisesAreSeen(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	needDevices(t, "/dev/fuse", "/dev/loop-control")
	f := fileSystems[0]
	need(t, f.tools...)
	w := record(t, &f)
	rng := rand.New(rand.NewPCG(rand.Uint64(), 0))
	for _, tt := range []struct {
		name        string
		early, lies int
	}{
		{"acknowledged 20 flushes too early", 20, 0},
		{"a disk that lies", 0, 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var sum verdict
			for n := 0; n < 10 && len(sum.lost) == 0; n++ {
				c := w.choose(rng)
				c.Lies = tt.lies
				a, err := w.restart(t, c)
				if err != nil { // a disk that lies may take everything with it
					sum.lost = append(sum.lost, err.Error())
					continue
				}
				sum.add(judge(w.ledger, cutAt{at: w.recording.At(c.Ops), early: tt.early}, a))
			}
			if len(sum.lost) == 0 {
				t.Errorf("%v; want some lost", &sum)
			}
			t.Log(&sum)
		})
	}
}

// TestAgain makes one cut of a kept recording again. Where the power failed a second
// time during recovery, that is not at quite the same place.
func TestAgain(t *testing.T) {
	if *replay == "" {
		t.Skip("for a recording that a failure has left: -replay and -cut")
	}
	needDevices(t, "/dev/fuse", "/dev/loop-control")
	var c recorder.Cut
	_, err := fmt.Sscanf(*again, "%d:%d", &c.Ops, &c.Seed)
	check(t, err)
	l, err := loadLedger(filepath.Join(*replay, "ledger"))
	check(t, err)
	r, err := recorder.Open(*replay)
	check(t, err)
	defer r.Close()
	w := &world{dir: *replay, recording: r, ledger: l, fast: fast(t)}
	for i := range fileSystems {
		if fileSystems[i].name == l.FileSystem {
			w.fileSystem = &fileSystems[i]
		}
	}
	c.Unit = w.fileSystem.unit
	v := w.try(t, c)
	t.Log(v)
	if bad := v.bad(); len(bad) > 0 {
		t.Error(strings.Join(bad, "\n"))
	}
}
