package spool_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"cgq/pkg/disk"
	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/fact"
	"cgq/pkg/journal"
	"cgq/pkg/mail"
	"cgq/pkg/spool"
)

// contents reads a file of the Queue.
func contents(t *testing.T, d disk.FS, name string) string {
	t.Helper()
	f, err := d.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := f.Size()
	b := make([]byte, size)
	if _, err2 := f.ReadAt(b, 0); err != nil || err2 != nil && err2 != io.EOF {
		t.Fatal(err, err2)
	}
	return string(b)
}

// F5: what is lent, in whatever state the message is, is what its file begins with:
// all of that but the facts.
func TestLentFilesAreMessageFilesWithoutFacts(t *testing.T) {
	for _, size := range []int{0, 700, 1001, 5000, 1 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			d, want := crashdisk.New(-1), lines(size)
			s := open(t, d, small)
			defer s.Close()
			m, err := s.Draft(envelope())
			if err != nil {
				t.Fatal(err)
			}
			half := size / 2
			if _, err := m.ReadFrom(strings.NewReader(want[:half])); err != nil {
				t.Fatal(err)
			}
			var lent []string
			lend := func(from interface {
				Lend() (string, func(), error)
			}) {
				t.Helper()
				name, back, err := from.Lend()
				if err != nil {
					t.Fatal(err)
				}
				if want := fmt.Sprintf("Queue/lent/%d.msg", m.ID); name != want {
					t.Errorf("lent as %s, want %s", name, want)
				}
				lent = append(lent, contents(t, d, name))
				for range 2 {
					back()
				}
				if names, _ := d.List("Queue/lent"); len(names) > 0 {
					t.Errorf("%q is left", names)
				}
			}
			lend(m) // of half a text
			if !strings.HasSuffix(lent[0], "\n\n"+want[:half]) {
				t.Errorf("half a draft is %.200q", lent[0])
			}
			if _, err := m.Write([]byte(want[half:])); err != nil {
				t.Fatal(err)
			}
			lend(m)
			n, err := m.Commit(context.Background(), journal.Intake, nil, fact.Freed{By: "routed"})
			if err = errors.Join(err, s.Wait(n)); err != nil {
				t.Fatal(err)
			}
			message := acceptedMessage{s, m.ID}
			lend(message)
			if err := s.Checkpoint(); err != nil {
				t.Fatal(err)
			}
			lend(message)
			file := contents(t, d, fmt.Sprintf("Queue/%02d/%d.msg", m.ID%100, m.ID))
			for i, got := range lent[1:] {
				if !strings.HasPrefix(file, got) || !strings.HasSuffix(got, "\n\n"+want) {
					t.Errorf("lending %d: %d bytes, %.200q, want %d, %.200q", i+1, len(got), got, len(file), file)
				}
			}
		})
	}
}

// Whatever a helper does with its file, and whoever else has one of the same message:
// the message stays what it is, and the file can be given back.
func TestHelpersHarmNothing(t *testing.T) {
	for name, misuse := range map[string]func(name string) error{
		"removes it": os.Remove,
		"changes it": func(name string) error { return os.WriteFile(name, []byte("a virus"), 0o600) },
		"makes it a directory": func(name string) error {
			return errors.Join(os.Remove(name), os.MkdirAll(filepath.Join(name, "full"), 0o700))
		},
		"makes it a link": func(name string) error { return errors.Join(os.Remove(name), os.Symlink("/etc/passwd", name)) },
		"makes it another message": func(name string) error {
			all, err := filepath.Glob(filepath.Join(filepath.Dir(name), "../[0-9][0-9]/*"))
			return errors.Join(err, os.Remove(name), os.Link(all[0], name))
		},
	} {
		for _, size := range []int{700, 5000} {
			t.Run(fmt.Sprint(name, " of ", size), func(t *testing.T) {
				dir, d, ids := stopped(t, 1)
				other := contents(t, d, fmt.Sprintf("Queue/%02d/%d.msg", ids[0]%100, ids[0]))
				s := open(t, d, small)
				m, err := s.Draft(envelope())
				if err != nil {
					t.Fatal(err)
				}
				if _, err := m.Write([]byte(lines(size))); err != nil {
					t.Fatal(err)
				}
				use := func(from interface {
					Lend() (string, func(), error)
				}) {
					t.Helper()
					mine, back, err1 := from.Lend()
					theirs, back2, err2 := from.Lend()
					if err := errors.Join(err1, err2); err != nil || mine == theirs {
						t.Fatalf("lent as %s and %s, %v", mine, theirs, err)
					}
					want := contents(t, d, theirs)
					if err := misuse(filepath.Join(dir, mine)); err != nil {
						t.Fatal(err)
					}
					back()
					back()
					if contents(t, d, theirs) != want {
						t.Errorf("%s has changed with %s", theirs, mine)
					}
					back2()
					_ = os.RemoveAll(filepath.Join(dir, mine)) // a directory that is full stays; a person has to see to it
				}
				use(m)
				n, err := m.Commit(t.Context(), journal.Intake, nil)
				if err := errors.Join(err, s.Wait(n)); err != nil {
					t.Fatal(err)
				}
				for range 2 {
					use(acceptedMessage{s, m.ID})
					if err := s.Empty(); err != nil { // now it has a file
						t.Fatal(err)
					}
				}
				if text, err := read(s, m.ID); err != nil || text != lines(size) {
					t.Errorf("the message is %.40q, %v", text, err)
				}
				s.Close()
				s, living := found(t, d, small)
				defer s.Close()
				if len(living) != 2 || contents(t, d, fmt.Sprintf("Queue/%02d/%d.msg", ids[0]%100, ids[0])) != other {
					t.Errorf("found %v, want both messages as they were", living)
				}
			})
		}
	}
}

// A helper that is late, and links its old name to another message: the next file of
// that name is not written into it.
func TestLendOverALink(t *testing.T) {
	dir, d, ids := stopped(t, 2)
	s := open(t, d, small)
	defer s.Close()
	name, back, err := s.Lend(ids[0])
	if err != nil {
		t.Fatal(err)
	}
	back()
	if err := os.Link(file(dir, ids[1], ".msg"), filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
	if again, _, err := s.Lend(ids[0]); err != nil || again != name {
		t.Errorf("lent as %s, %v; want %s", again, err, name)
	}
	if text, err := read(s, ids[1]); err != nil || !strings.Contains(text, "text 1") {
		t.Errorf("the other message is %.30q, %v", text, err)
	}
}

// A start empties lent/, and reads nothing there; what nobody can have lent is left
// alone, and named.
func TestStartTakesBackWhatWasLent(t *testing.T) {
	dir, d, ids := stopped(t, 1)
	lent := filepath.Join(dir, "Queue/lent")
	accepted := contents(t, d, fmt.Sprintf("Queue/%02d/%d.msg", ids[0]%100, ids[0]))
	put(t, filepath.Join(lent, "4711.msg"), accepted)
	put(t, filepath.Join(lent, "4712.msg"), "V 2 of a newer version")
	put(t, filepath.Join(lent, "notes"), "what a helper has left")
	if err := os.Symlink("/etc/passwd", filepath.Join(lent, "link.msg")); err != nil {
		t.Fatal(err)
	}
	i, err1 := spool.Inspect(d, "Queue")
	if names, _ := d.List("Queue/lent"); len(names) != 4 {
		t.Errorf("%q is left after a look", names)
	}
	s, rec, err2 := start(d, small)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := asForetold(i, rec, s); err != nil {
		t.Error(err)
	}
	names, _ := d.List("Queue/lent")
	if len(names) != 1 || names[0] != "link.msg" || len(rec.Damage) != 1 || !strings.Contains(rec.Damage[0].Error(), "Queue/lent/link.msg: ") {
		t.Errorf("%q is left, damage %q; want the link alone, named", names, rec.Damage)
	}
	if len(rec.Messages) != 1 || rec.Messages[0].ID != ids[0] {
		t.Errorf("found %+v, want message %d alone", rec.Messages, ids[0])
	}
}

// What cannot be lent leaves nothing behind: not for want of room, nor of a message.
func TestLendThatFails(t *testing.T) {
	for _, op := range []string{"create", "write"} {
		d := crashdisk.New(-1)
		s := open(t, d, small)
		id, err := submit(s, lines(5000), nil, "")
		if err != nil {
			t.Fatal(err)
		}
		d.Fail(func(o, name string) error {
			if o == op && strings.HasPrefix(name, "Queue/lent/") {
				return syscall.ENOSPC
			}
			return nil
		})
		if name, back, err := s.Lend(id); !errors.Is(err, syscall.ENOSPC) || name != "" || back != nil {
			t.Errorf("%s fails: Lend = %q, %v", op, name, err)
		}
		d.Fail(nil)
		if names, _ := d.List("Queue/lent"); len(names) > 0 {
			t.Errorf("%s fails: %q is left", op, names)
		}
		name, back, err := s.Lend(id)
		if err != nil || name != fmt.Sprintf("Queue/lent/%d.msg", id) {
			t.Errorf("the next one: %q, %v", name, err)
		}
		if _, err := s.Append(fact.Change{ID: id, Fact: fact.Gone{}}); err != nil {
			t.Fatal(err)
		}
		if err := s.Empty(); err != nil {
			t.Fatal(err)
		}
		if got := contents(t, d, name); !strings.HasSuffix(got, lines(5000)) {
			t.Errorf("the message has gone, and what was lent is %d bytes", len(got))
		}
		back()
		for _, id := range []mail.ID{id, 4711} {
			if name, _, err := s.Lend(id); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("Lend(%d), which is not there, = %q, %v", id, name, err)
			}
		}
		s.Close()
	}
}

// What a helper costs: the copy of a message of 10 MB, given and taken back.
func BenchmarkLend(b *testing.B) {
	s := onDisk(b)
	id, err := submit(s, lines(10<<20), nil, "")
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(10 << 20)
	for b.Loop() {
		_, back, err := s.Lend(id)
		if err != nil {
			b.Fatal(err)
		}
		back()
	}
}
