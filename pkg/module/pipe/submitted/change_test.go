package submitted

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cgq/pkg/mail"
)

// with are settings with foreign directories.
func with(all ...Foreign) *Settings {
	s := Defaults()
	s.Foreign = all
	return &s
}

// A directory comes, changes, is switched off with all others, comes back and goes, and
// what is in it is taken accordingly; the others go on.
func TestDirectoriesComeAndGo(t *testing.T) {
	other := t.TempDir()
	y := newYard(t, nil)
	y.run()
	dropIn(t, other, "a.sub", text("a"))
	y.Use(with(Foreign{Directory: other, ReturnPath: "one@old.example"}))
	until(t, "it is taken", func() bool { return y.into.count() == 1 })
	y.Use(with(Foreign{Directory: other, ReturnPath: "two@old.example", Source: "POP"}))
	dropIn(t, other, "b.sub", text("b"))
	until(t, "it is taken", func() bool { return y.into.count() == 2 })

	off := with(Foreign{Directory: other})
	off.Enabled = false
	y.Use(off)
	gone := func(n int) func() bool {
		return func() bool { return strings.Count(y.log.text(), "nothing is taken from it any more") == n }
	}
	until(t, "both are left", gone(2))
	y.drop("c.sub", text("c"))
	dropIn(t, other, "d.sub", text("d"))
	y.Use(with())
	until(t, "one of them is taken", func() bool { return y.into.count() == 3 })
	if got := namesIn(t, other); !slices.Equal(got, []string{"d.sub"}) {
		t.Errorf("left: %q, want d.sub", got)
	}
	y.Use(with(Foreign{Directory: other + "/."}))
	until(t, "the other one, too", func() bool { return y.into.count() == 4 })
	y.Use(with())
	until(t, "it is left again", gone(3))
	if b, err := os.ReadFile(filepath.Join(y.base, registerFile)); string(b) != "\"Submitted\"\n" {
		t.Errorf("the register has %q, %v", b, err)
	}
	y.stop()
	var got []string
	for _, e := range y.into.envs {
		got = append(got, e.Source.String()+" "+e.ReturnPath.String())
	}
	if want := []string{"PIPE one@old.example", "POP two@old.example", "PIPE postmaster@here.example", "PIPE postmaster@here.example"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	y.Use(with(Foreign{Directory: other})) // after the end it is nothing
}

// blind has no directory watched: all are looked at every minute.
func (y *yard) blind() {
	none := func(*hints) (func(), error) { return nil, errors.New("no watches are left") }
	y.find = func(path string, wished func() bool) (func() (folder, error), watch) {
		open, _ := y.onDisk(path, wished)
		return open, none
	}
	for _, d := range y.dirs {
		d.watch = none
	}
}

// A directory that is there under another name, or another mapping, is begun with when what
// has begun before is at its end; who changes the settings does not wait for that. The other
// directory goes on, with a file at which it is, too.
func TestRunsDoNotOverlap(t *testing.T) {
	for name, change := range map[string]func(other, link string) *Settings{
		"another mapping": func(other, _ string) *Settings { return with(Foreign{Directory: other, ReturnPath: "b@b.example"}) },
		"a symbolic link": func(_, link string) *Settings { return with(Foreign{Directory: link, ReturnPath: "b@b.example"}) },
	} {
		t.Run(name, func(t *testing.T) {
			other, link := t.TempDir(), filepath.Join(t.TempDir(), "link")
			if err := os.Symlink(other, link); err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				y := newYard(t, nil)
				y.blind()
				y.Use(with(Foreign{Directory: other, ReturnPath: "a@a.example"}))
				hold := make(chan struct{})
				var mu sync.Mutex
				var begun []string
				y.into.before = func(e *mail.Envelope) {
					mu.Lock()
					begun = append(begun, e.ReturnPath.String())
					mu.Unlock()
					<-hold
				}
				are := func(want ...string) {
					t.Helper()
					time.Sleep(2 * rescan)
					synctest.Wait()
					mu.Lock()
					defer mu.Unlock()
					if slices.Sort(begun); !slices.Equal(begun, want) {
						t.Errorf("begun for %q, want %q", begun, want)
					}
				}
				const postmaster = "postmaster@here.example"
				y.run()
				dropIn(t, other, "a.sub", text("a"))
				y.drop("c.sub", text("c"))
				are("a@a.example", postmaster)
				for range 10 { // on the way some are passed over
					y.Use(with())
					y.Use(change(other, link))
				}
				dropIn(t, other, "b.sub", text("b"))
				y.drop("d.sub", text("d"))
				are("a@a.example", postmaster, postmaster)
				if name == "a symbolic link" && !y.log.has("it is the same directory as "+other) {
					t.Error("the log does not say why nothing is taken")
				}
				close(hold)
				are("a@a.example", "b@b.example", postmaster, postmaster)
				y.stop()
			})
		})
	}
}

// Two names of one directory in the settings: one counts, and the log says so; when that
// goes it is the other.
func TestOneDirectoryTwice(t *testing.T) {
	link := filepath.Join(t.TempDir(), "link")
	y := newYard(t, nil)
	if err := os.Symlink(y.dir, link); err != nil {
		t.Fatal(err)
	}
	y.Use(with(Foreign{Directory: link}))
	y.run()
	until(t, "the log says so", func() bool { return y.log.has("nothing is taken under this name for now: it is the same directory") })
	y.drop("a.sub", text("a"))
	until(t, "it is taken", func() bool { return y.into.count() == 1 })
	for n, s := range []*Settings{with(), with(Foreign{Directory: link}), {Directory: link, MaxSize: 1 << 20, Channels: 1, Enabled: true}} {
		y.Use(s)
		y.drop("b.sub", text("b"))
		until(t, "it is taken, too", func() bool { return y.into.count() == n+2 })
	}
}

// What does not come to its end within the grace of a stop is put back.
func TestGraceWhenADirectoryGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, nil)
		y.dirs[0].watch = func(*hints) (func(), error) { return func() {}, nil }
		y.drop("a.sub", text("a"))
		y.into.hangs = true
		y.run()
		time.Sleep(time.Second)
		y.Use(&Settings{Directory: "Submitted"})
		time.Sleep(grace - time.Second)
		if names := y.names(); len(names) != 1 || tokenOf(names[0]) == "" {
			t.Errorf("the directory has %q while it is left, want a file that is taken", names)
		}
		time.Sleep(2 * time.Second)
		if names := y.names(); !slices.Equal(names, []string{"a.sub"}) {
			t.Errorf("the directory has %q, want a.sub", names)
		}
		y.stop()
	})
}

// What is taken in a directory that this start has not looked at is left for the next one,
// and the log says it once.
func TestTakenBeforeItCame(t *testing.T) {
	other := t.TempDir()
	name := takenName("a.sub", unique())
	y := newYard(t, nil)
	y.run()
	dropIn(t, other, "x", text("x"))
	if err := os.Rename(filepath.Join(other, "x"), filepath.Join(other, name)); err != nil {
		t.Fatal(err)
	}
	set := with(Foreign{Directory: other})
	for n := range 3 {
		y.Use(set)
		dropIn(t, other, "b.sub", text(fmt.Sprint("b", n)))
		until(t, "what comes is taken", func() bool { return y.into.count() == n+1 })
		y.Use(with())
		until(t, "it is left", func() bool { return strings.Count(y.log.text(), "nothing new is taken from it") == n+1 })
	}
	const said = "not looked at by it, are left for the next one"
	if got := namesIn(t, other); !slices.Equal(got, []string{name}) || strings.Count(y.log.text(), said) != 1 {
		t.Errorf("left: %q; the log:\n%s", got, y.log.text())
	}
	y.stop()
	y.remake(nil) // the register has it
	y.run()
	until(t, "it is put back", func() bool { return slices.Equal(namesIn(t, other), []string{"a.sub"}) })
	until(t, "it is left", func() bool { return strings.Count(y.log.text(), "nothing is taken from it any more") == 1 })
	y.Use(set)
	until(t, "it is taken", func() bool { return y.into.count() == 4 })
}

// What a start has found is brought to an end whatever becomes of the directory meanwhile:
// it goes, goes and comes back, or everything is switched off.
func TestChangesWhileTheQueueIsRead(t *testing.T) {
	for name, change := range map[string]func(y *yard, other string){
		"it goes":               func(y *yard, _ string) { y.Use(with()) },
		"it goes before":        nil, // it is in the register alone
		"it is switched off":    func(y *yard, other string) { s := with(Foreign{Directory: other}); s.Enabled = false; y.Use(s) },
		"it goes and comes":     func(y *yard, other string) { y.Use(with()); y.Use(with(Foreign{Directory: other})) },
		"it changes":            func(y *yard, other string) { y.Use(with(Foreign{Directory: other, Source: "POP"})) },
		"it comes under a link": func(y *yard, other string) { y.Use(with(Foreign{Directory: other + "-link"})) },
	} {
		t.Run(name, func(t *testing.T) {
			other := filepath.Join(t.TempDir(), "other")
			if err := errors.Join(os.Mkdir(other, 0o700), os.Symlink(other, other+"-link")); err != nil {
				t.Fatal(err)
			}
			token := [2]string{unique(), unique()}
			for i, token := range token {
				if err := os.WriteFile(filepath.Join(other, takenName(fmt.Sprint(i, sub), token)), []byte(text("x")), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			y := newYard(t, nil)
			y.read = make(chan struct{})
			set := func(s *Settings) { s.Foreign = []Foreign{{Directory: other}} }
			if change == nil {
				set = nil
				if err := os.WriteFile(filepath.Join(y.base, registerFile), []byte(strconv.Quote(other)+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			y.remake(set)
			y.run()
			if change != nil {
				change(y, other)
			}
			restored := false
			y.Reclaim(token[0], func() { restored = true })
			if names := namesIn(t, other); len(names) != 1 || !restored || tokenOf(names[0]) != token[1] {
				t.Errorf("restored is %v, the directory has %q; want the other file alone", restored, names)
			}
			close(y.read)
			if strings.Contains(name, "come") || name == "it changes" {
				until(t, "it is taken again", func() bool { return y.into.count() == 1 && len(namesIn(t, other)) == 0 })
				return
			}
			until(t, "it has its name back", func() bool { return slices.Equal(namesIn(t, other), []string{"1.sub"}) })
		})
	}
}

// The server stops in the middle of a change: what has begun comes to its end, the rest has
// its name.
func TestStopDuringAChange(t *testing.T) {
	other := t.TempDir()
	y := newYard(t, func(s *Settings) { s.Channels, s.Foreign = 2, []Foreign{{Directory: other}} })
	hold, begun := make(chan struct{}), make(chan struct{}, 100)
	y.into.before = func(*mail.Envelope) { begun <- struct{}{}; <-hold }
	for i := range 10 {
		dropIn(t, other, fmt.Sprint(i, sub), text(fmt.Sprint(i)))
	}
	y.run()
	<-begun
	<-begun
	y.Use(with())
	y.Use(with(Foreign{Directory: other, Source: "POP"}))
	stopped := make(chan struct{})
	go func() { y.stop(); close(stopped) }()
	until(t, "what was not begun has its name", func() bool {
		return len(slices.DeleteFunc(namesIn(t, other), func(n string) bool { return !strings.HasSuffix(n, sub) })) == 8
	})
	close(hold)
	<-stopped
	if n, names := y.into.count(), namesIn(t, other); n != 2 || len(names) != 8 {
		t.Errorf("%d are taken, left: %q; want 2 and 8", n, names)
	}
}

// Thousands of files come into directories that are changed all the time, by several: each
// is taken once, and nothing is left.
func TestManyChanges(t *testing.T) {
	const n = 3000
	dirs := []string{t.TempDir(), t.TempDir()}
	y := newYard(t, nil)
	dirs = append(dirs, y.dir)
	y.run()
	full := with(Foreign{Directory: dirs[0]}, Foreign{Directory: dirs[1]})
	off := with()
	off.Enabled = false
	sets := []*Settings{full, with(), off, with(Foreign{Directory: dirs[1], ReturnPath: "<>", Force: true}), with(Foreign{Directory: dirs[0], Source: "POP"})}
	written := make(chan struct{})
	var writers, changers sync.WaitGroup
	for w, dir := range dirs {
		writers.Go(func() {
			for i := w; i < n; i += len(dirs) {
				dropIn(t, dir, fmt.Sprint("x", i, sub), text(strconv.Itoa(i)))
			}
		})
	}
	for c := range 2 {
		changers.Go(func() {
			for i := c; ; i++ {
				select {
				case <-written:
					return
				default:
					y.Use(sets[i%len(sets)])
					time.Sleep(time.Duration(i%7) * time.Millisecond)
				}
			}
		})
	}
	writers.Wait()
	close(written)
	changers.Wait()
	y.Use(full)
	until(t, "all are taken", func() bool { return y.into.count() >= n })
	until(t, "nothing is left", func() bool {
		return len(namesIn(t, dirs[0]))+len(namesIn(t, dirs[1]))+len(y.names()) == 0
	})
	y.stop()
	if got := slices.Compact(y.into.subjects()); len(got) != n || y.into.count() != n {
		t.Errorf("%d messages, %d different ones, want %d", y.into.count(), len(got), n)
	}
}
