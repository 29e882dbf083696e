package spool_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"cgq/pkg/disk"
	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/fact"
	"cgq/pkg/journal"
	"cgq/pkg/mail"
	"cgq/pkg/spool"
)

// stopped returns a spool on the real file system, stopped cleanly, with these messages in
// it; each has two facts.
func stopped(t *testing.T, n int) (dir string, d *disk.OS, ids []mail.ID) {
	t.Helper()
	dir = t.TempDir()
	d, err := disk.OpenOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	s := open(t, d, small)
	for i := range n {
		id, err := submit(s, fmt.Sprintf("Subject: text %d\n\n%sthe end\n", i, lines(600)), nil, "routed")
		if _, err2 := s.Append(tried(id)); err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		ids = append(ids, id)
	}
	if err := errors.Join(s.Empty(), s.Close()); err != nil {
		t.Fatal(err)
	}
	return dir, d, ids
}

func file(dir string, id mail.ID, suffix string) string {
	return filepath.Join(dir, "Queue", fmt.Sprintf("%02d", id%100), id.String()+suffix)
}

// change rewrites a file.
func change(t *testing.T, name string, how func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, how(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

// flip changes one bit of the byte behind the first place of what.
func flip(what string) func([]byte) []byte {
	return func(b []byte) []byte {
		i := bytes.Index(b, []byte(what))
		if i < 0 {
			panic(what + " is not there")
		}
		b[i+len(what)] ^= 4
		return b
	}
}

// cut ends a file before the first place of what.
func cut(what string) func([]byte) []byte {
	return func(b []byte) []byte { return b[:bytes.Index(b, []byte(what))] } //nolint:gocritic // it is there
}

// A message file that cannot be believed stops no start: it is named, and kept in
// damaged/; one whose facts are damaged is held for a person (F2, R2).
func TestDamagedFiles(t *testing.T) {
	for _, tt := range []struct {
		name string
		how  func([]byte) []byte
		held bool
	}{
		{"of no length", func([]byte) []byte { return nil }, false},
		{"shorter than its first line", func(b []byte) []byte { return b[:20] }, false},
		{"cut in the envelope", cut("R W"), false},
		{"cut in the text", cut("line 20"), false},
		{"a bit of the first line", flip("V 1 0000"), false},
		{"a bit of the envelope", flip("<r@b"), false},
		{"a bit of the text", flip("line 20"), false},
		{"zeros", func(b []byte) []byte { return make([]byte, len(b)) }, false},
		{"another program's", func(b []byte) []byte { return slices.Concat([]byte("S <ann> SMTP [192.0.2.1]\n"), b) }, false},
		{"another message's", func(b []byte) []byte { return bytes.Replace(b, []byte("01 "), []byte("99 "), 1) }, false},
		{"a bit of the first fact", flip(" freed 0 0 rout"), true},
		{"a bit of the last fact", flip(" freed 0 0 tri"), true},
		{"a bit behind the facts", flip("tried\n"), true},
		{"cut in the last fact", cut("tried"), true},
		{"cut before the facts", func(b []byte) []byte { return b[:bytes.Index(b, []byte("the end\n"))+8] }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, d, ids := stopped(t, 2)
			bad, good := ids[0], ids[1]
			change(t, file(dir, bad, ".msg"), tt.how)
			was, _ := os.ReadFile(file(dir, bad, ".msg"))
			for range 2 { // a start repairs nothing that a person has to see
				s, rec, err := start(d, small)
				if err != nil {
					t.Fatalf("Open = %v", err)
				}
				named := len(rec.Damage) == 1 && errors.Is(rec.Damage[0], spool.ErrDamaged) &&
					strings.Contains(rec.Damage[0].Error(), fmt.Sprintf("message %d:", bad))
				if !named {
					t.Errorf("damage %q, want message %d named, alone", rec.Damage, bad)
				}
				if text, err := read(s, good); err != nil || !strings.Contains(text, "text 1") {
					t.Errorf("the other one: %.30q, %v", text, err)
				}
				i := slices.IndexFunc(rec.Messages, func(f spool.Found) bool { return f.ID == bad })
				switch {
				case tt.held && (i < 0 || rec.Messages[i].Hold == ""):
					t.Errorf("found %+v, want message %d held", rec.Messages, bad)
				case !tt.held && i >= 0:
					t.Errorf("found %+v, want no message %d", rec.Messages[i], bad)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				if !tt.held {
					break
				}
			}
			where := file(dir, bad, ".msg")
			if !tt.held {
				if _, err := os.Lstat(where); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s is still there: %v", where, err)
				}
				where = filepath.Join(dir, "Queue", "damaged", bad.String()+".msg")
			}
			if is, err := os.ReadFile(where); err != nil || !bytes.Equal(is, was) {
				t.Errorf("%s is not what it was: %v", where, err)
			}
		})
	}
}

// A person rejects a held message: that is recorded behind what is damaged.
func TestFactsOfAHeldMessage(t *testing.T) {
	for _, how := range []func([]byte) []byte{flip(" freed 0 0 tri"), cut("tried")} {
		dir, d, ids := stopped(t, 1)
		change(t, file(dir, ids[0], ".msg"), how)
		s, _, err := start(d, small)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Append(fact.Change{ID: ids[0], Fact: fact.Rejected{By: "root"}})
		if err := errors.Join(err, s.Empty(), s.Close()); err != nil {
			t.Fatal(err)
		}
		s, rec, err := start(d, small)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if len(rec.Messages) != 1 || !slices.Contains(rec.Messages[0].Facts, fact.Fact(fact.Rejected{By: "root"})) {
			t.Errorf("found %+v, want the message, rejected", rec.Messages)
		}
	}
}

// What is no file of ours is left alone, whatever it is, and named.
func TestForeignEntries(t *testing.T) {
	link := func(t *testing.T, name string) error { return os.Symlink("/etc/passwd", name) }
	fifo := func(t *testing.T, name string) error { return unix.Mkfifo(name, 0o600) }
	dir := func(t *testing.T, name string) error { return os.MkdirAll(filepath.Join(name, "full"), 0o700) }
	plain := func(t *testing.T, name string) error { return os.WriteFile(name, []byte("text"), 0o600) }
	for name, put := range map[string]func(*testing.T, string) error{
		"50/50.msg": link, "51/51.msg": fifo, "52/52.msg": dir,
		"60/60.tmp": link, "61/61.tmp": fifo, "62/62.tmp": dir,
		"70/notes.txt": plain, "07/007.msg": plain, "71/71.msg.bak": plain, "72/-72.msg": plain,
		"73/73": plain, "74/.msg": plain, "75/75.msg\n\x1b[31m.msg": plain, "00/0.msg": plain,
		"15/18446744073709551615.msg": plain, "06/9223372036854775806.msg": plain, "16/18446744073709551616.msg": plain,
		"15/18446744073709551515.tmp": dir,
	} {
		t.Run(name, func(t *testing.T) {
			base, d, ids := stopped(t, 1)
			path := filepath.Join(base, "Queue", name)
			if err := put(t, path); err != nil {
				t.Fatal(err)
			}
			before, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			s, rec, err := start(d, small)
			if err != nil {
				t.Fatalf("Open = %v", err)
			}
			defer s.Close()
			if len(rec.Damage) != 1 || !strings.Contains(rec.Damage[0].Error(), "Queue/"+name+": ") {
				t.Errorf("damage %q, want it to name Queue/%s, and nothing else", rec.Damage, name)
			}
			if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) || after.Mode() != before.Mode() {
				t.Errorf("it was not left alone: %v, %v", after, err)
			}
			if len(rec.Messages) != 1 || rec.Messages[0].ID != ids[0] {
				t.Errorf("found %+v, want message %d alone", rec.Messages, ids[0])
			}
			if id, err := submit(s, "the next", nil, ""); err != nil || id <= ids[0] || id > 1<<62 {
				t.Errorf("the next message is %d, %v", id, err)
			}
		})
	}
}

// A message file put back by hand, from elsewhere: it is found, and its id is not given
// out again.
func TestFileFromElsewhere(t *testing.T) {
	from, _, theirs := stopped(t, 3)
	dir, d, _ := stopped(t, 0)
	if err := os.Rename(file(from, theirs[2], ".msg"), file(dir, theirs[2], ".msg")); err != nil {
		t.Fatal(err)
	}
	s, living := found(t, d, small)
	defer s.Close()
	if len(living[theirs[2]]) != 2 {
		t.Errorf("found %v, want message %d with two facts", living, theirs[2])
	}
	if id, err := submit(s, "the next", nil, ""); err != nil || id <= theirs[2] {
		t.Errorf("the next message is %d, %v; want one above %d", id, err, theirs[2])
	}
}

// A big message whose file was taken away while only the journal names it: its text is
// lost, and that is said; the others are not.
func TestDraftThatIsNoFileAnyMore(t *testing.T) {
	for name, put := range map[string]func(string) error{
		"nothing": func(string) error { return nil },
		"dir":     func(name string) error { return os.MkdirAll(filepath.Join(name, "full"), 0o700) },
		"link":    func(name string) error { return os.Symlink("/etc/passwd", name) },
		"empty":   func(name string) error { return os.WriteFile(name, nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			dir, d, ids := stopped(t, 1)
			s := open(t, d, small)
			id, err := submit(s, lines(5000), nil, "routed")
			if err = errors.Join(err, s.Close()); err != nil { // the process dies before a checkpoint
				t.Fatal(err)
			}
			path := file(dir, id, ".tmp")
			if err := errors.Join(os.Remove(path), put(path)); err != nil {
				t.Fatal(err)
			}
			s, rec, err := start(d, small)
			if err != nil {
				t.Fatalf("Open = %v", err)
			}
			defer s.Close()
			if len(rec.Messages) != 1 || rec.Messages[0].ID != ids[0] {
				t.Errorf("found %+v, want message %d alone", rec.Messages, ids[0])
			}
			if all := errors.Join(rec.Damage...); all == nil || !strings.Contains(all.Error(), fmt.Sprintf("message %d:", id)) {
				t.Errorf("damage %q, want message %d named", rec.Damage, id)
			}
		})
	}
}

// What is accepted is believed after a restart, however many recipients it has.
func TestLargeEnvelopes(t *testing.T) {
	disk := crashdisk.New(-1)
	s := open(t, disk, small)
	e := envelope()
	e.EnvelopeID = strings.Repeat("e", 20<<20)
	d, err := s.Draft(e)
	if err != nil {
		t.Fatal(err)
	}
	n, err := d.Commit(t.Context(), journal.Intake, nil)
	if err := errors.Join(err, s.Wait(n), s.Close()); err != nil {
		t.Fatal(err)
	}
	s, living := found(t, disk, small)
	defer s.Close()
	if _, ok := living[d.ID]; !ok {
		t.Errorf("found %v, want message %d", living, d.ID)
	}
	e.EnvelopeID = strings.Repeat("e", 65<<20)
	if _, err := s.Draft(e); err == nil {
		t.Error("an envelope was taken that no start believes")
	}
}

// The ceiling of ids is a promise: a file that does not hold one stops the start, with
// what to write into it.
func TestIDsThatCannotBeRead(t *testing.T) {
	for _, text := range []string{"", "x", "100000", "-1 identity", "1 two words", "18446744073709551615 identity", "1e5 identity"} {
		dir, d, _ := stopped(t, 1)
		if err := os.WriteFile(filepath.Join(dir, "Queue", "ids"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, _, err := start(d, small); err == nil || !strings.Contains(err.Error(), "Queue/ids") {
			t.Errorf("ids %q: Open = %v, want an error that names Queue/ids", text, err)
			if err == nil {
				s.Close()
			}
		}
	}
}

// Whatever byte of a message file is damaged, somebody says so.
func TestEveryByteOfAFileCounts(t *testing.T) {
	d := crashdisk.New(-1)
	s := open(t, d, small)
	id, err1 := submit(s, "Subject: x\n\ntext\n", nil, "routed")
	_, err2 := s.Append(tried(id))
	if err := errors.Join(err1, err2, s.Empty(), s.Close()); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("Queue/%02d/%d.msg", id%100, id)
	size := len(d.Files(".msg")[name])
	for at := range size {
		rng := rand.New(rand.NewPCG(uint64(at), 0))
		d := d.Restart(rng)
		f, err := d.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		b := []byte(d.Files(".msg")[name][at : at+1])
		b[0] ^= 1 << rng.IntN(8)
		if _, err := f.WriteAt(b, int64(at)); err != nil {
			t.Fatal(err)
		}
		s, rec, err := start(d, small)
		if err != nil {
			t.Fatalf("byte %d: Open = %v", at, err)
		}
		s.Close()
		if len(rec.Damage) != 1 || len(rec.Messages) > 0 && rec.Messages[0].Hold == "" {
			t.Errorf("byte %d of %d is %q: damage %q, found %+v", at, size, b, rec.Damage, rec.Messages)
		}
	}
}
