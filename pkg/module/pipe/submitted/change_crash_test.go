package submitted

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/mail"
)

// variants are the settings between which these tests change.
func variants() []*Settings {
	set := func(change func(*Settings)) *Settings {
		s := Defaults()
		s.Channels = 3
		s.Foreign = []Foreign{{Directory: "/Other", Source: "PIPE"}}
		change(&s)
		return &s
	}
	return []*Settings{
		set(func(*Settings) {}),
		set(func(s *Settings) { s.Foreign = nil }),
		set(func(s *Settings) { s.Enabled = false }),
		set(func(s *Settings) { s.ReturnPath, s.Channels = "ann@a.example", 1 }),
		set(func(s *Settings) { s.Directory, s.Foreign = "/Other", nil }),
		set(func(s *Settings) { s.Foreign[0].Force, s.Foreign[0].ReturnPath = true, "<>" }),
		set(func(s *Settings) { s.Foreign[0].Directory = "/link" }), // the same
	}
}

// A chain is lives on one disk.
type chain struct {
	*life
	now *Settings // those that count
}

func newChain(t *testing.T, mode string) *chain {
	c := &chain{life: &life{disk: crashdisk.New(-1), out: &outside{got: map[string]map[mail.ID]bool{}}, mode: mode, log: &logged{}}}
	put(t, c.disk, "Submitted", "Other")
	return c
}

// run is a life that begins with settings; what each step of the disk does it is told by
// step, which may return other settings that count from there on, and a fault. Power goes
// after some steps; negative: never.
func (c *chain) run(t *testing.T, power int, begin *Settings, step func(n int, operation, name string) (*Settings, error)) {
	t.Helper()
	c.disk.PowerFor(-1)
	c.set, c.now = begin, begin
	n := 0
	err := c.live(func() {
		c.disk.PowerFor(power)
		src := c.src
		c.disk.Fail(func(operation, name string) error {
			next, fault := step(n, operation, name)
			n++
			if next != nil {
				c.now = next
				src.Use(next)
			}
			return fault
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	c.disk.Fail(nil)
}

func quietly(int, string, string) (*Settings, error) { return nil, nil }

// Settings change again and again while files are taken; power is lost, or the process
// dies, at each step; the next start begins with the settings that counted then, which may
// not have the directories any more in which files were taken; it is cut off, too. In the
// end each file is one message.
func TestOnceWhateverChanges(t *testing.T) {
	for _, mode := range []string{"nobody", "anybody"} {
		t.Run("asynchronously "+mode, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				stride := 4
				if racing {
					stride = 40
				}
				for n := 0; !t.Failed(); n += stride {
					alive := 0
					for seed := range 8 {
						if changeAt(t, mode, n+seed%stride, uint64(seed)) {
							alive++
						}
					}
					if alive == 8 { // they all came through: there are no more steps
						break
					}
				}
			})
		})
	}
}

func changeAt(t *testing.T, mode string, n int, seed uint64) (alive bool) {
	rng := rand.New(rand.NewPCG(seed, uint64(n)))
	sets := variants()
	toggle := func(int, string, string) (*Settings, error) {
		if rng.IntN(8) > 0 {
			return nil, nil
		}
		return sets[rng.IntN(len(sets))], nil
	}
	c := newChain(t, mode)
	c.run(t, n, sets[0], toggle)
	_, err := c.disk.Create("probe")
	alive = err == nil
	if seed%4 > 0 {
		c.disk = c.disk.Restart(rng)
	} // else the process has died
	if seed%2 == 0 { // after a third death the Enqueuer would hold messages
		c.run(t, rng.IntN(100), c.now, toggle)
	}
	c.disk = c.disk.Restart(rng)
	c.run(t, -1, c.now, quietly)
	c.run(t, -1, sets[0], quietly)
	for _, problem := range problems(c.life, 2*files) {
		t.Errorf("step %d, seed %d: %s", n, seed, problem)
	}
	if t.Failed() {
		t.Log(c.log.text())
	}
	return alive
}

// A directory goes from the settings while its files are taken, power is lost, the next
// starts know nothing of it from their settings, and then it comes back. Without one of the
// orders that carry it some file is two messages, or none.
func TestOrdersAreNeeded(t *testing.T) {
	lie := func(operation, at string) func(string, string) error {
		return func(op, name string) error {
			if op == operation && name == at {
				return crashdisk.Lie
			}
			return nil
		}
	}
	for _, tt := range []struct {
		name   string
		broken func(operation, name string) error
		caught bool
	}{
		{"all is in order", func(string, string) error { return nil }, false},
		{"the register is not written", lie("rename", registerFile), true},
		{"its name is not synced", lie("syncdir", "."), true},
		{"its bytes are not synced", lie("datasync", registerFile+".tmp"), true},
		{"the directory is not synced", lie("syncdir", "Other"), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				seeds, stride := 12, 1
				if !tt.caught {
					seeds, stride = 8, 2
				}
				if racing {
					stride *= 4
				}
				for n := 0; n < 160 && !t.Failed(); n += stride {
					for seed := range seeds {
						got := leaveAndCrash(t, n, uint64(seed), tt.broken)
						if len(got) > 0 && tt.caught {
							return
						}
						for _, problem := range got {
							t.Errorf("step %d, seed %d: %s", n, seed, problem)
						}
					}
				}
				if tt.caught {
					t.Error("nothing is wrong without it")
				}
			})
		})
	}
}

func leaveAndCrash(t *testing.T, n int, seed uint64, broken func(operation, name string) error) []string {
	rng := rand.New(rand.NewPCG(seed, uint64(n)))
	full, without := variants()[0], variants()[1]
	c := newChain(t, "nobody")
	c.run(t, n, full, func(i int, operation, name string) (*Settings, error) {
		if i == n-1-int(seed)*4 { // power goes soon after it, or when the directory is left
			return without, broken(operation, name)
		}
		return nil, broken(operation, name)
	})
	c.disk = c.disk.Restart(rng)
	for i := range 3 { // what was handed out in one is forgotten in the next
		if i == 2 {
			c.ended = func(l *life) { // it comes back; a start has it only if the register has
				l.src.Use(full)
				time.Sleep(lifetime)
			}
		}
		c.run(t, -1, without, func(_ int, operation, name string) (*Settings, error) { return nil, broken(operation, name) })
	}
	return problems(c.life, 2*files)
}

// A directory goes while files that it has taken cannot be removed: their messages wait
// for that, and for nothing else; meanwhile it can come back under another mapping, and
// files are taken from it. If the server stops first the next start does it, though the
// directory is not in its settings.
func TestOwedWhenADirectoryGoes(t *testing.T) {
	for name, end := range map[string]int{"it heals": 0, "it comes back": 1, "the next start": 2} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sets := variants()
				c := newChain(t, "nobody")
				sick := true
				var mu sync.Mutex
				fault := func(_ int, operation, name string) (*Settings, error) {
					mu.Lock()
					defer mu.Unlock()
					if sick && operation == "remove" && strings.HasPrefix(name, "Other/") {
						return nil, syscall.EIO
					}
					return nil, nil
				}
				heal := func() {
					mu.Lock()
					sick = false
					mu.Unlock()
					time.Sleep(lifetime)
				}
				c.ended = func(l *life) { // of 7 the 3 workers have taken 3
					l.src.Use(sets[1])
					time.Sleep(2 * grace)
					if n := l.out.len(); n != files || !l.log.has("nothing new is taken from it; files that are taken") {
						t.Errorf("%d are handed out, want those of the other directory, %d:\n%s", n, files, l.log.text())
					}
					switch end {
					case 0:
						heal()
						if n := l.out.len(); n != files+3 {
							t.Errorf("%d are handed out, want 3 more than %d", n, files)
						}
						if got := l.disk.Files(registerFile)[registerFile]; got != "\"Submitted\"\n" {
							t.Errorf("the register has %q", got)
						}
					case 1:
						l.src.Use(sets[3])
						time.Sleep(time.Second)
						heal()
						once2(t, l)
					}
				}
				c.run(t, -1, sets[0], fault)
				c.ended = nil
				c.run(t, -1, sets[1], quietly)
				c.run(t, -1, sets[0], quietly)
				once2(t, c.life)
			})
		})
	}
}

// once2 is once for two directories.
func once2(t *testing.T, l *life) {
	t.Helper()
	for _, problem := range problems(l, 2*files) {
		t.Error(problem)
	}
	if t.Failed() {
		t.Log(l.log.text())
	}
}

// A directory that could not be synced stays so when it goes and comes back, and under
// another mapping, until a restart.
func TestBrokenStaysBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sets := variants()
		c := newChain(t, "nobody")
		syncs := 0
		c.ended = func(l *life) {
			was := l.out.len()
			other := crashFolder{l.disk, "Other"}
			if err := other.Write("more"+sub, []byte(text(fmt.Sprint(2*files)))); err != nil {
				t.Error(err)
			}
			for _, i := range []int{1, 0, 3, 2, 4, 6} {
				l.src.Use(sets[i])
				time.Sleep(time.Minute)
			}
			if n := l.out.len(); n != was || was < files {
				t.Errorf("%d messages, %d before the changes: something is taken from a directory that cannot be synced", n, was)
			}
		}
		c.run(t, -1, sets[0], func(_ int, operation, name string) (*Settings, error) {
			if operation == "syncdir" && name == "Other" {
				if syncs++; syncs == 2 {
					return nil, syscall.EIO
				}
			}
			return nil, nil
		})
		c.ended = nil
		c.run(t, -1, sets[0], quietly)
		for _, problem := range problems(c.life, 2*files+1) {
			t.Error(problem)
		}
	})
}

// The register cannot be written, or read: nothing is claimed.
func TestNothingWithoutTheRegister(t *testing.T) {
	for name, fault := range map[string]func(operation, name string) error{
		"written": func(operation, name string) error {
			if operation == "write" && strings.HasPrefix(name, registerFile) {
				return syscall.ENOSPC
			}
			return nil
		},
		"synced": func(operation, name string) error {
			if operation == "syncdir" && name == "." {
				return syscall.EIO
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newChain(t, "nobody")
				c.ended = func(l *life) {
					if n := l.out.len(); n > 0 || len(l.disk.Files(taken)) > 0 || !l.log.has(registerFile) {
						t.Errorf("%d messages, files %q", n, slicesOf(l.disk.Files("")))
					}
					if name == "written" { // it heals
						l.disk.Fail(nil)
						time.Sleep(2 * pause)
						once2(t, l)
					}
				}
				c.run(t, -1, variants()[0], func(_ int, operation, name string) (*Settings, error) { return nil, fault(operation, name) })
				c.ended = nil
				c.run(t, -1, variants()[0], quietly)
				once2(t, c.life)
			})
		})
	}
	t.Run("read", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newChain(t, "nobody")
			f, err := c.disk.Create(registerFile)
			if err == nil {
				_, err = f.WriteAt([]byte("rubbish\n"), 0)
			}
			if err != nil {
				t.Fatal(err)
			}
			c.ended = func(l *life) {
				if n := l.out.len(); n > 0 || !l.log.has("it is damaged") {
					t.Errorf("%d messages:\n%s", n, l.log.text())
				}
			}
			c.run(t, -1, variants()[0], quietly)
		})
	})
}
