package spool_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"cgq/pkg/disk"
	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/mail"
	"cgq/pkg/spool"
)

// killed is a spool whose process has died: the first message has its file; the second,
// with a fact, a big third and a fourth stand in the journal, a commit each.
func killed(t *testing.T, d disk.FS) (ids []mail.ID) {
	t.Helper()
	s := open(t, d, small)
	for i, text := range []string{"filed", "young", lines(4000), "last"} {
		id, err := submit(s, text, nil, "routed")
		if err == nil && i == 0 {
			err = errors.Join(s.Empty(), s.Close())
			s = open(t, d, small)
		}
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	for _, id := range []mail.ID{ids[1], ids[1], ids[0]} {
		n, err := s.Append(tried(id))
		if err = errors.Join(err, s.Wait(n)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Act(nil, []spool.Standing{{Key: "the host", Value: "delayed"}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return ids
}

// wipe makes the block zeros, durably, in the segment that holds what.
func wipe(t *testing.T, d disk.FS, what string, block int) {
	t.Helper()
	names, err := d.List("Queue/journal")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		f, err := d.Open("Queue/journal/" + name)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 32<<10)
		_, _ = f.ReadAt(b, 0)
		if bytes.Contains(b, []byte(what)) {
			_, err = f.WriteAt(make([]byte, 4096), int64(block)*4096)
			err = errors.Join(err, f.Datasync())
			what = "\x00done"
		}
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if what != "\x00done" {
		t.Fatalf("no segment holds %q", what)
	}
}

// tree is everything below a directory: what a file holds, and when it was written.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		is, err := e.Info()
		if err != nil {
			return err
		}
		var b []byte
		if is.Mode().IsRegular() {
			b, err = os.ReadFile(name)
		}
		name, _ = filepath.Rel(dir, name)
		all[name] = fmt.Sprint(is.Mode(), is.ModTime(), string(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Whatever lies in the Queue: Inspect changes nothing, and foretells what a start does.
// The start after that finds nothing but what a person has to see to.
func TestInspectForetellsTheStart(t *testing.T) {
	write := func(name, text string) func(*testing.T, string, *disk.OS, []mail.ID) {
		return func(t *testing.T, dir string, _ *disk.OS, _ []mail.ID) {
			if err := os.WriteFile(filepath.Join(dir, "Queue", name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	wiped := func(blocks ...int) func(*testing.T, string, *disk.OS, []mail.ID) {
		return func(t *testing.T, _ string, d *disk.OS, _ []mail.ID) {
			for _, b := range blocks {
				wipe(t, d, "last", b)
			}
		}
	}
	damaged := func(how func([]byte) []byte) func(*testing.T, string, *disk.OS, []mail.ID) {
		return func(t *testing.T, dir string, _ *disk.OS, ids []mail.ID) { change(t, file(dir, ids[0], ".msg"), how) }
	}
	for _, tt := range []struct {
		name  string
		spoil func(*testing.T, string, *disk.OS, []mail.ID)
		want  []string // a piece of each finding
		whole int      // messages
		held  int
		temps int
	}{
		{"clean", func(*testing.T, string, *disk.OS, []mail.ID) {}, nil, 4, 0, 0},
		{"a draft that nothing names", write("07/100007.tmp", "x"), nil, 4, 0, 1},
		{"a foreign file", write("07/notes", "x"), []string{"Queue/07/notes: message file damaged: it has no name of ours here; left alone"}, 4, 0, 0},
		{"a text", damaged(flip("file")), []string{"its check sum is wrong; moved to Queue/damaged"}, 3, 0, 0},
		{"an empty file", damaged(cut("V ")), []string{"shorter than its first line; moved to Queue/damaged"}, 3, 0, 0},
		{"a fact", damaged(flip("freed")), []string{"facts before number 2 are lost; held"}, 4, 1, 0},
		{"a torn tail", wiped(7), nil, 4, 0, 0},
		{"a hole: a young message", wiped(1), []string{"commits 2 to 2 are damaged; moved to Queue/damaged"}, 3, 0, 0},
		{"a hole: the name of a draft", wiped(2),
			[]string{"commits 3 to 3 are damaged", "nothing names this text, and the journal has lost commits; moved to Queue/damaged"}, 3, 0, 0},
		{"a hole: a fact", wiped(4), []string{"commits 5 to 5 are damaged", "Queue/journal: message 100001: message file damaged: facts before number 3 are lost; held"}, 4, 1, 0},
		{"no header", wiped(0), []string{"are damaged", "nothing names this text"}, 1, 0, 0},
		{"a draft named, and gone", func(t *testing.T, dir string, _ *disk.OS, ids []mail.ID) {
			if err := os.Remove(file(dir, ids[2], ".tmp")); err != nil {
				t.Fatal(err)
			}
		}, []string{"its text is missing; nothing is left of it"}, 3, 0, 0},
		{"a draft named, and damaged", func(t *testing.T, dir string, _ *disk.OS, ids []mail.ID) {
			change(t, file(dir, ids[2], ".tmp"), flip("line 20"))
		}, []string{".tmp: message"}, 3, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			d, err := disk.OpenOS(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			ids := killed(t, d)
			tt.spoil(t, dir, d, ids)
			before := tree(t, dir)
			i, err := spool.Inspect(d, "Queue")
			if err != nil {
				t.Fatal(err)
			}
			if after := tree(t, dir); !reflect.DeepEqual(before, after) {
				t.Error("Inspect has changed something")
			}
			n := slices.IndexFunc(i.Messages, func(f spool.Found) bool { return f.Hold != "" })
			if len(i.Messages) != tt.whole || (n >= 0) != (tt.held > 0) || len(i.Removed) != tt.temps || i.Identity == "" || i.Ceiling < ids[3] {
				t.Errorf("found %+v, want %d messages, %d held, %d temporary files", i, tt.whole, tt.held, tt.temps)
			}
			for k, want := range tt.want {
				if len(i.Damage) != len(tt.want) || !strings.Contains(i.Damage[k].Error(), want) {
					t.Fatalf("damage %q, want %q", i.Damage, tt.want)
				}
			}
			if len(tt.want) == 0 && len(i.Damage) > 0 {
				t.Errorf("damage %q, want none", i.Damage)
			}
			s, rec, err := start(d, small)
			if err != nil {
				t.Fatal(err)
			}
			err = asForetold(i, rec, s)
			if err := errors.Join(err, s.Empty(), s.Close()); err != nil {
				t.Error(err)
			}
			fatesAre(t, dir, i)
		})
	}
}

// fatesAre looks whether what was foretold has happened.
func fatesAre(t *testing.T, dir string, was *spool.Inspection) {
	t.Helper()
	d, err := disk.OpenOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	i, err := spool.Inspect(d, "Queue")
	if err != nil {
		t.Fatal(err)
	}
	kept, stay := 0, 0
	for _, err := range was.Damage {
		f := err.(spool.Finding) //nolint:errorlint // as Inspect gives it
		_, gone := os.Lstat(filepath.Join(dir, f.Name))
		switch _, aside := os.Lstat(filepath.Join(dir, "Queue/damaged", filepath.Base(f.Name))); {
		case strings.HasPrefix(f.Fate, "moved"):
			kept++
			if !errors.Is(gone, fs.ErrNotExist) || aside != nil {
				t.Errorf("%v: not moved: %v, %v", f, gone, aside)
			}
		case f.Fate == "held", f.Fate == "left alone":
			stay++
			if gone != nil {
				t.Errorf("%v: %v", f, gone)
			}
		}
	}
	for _, name := range was.Removed {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: not removed: %v", name, err)
		}
	}
	i.Kept = slices.DeleteFunc(i.Kept, func(name string) bool { return strings.HasSuffix(name, ".facts") }) // what else was known
	if len(i.Damage) != stay || len(i.Removed) > 0 || i.Young > 0 || i.Damaged > 0 || len(i.Kept) != kept || len(i.Messages) != len(was.Messages) {
		t.Errorf("afterwards %+v; want %d findings, %d files kept, %d messages", i, stay, kept, len(was.Messages))
	}
}

// Nothing is there yet: there is nothing to find, and nothing is made.
func TestInspectOfNothing(t *testing.T) {
	d := crashdisk.New(-1)
	i, err := spool.Inspect(d, "Queue")
	if err != nil || len(i.Messages)+len(i.Damage)+i.Used+i.Free > 0 || i.Identity != "" || d.Steps() > 0 {
		t.Errorf("Inspect = %+v, %v, after %d steps", i, err, d.Steps())
	}
}

// newer is the header of a segment of a version to come.
func newer() string {
	b := append([]byte("cgq seg\n\x63"), make([]byte, 4096-9)...)
	binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], crc32.MakeTable(crc32.Castagnoli)))
	return string(b)
}

// Where a start refuses, Inspect does.
func TestInspectRefusesAsAStartDoes(t *testing.T) {
	for name, text := range map[string]string{"Queue/ids": "x", "Queue/journal/00000009.seg": newer()} {
		d := crashdisk.New(-1)
		killed(t, d)
		f, err := d.Create(name)
		if err == nil {
			_, err = f.WriteAt([]byte(text), 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		_, err1 := spool.Inspect(d, "Queue")
		_, _, err2 := start(d, small)
		if err1 == nil || err2 == nil || !strings.Contains(err1.Error(), name) || !strings.Contains(err2.Error(), name) {
			t.Errorf("Inspect = %v, Open = %v; want both to name %s", err1, err2, name)
		}
	}
}

// R3: the journal has lost the frame that named a text. Whatever step of the start the
// power fails at, again and again: text and segment are kept, once, and nothing else of
// the Queue is lost.
func TestLostFramesTextIsKept(t *testing.T) {
	for _, block := range []int{0, 2} { // the header; the frame of the big text
		for step, finished := 0, false; !finished; step++ {
			for seed := range uint64(3) {
				rng := rand.New(rand.NewPCG(seed, uint64(step)))
				d := crashdisk.New(-1)
				ids := killed(t, d)
				wipe(t, d, "last", block)
				for life, power := range []int{step, rng.IntN(40), -1} {
					d.PowerFor(power)
					s, _, err := start(d, small)
					if err == nil {
						s.Close()
					}
					finished = life == 0 && err == nil
					if rng.IntN(3) > 0 {
						d = d.Restart(rng)
					}
					if finished {
						break
					}
				}
				kept := d.Files("")
				text, segments := 0, 0
				for name, data := range kept {
					switch {
					case !strings.HasPrefix(name, "Queue/damaged/"):
					case strings.Contains(data, "line 20"):
						text++
					case strings.Contains(name, ".seg"):
						segments++
					}
				}
				if text != 1 || segments != 1 || kept[fmt.Sprintf("Queue/%02d/%d.msg", ids[0]%100, ids[0])] == "" {
					t.Fatalf("block %d, step %d, seed %d: %d texts and %d segments kept, want one of each", block, step, seed, text, segments)
				}
			}
		}
	}
}
