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
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cgq/pkg/mail"
	"cgq/pkg/module"
)

// A counted folder counts its syncs.
type counted struct {
	folder
	syncs atomic.Int64
}

func (c *counted) Sync() error {
	c.syncs.Add(1)
	return c.folder.Sync()
}

// Many files at once are all taken, once each, with few syncs; so are those that are put
// there meanwhile, by many.
func TestManyFiles(t *testing.T) {
	const n = 3000
	y := newYard(t, nil)
	f, err := openFolder(y.dir)
	if err != nil {
		t.Fatal(err)
	}
	c := &counted{folder: f}
	y.dirs[0].opened = func() (folder, error) { return c, nil }
	y.dirs[0].at = nil
	for i := range n / 2 {
		y.drop(fmt.Sprint("x", i, sub), text(strconv.Itoa(i)))
	}
	y.run()
	var writers sync.WaitGroup
	for w := range 3 {
		writers.Go(func() {
			for i := n / 2; i < n; i++ {
				if i%3 == w {
					y.drop(fmt.Sprint("x", i, sub), text(strconv.Itoa(i)))
				}
			}
		})
	}
	writers.Wait()
	until(t, "all are taken", func() bool { return y.into.count() == n })
	y.untilNames()
	y.stop()
	got := y.into.subjects()
	if got = slices.Compact(got); len(got) != n {
		t.Errorf("%d different ones came, want %d", len(got), n)
	}
	if n, taken := c.syncs.Load(), y.st.Counter("numSubmittedFiles").Value(); n > 1500 || taken != 3000 {
		t.Errorf("%d syncs and %d counted for 3000 files", n, taken)
	}
}

// Events are hints: a file of which none tells is taken by the next look at everything, and
// so are all when events are lost.
func TestLostEvents(t *testing.T) {
	y := newYard(t, nil)
	var h *hints
	watched := make(chan struct{})
	y.dirs[0].watch = func(to *hints) (func(), error) {
		h = to
		close(watched)
		return func() {}, nil
	}
	y.run()
	<-watched
	y.drop("first.sub", text("first"))
	until(t, "it is lost", func() bool { return slices.Equal(y.names(), []string{"first.sub"}) || y.into.count() == 1 })
	h.add("") // as after an overflow
	until(t, "it is taken", func() bool { return y.into.count() == 1 })
}

// Of more hints than are kept everything is looked at.
func TestHintsAreBounded(t *testing.T) {
	h := newHints()
	for i := range maxHints {
		h.add(strconv.Itoa(i))
		h.add("0")
	}
	if names, all := h.take(); len(names) != maxHints || all {
		t.Errorf("%d names, all is %v; want %d and false", len(names), all, maxHints)
	}
	for i := range maxHints + 10 {
		h.add(strconv.Itoa(i))
	}
	if names, all := h.take(); len(names) > 0 || !all {
		t.Errorf("%d names, all is %v; want none and true", len(names), all)
	}
	if names, all := h.take(); len(names) > 0 || all {
		t.Errorf("%d names, all is %v, taken twice", len(names), all)
	}
}

// Where nothing can be watched everything is looked at every minute.
func TestWithoutEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, nil)
		y.dirs[0].watch = func(*hints) (func(), error) { return nil, errors.New("no watches are left") }
		y.run()
		time.Sleep(time.Second)
		y.drop("x.sub", text("x"))
		synctest.Wait()
		if n := y.into.count(); n != 0 {
			t.Errorf("%d are taken, of which nobody knows", n)
		}
		time.Sleep(rescan)
		synctest.Wait()
		if n := y.into.count(); n != 1 {
			t.Errorf("%d are taken after a minute, want 1", n)
		}
		y.stop()
	})
}

// A directory that goes away and comes back, or another one in its place, is watched again.
func TestAnotherDirectory(t *testing.T) {
	y := newYard(t, nil)
	y.run()
	y.drop("a.sub", text("a"))
	until(t, "it is taken", func() bool { return y.into.count() == 1 })
	if err := os.Rename(y.dir, y.dir+".old"); err != nil {
		t.Fatal(err)
	}
	y.dirs[0].hints.add("") // the minute is over
	until(t, "there is another one", func() bool { _, err := os.Stat(y.dir); return err == nil })
	y.drop("b.sub", text("b"))
	until(t, "its file is taken", func() bool { return y.into.count() == 2 })
}

// What an earlier life has taken is put back, unless a message has it, and taken again.
func TestLeftByAnEarlierLife(t *testing.T) {
	y := newYard(t, nil)
	token := [2]string{unique(), unique()}
	y.write(takenName("a.sub", token[0]), text("a"))
	y.write(takenName("b.sub", token[1]), text("b"))
	y.write("c."+strings.Repeat("x", tokenBytes)+taken, text("c")) // none of ours
	y.remake(nil)
	restored := 0
	y.Reclaim(token[0], func() {
		if _, err := os.Stat(filepath.Join(y.dir, takenName("a.sub", token[0]))); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("its file is there: %v", err)
		}
		restored++
	})
	y.Reclaim(unique(), func() { restored++ })
	if restored != 2 {
		t.Errorf("%d messages are restored, want 2", restored)
	}
	y.run()
	until(t, "the other one is taken", func() bool { return y.into.count() == 1 })
	y.stop()
	if got := y.into.subjects(); !slices.Equal(got, []string{"b"}) {
		t.Errorf("got %q, want b", got)
	}
}

// What is put back takes nobody's place, and a long name has room for a token.
func TestNames(t *testing.T) {
	y := newYard(t, nil)
	token := unique()
	y.write(takenName("a.sub", token), text("a"))
	y.write("a.sub", text("another a"))
	long := strings.Repeat("n", 251) + sub
	y.drop2(long, text("long"))
	y.remake(nil)
	y.run()
	until(t, "all are taken", func() bool { return y.into.count() == 3 })
	y.untilNames()
	for name, want := range map[string]string{takenName("x.sub", token): token, "x.taken": "", token + taken: "",
		"." + token + taken: "", "x." + token: "", "x." + strings.ToUpper(token) + taken: ""} {
		if got := tokenOf(name); got != want && !(strings.ToUpper(token) == token) {
			t.Errorf("tokenOf(%q) = %q, want %q", name, got, want)
		}
	}
}

// drop2 is drop for a name that takes nothing more.
func (y *yard) drop2(name, text string) {
	y.t.Helper()
	y.write("tmp", text)
	if err := os.Rename(filepath.Join(y.dir, "tmp"), filepath.Join(y.dir, name)); err != nil {
		y.t.Fatal(err)
	}
}

// Directories of others are mapped; what is switched off is brought to an end all the same.
func TestForeignDirectories(t *testing.T) {
	other := t.TempDir()
	y := newYard(t, func(s *Settings) {
		s.Foreign = []Foreign{{Directory: other, Source: "POP", ReturnPath: "old@old.example", Force: true, Account: "ann@here.example"}}
	})
	y.run()
	if err := os.WriteFile(filepath.Join(other, "x.tmp"), []byte("Return-Path: <b@b.example>\n"+text("x")), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(other, "x.tmp"), filepath.Join(other, "x.sub")); err != nil {
		t.Fatal(err)
	}
	until(t, "it is taken", func() bool { return y.into.count() == 1 })
	y.stop()
	e := y.into.envs[0]
	if e.Source != mail.POP || e.Auth != "ann@here.example" || e.ReturnPath.String() != "old@old.example" {
		t.Errorf("envelope %+v", e)
	}
	y.write(takenName("a.sub", unique()), text("a"))
	y.remake(func(s *Settings) { s.Enabled = false })
	y.run()
	y.untilNames("a.sub")
}

func TestStopPutsBack(t *testing.T) {
	y := newYard(t, func(s *Settings) { s.Channels = 1 })
	hold, begun := make(chan struct{}), make(chan struct{}, 100)
	y.into.before = func(*mail.Envelope) { begun <- struct{}{}; <-hold }
	for i := range 10 {
		y.drop(fmt.Sprint("x", i, sub), text(strconv.Itoa(i)))
	}
	y.run()
	<-begun
	go func() {
		time.Sleep(50 * time.Millisecond)
		close(hold)
	}()
	y.stop()
	done := y.into.count()
	for _, name := range y.names() {
		if strings.HasSuffix(name, sub) {
			done++
		}
	}
	if done != 10 || y.into.count() == 0 {
		t.Errorf("%d taken, left %q; want all to be either", y.into.count(), y.names())
	}
}

// An Enqueuer that takes no files is said to be none.
func TestWrongEnqueuer(t *testing.T) {
	y := newYard(t, nil)
	if err := y.Run(t.Context(), struct{ module.Enqueuer }{}); err == nil {
		t.Error("Run = nil, want an error")
	}
}

func TestSettings(t *testing.T) {
	for want, change := range map[string]func(*Settings){
		"directory: it is empty":                                                 func(s *Settings) { s.Directory = "" },
		`directory: "../x" is not below the base directory`:                      func(s *Settings) { s.Directory = "../x" },
		`directory: "." is not below the base directory`:                         func(s *Settings) { s.Directory = "." },
		`directory: "Queue/x" has another use`:                                   func(s *Settings) { s.Directory = "Queue/x" },
		"max_size: 10 is not between 1K and 2G":                                  func(s *Settings) { s.MaxSize = 10 },
		"channels: 0 is not between 1 and 100":                                   func(s *Settings) { s.Channels = 0 },
		`owners: there is no user "nobody-of-that-name"`:                         func(s *Settings) { s.Owners = []string{"nobody-of-that-name"} },
		`return_path: not an address: "a b@c": the local part needs quotes`:      func(s *Settings) { s.ReturnPath = "a b@c" },
		`foreign[1].directory: "x" does not begin with /`:                        func(s *Settings) { s.Foreign = []Foreign{{Directory: "x"}} },
		`foreign[2].directory: "/x/" is there twice`:                             func(s *Settings) { s.Foreign = []Foreign{{Directory: "/x"}, {Directory: "/x/"}} },
		`foreign[1].source: "X" is no Submit Address tag, such as PIPE`:          func(s *Settings) { s.Foreign = []Foreign{{Directory: "/x", Source: "X"}} },
		"foreign[1].force_return_path: there is no return_path to take":          func(s *Settings) { s.Foreign = []Foreign{{Directory: "/x", Force: true}} },
		`foreign[1].account: not an address: "a b": the local part needs quotes`: func(s *Settings) { s.Foreign = []Foreign{{Directory: "/x", Account: "a b"}} },
		`foreign[1].owners: there is no user "-1"`:                               func(s *Settings) { s.Foreign = []Foreign{{Directory: "/x", Owners: []string{"-1"}}} },
		`foreign[1].return_path: not an address: "<a@b": no closing >`:           func(s *Settings) { s.Foreign = []Foreign{{Directory: "/x", ReturnPath: "<a@b"}} },
		"": func(s *Settings) {
			s.Directory, s.ReturnPath, s.Owners = "/var/spool/x", "<>", []string{"root", "65534"}
			s.Foreign = []Foreign{{Directory: "/y", ReturnPath: "a@b.example", Force: true}}
		},
	} {
		s := Defaults()
		change(&s)
		got := ""
		if err := s.Validate(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("Validate = %q, want %q", got, want)
		}
	}
}
