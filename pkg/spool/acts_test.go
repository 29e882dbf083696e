package spool_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"cgq/pkg/disk"
	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/fact"
	"cgq/pkg/journal"
	"cgq/pkg/mail"
	"cgq/pkg/spool"
)

// mailbox submits so many messages, and says nothing of them.
func mailbox(t *testing.T, s *spool.Spool, n int) (ids []mail.ID) {
	t.Helper()
	for i := range n {
		id, err := submit(s, fmt.Sprint("text ", i), nil, "")
		for errors.Is(err, spool.ErrFull) {
			if err = s.Checkpoint(); err == nil {
				id, err = submit(s, fmt.Sprint("text ", i), nil, "")
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

// onAll is one fact about each message.
func onAll(ids []mail.ID, said string) (all []fact.Change) {
	for _, id := range ids {
		all = append(all, fact.Change{ID: id, Fact: fact.Freed{By: said}})
	}
	return all
}

// saidOf is what the facts say, in order.
func saidOf(facts []fact.Fact) (all []string) {
	for _, f := range facts {
		all = append(all, f.(fact.Freed).By[:min(len(f.(fact.Freed).By), 10)])
	}
	return all
}

// An act on 100,000 recipients is one file of some bytes each, which goes with the
// frame that names it.
func TestActOnManyRecipients(t *testing.T) {
	o := spool.Options{Journal: journal.Options{SegmentSize: 1 << 20}}
	d := crashdisk.New(-1)
	s := open(t, d, o)
	ids := mailbox(t, s, 100)
	var all []fact.Change
	for rcpt := range 1000 {
		for _, id := range ids {
			all = append(all, fact.Change{ID: id, Fact: fact.Rejected{Rcpt: rcpt, By: "root", Report: true, Text: "spam"}})
		}
	}
	n, err := s.Append(all...)
	if err := errors.Join(err, s.Wait(n)); err != nil {
		t.Fatal(err)
	}
	for name, data := range d.Files("") {
		if strings.HasPrefix(name, "Queue/acts/") && len(data) > 20*len(all) {
			t.Errorf("%s has %d bytes of %d facts", name, len(data), len(all))
		}
	}
	if n := actFiles(d); n != 1 {
		t.Errorf("%d files of acts, want one", n)
	}
	s.Close()
	for range 2 { // the second time the message files have it
		d = d.Restart(rand.New(rand.NewPCG(1, 1)))
		var living map[mail.ID][]fact.Fact
		s, living = found(t, d, o)
		for _, id := range ids {
			facts := living[id]
			if len(facts) != 1000 || facts[999] != all[len(all)-1].Fact {
				t.Errorf("message %d has %d facts, want 1000", id, len(facts))
			}
		}
		if n := actFiles(d); n != 0 {
			t.Errorf("%d files of acts after a start, want none", n)
		}
		s.Close()
	}
}

func actFiles(d disk.FS) int {
	names, _ := d.List("Queue/acts")
	return len(names)
}

// An act that says many standing things goes to a file, too; they stay when that goes.
func TestActWithManyStandingThings(t *testing.T) {
	d := crashdisk.New(-1)
	s := open(t, d, small)
	id := mailbox(t, s, 1)[0]
	var stands []spool.Standing
	for i := range 50 {
		stands = append(stands, spool.Standing{Key: fmt.Sprint("host ", i), Value: strings.Repeat("v", 60)})
	}
	n, err := s.Act([]fact.Change{tried(id)}, stands)
	if err := errors.Join(err, s.Wait(n), s.Close()); err != nil {
		t.Fatal(err)
	}
	if actFiles(d) != 1 {
		t.Error("there is no file: the test does not test")
	}
	for range 2 {
		s, living := found(t, d, small)
		if len(living[id]) != 1 || len(s.Standing()) != 50 || s.Standing()["host 49"] != stands[49].Value {
			t.Errorf("found %v, standing %v; want one fact and 50 things", living, s.Standing())
		}
		if err := errors.Join(s.Empty(), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// C4: a clean stop leaves no file of an act, for the checkpoint that frees the frame
// takes it away.
func TestFilesOfActsGoWithTheirFrames(t *testing.T) {
	d := crashdisk.New(-1)
	s := open(t, d, small)
	defer s.Close()
	ids := mailbox(t, s, 3)
	for i := range 3 {
		if _, err := s.Append(onAll(ids, long("act"))...); err != nil || actFiles(d) != 1 {
			t.Errorf("act %d: %v, %d files, want one", i, err, actFiles(d))
		}
		if err := s.Empty(); err != nil || actFiles(d) != 0 {
			t.Errorf("after checkpoint %d: %v, %d files, want none", i, err, actFiles(d))
		}
	}
}

// While the file of an act is written others add facts to its messages, and wait for
// nobody: the numbers are right after all, however many they are.
func TestFactsWhileAnActIsWritten(t *testing.T) {
	for _, tt := range []struct {
		name  string
		moved int // messages that get a fact meanwhile
		times int // that it is written, with facts meanwhile
		err   error
	}{
		{"none", 0, 1, nil},
		{"some", 3, 1, nil},
		{"more than a frame takes", 400, 1, nil},
		{"more than a frame takes, always", 400, 100, spool.ErrFact},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, w := crashdisk.New(-1), newWorld()
			s := open(t, interrupted{d, w}, small)
			ids := mailbox(t, s, 400)
			times, files := 0, 0
			d.Fail(func(op, name string) error {
				if op == "create" && path.Dir(name) == "Queue/acts" {
					files++
				}
				return nil
			})
			meanwhile := func() error {
				for _, id := range ids[:tt.moved] {
					if _, err := s.Append(fact.Change{ID: id, Fact: fact.Freed{By: "meanwhile"}}); err != nil {
						return err
					}
				}
				return s.Checkpoint()
			}
			var during func() error
			during = func() error {
				if times++; times < tt.times {
					w.during = during
				}
				return meanwhile()
			}
			w.during = during
			_, err := s.Append(onAll(ids, "act")...)
			if again := tt.moved == len(ids); !errors.Is(err, tt.err) || (files > 1) != again || files > 10 {
				t.Fatalf("Append = %v, after %d files; want %v, and more than one: %v", err, files, tt.err, again)
			}
			if (actFiles(d) == 1) != (tt.err == nil) {
				t.Errorf("%d files of acts", actFiles(d))
			}
			n, err := s.Append(onAll(ids[:2], "after")...)
			if err := errors.Join(err, s.Wait(n), s.Close()); err != nil {
				t.Fatal(err)
			}
			_, living := found(t, d.Restart(rand.New(rand.NewPCG(1, 1))), small)
			for i, id := range ids {
				var want []string
				if i < tt.moved {
					want = slices.Repeat([]string{"meanwhile"}, times)
				}
				if tt.err == nil {
					want = append(want, "act")
				}
				if i < 2 {
					want = append(want, "after")
				}
				if got := saidOf(living[id]); !slices.Equal(got, want) {
					t.Errorf("facts of number %d: %q, want %q", i, got, want)
				}
			}
		})
	}
}

// A message of an act that goes while the file is written takes the act with it: it is
// refused, as if the message had gone before.
func TestMessageThatGoesWhileAnActIsWritten(t *testing.T) {
	d, w := crashdisk.New(-1), newWorld()
	s := open(t, interrupted{d, w}, small)
	defer s.Close()
	ids := mailbox(t, s, 2)
	w.during = func() error {
		_, err := s.Append(fact.Change{ID: ids[0], Fact: fact.Gone{}})
		return err
	}
	if _, err := s.Append(onAll(ids, long("act"))...); !errors.Is(err, spool.ErrFact) {
		t.Errorf("Append = %v, want ErrFact", err)
	}
	if actFiles(d) > 0 {
		t.Error("its file is left")
	}
}

// Whatever the disk refuses while the file of an act is written: the act has not been,
// nothing is left of it, and the next one is taken. So it is when the journal is full.
func TestActOnADiskThatFails(t *testing.T) {
	for _, op := range []string{"create", "write", "datasync", "rename", "syncdir", "full"} {
		t.Run(op, func(t *testing.T) {
			d := crashdisk.New(-1)
			s := open(t, d, small)
			ids := mailbox(t, s, 3)
			want := syscall.ENOSPC
			d.Fail(func(o, name string) error {
				if o == op && strings.HasPrefix(name, "Queue/acts") {
					return want
				}
				return nil
			})
			if op == "full" {
				var err error
				for err == nil {
					var n spool.Number
					if n, err = s.Append(tried(ids[0])); err == nil {
						err = s.Wait(n)
					}
				}
			}
			_, err := s.Append(onAll(ids, long("refused"))...)
			if !errors.Is(err, want) && (op != "full" || !errors.Is(err, spool.ErrFull)) {
				t.Errorf("Append = %v", err)
			}
			if actFiles(d) > 0 {
				t.Error("its file is left")
			}
			d.Fail(nil)
			if err := s.Empty(); err != nil {
				t.Fatal(err)
			}
			n, err := s.Append(onAll(ids, long("taken"))...)
			if err := errors.Join(err, s.Wait(n), s.Close()); err != nil {
				t.Fatal(err)
			}
			_, living := found(t, d.Restart(rand.New(rand.NewPCG(1, 1))), small)
			if facts := living[ids[1]]; len(facts) != 1 || !strings.HasPrefix(facts[0].(fact.Freed).By, "taken") {
				t.Errorf("found %.60q, want the second act alone", facts)
			}
		})
	}
}

// R3: the file of an act that is not what it was is a hole in the journal. It is named;
// a message that has got other facts since is held; and it stops no start.
func TestActsWhoseFileIsDamaged(t *testing.T) {
	for _, tt := range []struct {
		name string
		how  func(name string) error
		fate string
	}{
		{"missing", os.Remove, "its facts are missing; nothing is left of it"},
		{"a link", func(name string) error { return errors.Join(os.Remove(name), os.Symlink("/etc/passwd", name)) },
			"its facts are missing; nothing is left of it"},
		{"cut", func(name string) error { return os.Truncate(name, 512) }, "512 bytes, its frame says"},
		{"a bit", func(name string) error {
			b, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			return os.WriteFile(name, flip("act---")(b), 0o600)
		}, "its check sum is wrong; moved to Queue/damaged"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, d, _ := stopped(t, 0)
			s := open(t, d, small)
			ids := mailbox(t, s, 2)
			n, err := s.Append(onAll(ids, long("act"))...)
			if err == nil {
				n, err = s.Append(onAll(ids[:1], "after")...)
			}
			if err := errors.Join(err, s.Wait(n), s.Close()); err != nil {
				t.Fatal(err)
			}
			names, _ := d.List("Queue/acts")
			name := filepath.Join(dir, "Queue/acts", names[0])
			if err := tt.how(name); err != nil {
				t.Fatal(err)
			}
			put(t, filepath.Join(dir, "Queue/11/4711.tmp"), "a text that a frame may have named")
			i, err := spool.Inspect(d, "Queue")
			if err != nil {
				t.Fatal(err)
			}
			s, rec, err := start(d, small)
			if err != nil {
				t.Fatal(err)
			}
			if err := asForetold(i, rec, s); err != nil {
				t.Error(err)
			}
			all := errors.Join(rec.Damage...).Error()
			if !strings.Contains(all, "Queue/acts/"+names[0]+": act ") || !strings.Contains(all, tt.fate) ||
				!strings.Contains(all, "Queue/11/4711.tmp: ") {
				t.Errorf("damage %q, want %q", all, tt.fate)
			}
			held := slices.IndexFunc(rec.Messages, func(f spool.Found) bool { return f.Hold != "" })
			if len(rec.Messages) != 2 || held != 0 || rec.Messages[1].Hold != "" || len(rec.Messages[1].Facts) > 0 {
				t.Errorf("found %+v, want both, and the first held", rec.Messages)
			}
			fatesAre(t, dir, i)
			s.Close()
		})
	}
}

func put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Of what lies in acts/ a start removes what is ours and named by no frame, and leaves
// the rest alone. When the journal has a hole, the frame may have been in it: then it
// is kept.
func TestForeignEntriesInActs(t *testing.T) {
	for name, tt := range map[string]struct {
		put    func(name string) error
		holed  bool
		fate   string
		become string
	}{
		"4711":                {nil, false, "", ""},
		"4712.tmp":            {nil, false, "", ""},
		"4713":                {nil, true, "moved to Queue/damaged", "damaged/4713"},
		"4714.tmp":            {nil, true, "", ""},
		"notes":               {nil, false, "left alone", "acts/notes"},
		"007":                 {nil, false, "left alone", "acts/007"},
		"0":                   {nil, true, "left alone", "acts/0"},
		"9223372036854775806": {nil, false, "left alone", "acts/9223372036854775806"},
		"1":                   {func(name string) error { return os.Symlink("/etc/passwd", name) }, false, "left alone", "acts/1"},
		"2":                   {func(name string) error { return unix.Mkfifo(name, 0o600) }, false, "left alone", "acts/2"},
		"3":                   {func(name string) error { return os.MkdirAll(filepath.Join(name, "full"), 0o700) }, false, "left alone", "acts/3"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			d, err := disk.OpenOS(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			killed(t, d)
			if tt.holed {
				wipe(t, d, "last", 4)
			}
			file := filepath.Join(dir, "Queue/acts", name)
			if tt.put == nil {
				put(t, file, "1 1 0=\n")
			} else if err := tt.put(file); err != nil {
				t.Fatal(err)
			}
			i, err1 := spool.Inspect(d, "Queue")
			s, rec, err2 := start(d, small)
			if err := errors.Join(err1, err2); err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if err := asForetold(i, rec, s); err != nil {
				t.Error(err)
			}
			var fate string
			for _, err := range rec.Damage {
				if f := err.(spool.Finding); f.Name == "Queue/acts/"+name { //nolint:errorlint // as Open gives it
					fate = f.Fate
				}
			}
			if fate != tt.fate || slices.Contains(rec.Removed, "Queue/acts/"+name) != (tt.fate == "") {
				t.Errorf("fate %q, removed %q; want %q", fate, rec.Removed, tt.fate)
			}
			if _, err := os.Lstat(file); errors.Is(err, fs.ErrNotExist) == strings.HasPrefix(tt.become, "acts") {
				t.Errorf("%s: %v", file, err)
			}
			if _, err := os.Lstat(filepath.Join(dir, "Queue", tt.become)); err != nil {
				t.Error(err)
			}
		})
	}
}

// A message to 100,000 recipients, and what that means for as many of the one that it
// came of, is one frame (J4, L5).
func TestBirthsOfMany(t *testing.T) {
	const many = 100_000
	o := spool.Options{Journal: journal.Options{SegmentSize: 1 << 20}}
	d := crashdisk.New(-1)
	s := open(t, d, o)
	e := envelope()
	e.Recipients = slices.Repeat(e.Recipients, many)
	var routed []fact.Fact
	for i := range many {
		routed = append(routed, fact.Routed{Rcpt: i, Module: "SMTP", Queue: "b.example", Address: e.Recipients[0].Address})
	}
	var ids []mail.ID
	var parents []fact.Change
	for range 2 {
		m, err := s.Draft(e)
		if err != nil {
			t.Fatal(err)
		}
		n, err := m.Commit(t.Context(), journal.Inside, parents, routed...)
		if err := errors.Join(err, s.Wait(n)); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, m.ID)
		for i := range many {
			parents = append(parents, fact.Change{ID: m.ID, Fact: fact.Freed{Rcpt: i, By: "posted"}})
		}
	}
	if n := actFiles(d); n != 1 {
		t.Errorf("%d files of acts, want one", n)
	}
	s.Close()
	s, living := found(t, d.Restart(rand.New(rand.NewPCG(1, 1))), o)
	defer s.Close()
	if parent, child := living[ids[0]], living[ids[1]]; len(parent) != 2*many || len(child) != many || parent[2*many-1] != parents[many-1].Fact {
		t.Errorf("found %d facts of the parent and %d of the child, want %d and %d", len(parent), len(child), 2*many, many)
	}
}

// An act on 100,000 recipients, durable: what one waits for who rejects them.
func BenchmarkActOnMany(b *testing.B) {
	s := onDisk(b)
	var all []fact.Change
	for range 100 {
		id, err := submit(s, "text", nil, "")
		if err != nil {
			b.Fatal(err)
		}
		for rcpt := range 1000 {
			all = append(all, fact.Change{ID: id, Fact: fact.Rejected{Rcpt: rcpt, By: "root", Report: true, Text: "spam"}})
		}
	}
	for b.Loop() {
		n, err := s.Append(all...)
		if err := errors.Join(err, s.Wait(n)); err != nil {
			b.Fatal(err)
		}
	}
}
