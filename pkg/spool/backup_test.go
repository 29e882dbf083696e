package spool_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"cgq/pkg/disk"
	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/fact"
	"cgq/pkg/journal"
	"cgq/pkg/mail"
	"cgq/pkg/spool"
)

// backup returns the archive of a spool.
func backup(t *testing.T, s *spool.Spool) ([]byte, spool.Archived) {
	t.Helper()
	var b bytes.Buffer
	made, err := s.Backup(t.Context(), &b)
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), made
}

// entries are the names and contents of an archive.
func entries(t *testing.T, b []byte) (names []string, content map[string]string) {
	t.Helper()
	content = map[string]string{}
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return names, content
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
		content[h.Name] = string(text)
	}
}

func archive(t *testing.T, b []byte) *spool.Archive {
	t.Helper()
	a, err := spool.ReadArchive(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// varied is a spool with all that a message can be: filed, filed and grown, young,
// young with facts, a draft, a draft with facts, one that has gone.
func varied(t *testing.T, d disk.FS) *spool.Spool {
	t.Helper()
	s := open(t, d, small)
	var ids []mail.ID
	for i, text := range []string{"filed", "grown", "young", "with facts", lines(4000), lines(3000), "gone"} {
		id, err := submit(s, text, nil, "routed")
		if err == nil && i == 1 {
			err = s.Empty()
		}
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	n, err := s.Append(tried(ids[1]), tried(ids[3]), tried(ids[3]), tried(ids[5]), fact.Change{ID: ids[6], Fact: fact.Gone{}})
	if err == nil {
		_, err = s.Act(nil, []spool.Standing{{Key: "the host", Value: "delayed"}, {Key: "another \"\n", Value: "x"}})
	}
	if err := errors.Join(err, s.Wait(n)); err != nil {
		t.Fatal(err)
	}
	return s
}

// What an archive holds of a message is what its file holds after a clean stop.
func TestBackupIsWhatTheFilesWouldBe(t *testing.T) {
	d := crashdisk.New(-1)
	s := varied(t, d)
	b, made := backup(t, s)
	if err := errors.Join(s.Empty(), s.Close()); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for name, text := range d.Files(".msg") {
		files[path.Base(name)] = text
	}
	names, content := entries(t, b)
	if names[0] != "backup" || !slices.Equal(names[len(names)-2:], []string{"standing", "end"}) || len(names) != 6+3 {
		t.Errorf("entries %q", names)
	}
	if want := "0 \"another \\\"\\n\" x\n0 \"the host\" delayed\n"; content["standing"] != want {
		t.Errorf("standing %q, want %q", content["standing"], want)
	}
	for name, want := range files {
		if content[name] != want {
			t.Errorf("%s is\n%q, and in the archive\n%q", name, want, content[name])
		}
	}
	if want := (spool.Archived{Messages: 6, Bytes: int64(len(b))}); made != want || archive(t, b).Archived != want {
		t.Errorf("made %+v, want %+v", made, want)
	}
}

// R6: what was backed up comes back in an empty Queue, under the same identity, and
// with nothing else than that it is held.
func TestBackupRoundTrip(t *testing.T) {
	s := varied(t, crashdisk.New(-1))
	b, _ := backup(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	a := archive(t, b)
	for _, old := range []bool{false, true} { // was the new Queue used before?
		d := crashdisk.New(-1)
		if old {
			other := open(t, d, small)
			id, err := submit(other, "gone", nil, "")
			if err == nil { // the same id: its Gone must not take the restored one away
				_, err = other.Act([]fact.Change{{ID: id, Fact: fact.Gone{}}}, []spool.Standing{{Key: "old", Value: "y"}})
			}
			if err := errors.Join(err, other.Close()); err != nil {
				t.Fatal(err)
			}
		}
		if err := spool.Restore(d, "Queue", small, a, discard()); err != nil {
			t.Fatal(err)
		}
		restored, rec, err := start(d.Restart(rand.New(rand.NewPCG(1, 1))), small)
		if err != nil || len(rec.Damage) > 0 {
			t.Fatalf("Open: %v, %v", err, rec)
		}
		if restored.Identity() != s.Identity() || len(rec.Messages) != 6 {
			t.Errorf("identity %q, want %q; %d messages, want 6", restored.Identity(), s.Identity(), len(rec.Messages))
		}
		if err := wholeAndHeld(restored, rec, a); err != nil {
			t.Error(err)
		}
		id, err := submit(restored, "new", nil, "")
		if held, _ := fact.ParseRestored(restored.Standing()[fact.RestoredKey]); err != nil || id <= held.Through {
			t.Errorf("a new message is %d, %v; all up to %d are held", id, err, held.Through)
		}
		if again, _ := backup(t, restored); !strings.Contains(string(again), "hold restored") {
			t.Error("a backup of a held Queue does not say that it is held")
		}
		if err := restored.Close(); err != nil {
			t.Error(err)
		}
	}
}

// wholeAndHeld says what is not as [varied] has made it.
func wholeAndHeld(s *spool.Spool, rec *spool.Recovery, a *spool.Archive) error {
	texts := []string{"filed", "grown", "young", "with facts", lines(4000), lines(3000)}
	facts := []int{1, 2, 1, 3, 1, 2}
	if len(rec.Messages) != len(texts) {
		return fmt.Errorf("%d messages", len(rec.Messages))
	}
	for i, m := range rec.Messages {
		text, err := read(s, m.ID)
		if err != nil || text != texts[i] || len(m.Facts) != facts[i] || !reflect.DeepEqual(m.Envelope, envelope()) {
			return fmt.Errorf("message %d: %w, %.20q with %d facts", m.ID, err, text, len(m.Facts))
		}
	}
	standing := s.Standing()
	r, err := fact.ParseRestored(standing[fact.RestoredKey])
	if err != nil || !r.Backup.Equal(a.Time) || r.Through < rec.Messages[5].ID {
		return fmt.Errorf("held: %+v, %w", r, err)
	}
	delete(standing, fact.RestoredKey)
	if want := map[string]string{"the host": "delayed", "another \"\n": "x"}; !reflect.DeepEqual(standing, want) {
		return fmt.Errorf("standing %q, want %q", standing, want)
	}
	return nil
}

// A Queue with something in it is left alone, and what is there is named.
func TestRestoreWantsAnEmptyQueue(t *testing.T) {
	s := varied(t, crashdisk.New(-1))
	b, _ := backup(t, s)
	s.Close()
	for _, tt := range []struct {
		name string
		fill func(d *crashdisk.Disk) error
		want string
	}{
		{"a message", func(d *crashdisk.Disk) error {
			s := open(t, d, small)
			_, err := submit(s, "here", nil, "")
			return errors.Join(err, s.Close())
		}, "the Queue is not empty: messages: 1, the first is 1, from <s@a.example>"},
		{"a foreign file", func(d *crashdisk.Disk) error {
			_, err := d.Create("Queue/07/notes")
			return err
		}, "the Queue is not empty: Queue/07/notes: "},
	} {
		d := crashdisk.New(-1)
		if err := tt.fill(d); err != nil {
			t.Fatal(err)
		}
		steps := d.Steps()
		err := spool.Restore(d, "Queue", small, archive(t, b), discard())
		if !errors.Is(err, spool.ErrNotEmpty) || !strings.Contains(err.Error(), tt.want) || d.Steps() != steps {
			t.Errorf("%s: Restore = %v after %d steps, want %q", tt.name, err, d.Steps()-steps, tt.want)
		}
	}
}

// An archive that is not as it was written is refused, with what and where, or the
// change means nothing.
func TestArchivesThatAreNotWhole(t *testing.T) {
	s := varied(t, crashdisk.New(-1))
	defer s.Close()
	b, _ := backup(t, s)
	whole := archive(t, b)
	for n := range len(b) {
		if n%512 > 3 && n%512 < 509 { // every block, and bytes around its border
			continue
		}
		_, err := spool.ReadArchive(bytes.NewReader(b[:n]), int64(n))
		if !errors.Is(err, spool.ErrArchive) || !strings.Contains(err.Error(), "byte ") {
			t.Errorf("%d bytes of %d: %v", n, len(b), err)
		}
	}
	refused := 0
	for n := range len(b) {
		if n%7 > 0 && n < len(b)-2048 {
			continue
		}
		c := bytes.Clone(b)
		c[n] ^= 1 << (n % 8)
		a, err := spool.ReadArchive(bytes.NewReader(c), int64(len(c)))
		switch {
		case err != nil && errors.Is(err, spool.ErrArchive) && strings.Contains(err.Error(), "byte "):
			refused++
		case err != nil, a.Archived != whole.Archived, a.Spool != whole.Spool, n < len(b)-2048, n > len(b)-2048+512: // but for the head of the end
			t.Errorf("byte %d changed: %+v, %v", n, a, err)
		}
	}
	if refused < len(b)/8 {
		t.Errorf("%d changes were refused", refused)
	}
	for name, b := range map[string][]byte{"nothing": nil, "no tar": []byte(lines(9000)), "twice": append(bytes.Clone(b), b...),
		"zeros": make([]byte, 4096)} {
		if _, err := spool.ReadArchive(bytes.NewReader(b), int64(len(b))); !errors.Is(err, spool.ErrArchive) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A damaged message is named where the archive is read.
func TestArchiveNamesTheDamagedMessage(t *testing.T) {
	s := varied(t, crashdisk.New(-1))
	defer s.Close()
	b, _ := backup(t, s)
	for text, want := range map[string]string{"line 20": `"5.msg": message 5: message file damaged: its check sum is wrong`,
		"tried": `"end": the check sum of all before it is wrong; the facts of message 2, at byte `} {
		c := bytes.Replace(b, []byte(text), bytes.ToUpper([]byte(text)), 1)
		_, err := spool.ReadArchive(bytes.NewReader(c), int64(len(c)))
		if !errors.Is(err, spool.ErrArchive) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q changed: %v, want %q", text, err, want)
		}
	}
}

// A message whose file has become unreadable is left out and counted; one that is held
// because of its facts is held after a restore, too.
func TestBackupOfDamage(t *testing.T) {
	d := crashdisk.New(-1)
	s := varied(t, d)
	if err := errors.Join(s.Empty(), s.Close()); err != nil {
		t.Fatal(err)
	}
	spoil(t, d, "Queue/02/2.msg", "tried", "TRIED") // before the start: it is held
	s, rec, err := start(d, small)
	if err != nil || len(rec.Damage) != 1 {
		t.Fatal(err, rec)
	}
	spoil(t, d, "Queue/01/1.msg", "filed", "FILED") // after it
	if err := d.Remove("Queue/03/3.msg"); err != nil {
		t.Fatal(err)
	}
	b, made := backup(t, s)
	s.Close()
	if made.Messages != 4 || made.Damaged != 2 || made.Left != 0 {
		t.Errorf("made %+v, want 4 messages and 2 damaged ones", made)
	}
	d = crashdisk.New(-1)
	if err := spool.Restore(d, "Queue", small, archive(t, b), discard()); err != nil {
		t.Fatal(err)
	}
	s, again, err := start(d, small)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if len(again.Messages) != 4 || again.Messages[0].Hold == "" || again.Messages[0].Hold != rec.Messages[1].Hold {
		t.Errorf("restored %+v, want 2 to be held: %q", again.Messages, rec.Messages[1].Hold)
	}
}

// spoil changes bytes of a file.
func spoil(t *testing.T, d *crashdisk.Disk, name, was, is string) {
	t.Helper()
	text := d.Files(name)[name]
	f, err := d.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte(strings.Replace(text, was, is, 1)), 0); err != nil || !strings.Contains(text, was) {
		t.Fatal(err)
	}
}

// R6: whatever step of a restore the power fails at, again and again: a start finds
// nothing of it, refuses, or finds all of it, held.
func TestRestoreIsWholeOrNot(t *testing.T) {
	s := varied(t, crashdisk.New(-1))
	b, _ := backup(t, s)
	s.Close()
	a := archive(t, b)
	seen := map[string]int{}
	for step, finished := 0, false; !finished; step++ {
		for seed := range uint64(3) {
			rng := rand.New(rand.NewPCG(seed, uint64(step)))
			d := crashdisk.New(-1)
			open(t, d, small).Close()
			finished = true
			for life, power := range []int{step, rng.IntN(200), -1} {
				d.PowerFor(power)
				err := spool.Restore(d, "Queue", small, a, discard())
				if err != nil && !errors.Is(err, crashdisk.ErrPower) && !errors.Is(err, spool.ErrNotEmpty) {
					t.Fatalf("step %d, seed %d, life %d: %v", step, seed, life, err)
				}
				finished = finished && (life > 0 || err == nil)
				// Where it was whole before, only a start makes that durable.
				if d.PowerFor(-1); rng.IntN(3) > 0 && (power >= 0 || err == nil) {
					d = d.Restart(rng)
				}
				found := d
				if power >= 0 {
					found = d.Restart(rng) // the next life finds another
				}
				what, err := standsAs(found, a)
				if err != nil || power < 0 && what != "whole" {
					t.Fatalf("step %d, seed %d, life %d: it is %s, %v", step, seed, life, what, err)
				}
				seen[what]++
			}
		}
	}
	if seen["nothing"] == 0 || seen["refused"] == 0 || seen["whole"] == 0 {
		t.Errorf("seen %v, want all of them", seen)
	}
}

// What one restore has left does not mix with the next, of another backup.
func TestRestoreBeginsAnew(t *testing.T) {
	s := varied(t, crashdisk.New(-1))
	b, _ := backup(t, s)
	s.Close()
	other := open(t, crashdisk.New(-1), small)
	var last mail.ID
	for n := range 20 {
		id, err := submit(other, fmt.Sprint("other ", n), nil, "")
		if last = id; errors.Join(err, other.Empty()) != nil {
			t.Fatal(err)
		}
	}
	c, _ := backup(t, other)
	other.Close()
	d := crashdisk.New(-1)
	d.Fail(func(op, name string) error {
		if op == "syncdir" && name == fmt.Sprintf("Queue/%02d", last%100) { // all files have their names
			return errors.New("interrupted")
		}
		return nil
	})
	if err := spool.Restore(d, "Queue", small, archive(t, c), discard()); err == nil || len(d.Files(".msg")) == 0 {
		t.Fatalf("Restore = %v, %d files", err, len(d.Files(".msg")))
	}
	d.Fail(nil)
	a := archive(t, b)
	if err := spool.Restore(d, "Queue", small, a, discard()); err != nil {
		t.Fatal(err)
	}
	if what, err := standsAs(d, a); what != "whole" || err != nil {
		t.Errorf("it is %s, %v", what, err)
	}
}

// standsAs is what a start makes of half a restore.
func standsAs(d *crashdisk.Disk, a *spool.Archive) (string, error) {
	_, err1 := spool.Inspect(d, "Queue")
	s, rec, err := start(d, small)
	if errors.Is(err, spool.ErrUnfinished) && errors.Is(err1, spool.ErrUnfinished) {
		return "refused", nil
	}
	if err := errors.Join(err, err1); err != nil {
		return "broken", err
	}
	defer s.Close()
	if len(rec.Messages)+len(s.Standing()) == 0 {
		return "nothing", nil
	}
	return "whole", errors.Join(append(rec.Damage, wholeAndHeld(s, rec, a))...)
}

// One instant: while messages come, go and are acted on, a backup shows each act of all
// its messages or of none, and everything that was there all the time, whole.
func TestBackupUnderLoad(t *testing.T) {
	d := crashdisk.New(-1)
	s := open(t, d, spool.Options{Journal: journal.Options{SegmentSize: 4 << 20, Segments: 8}, InlineLimit: 1000})
	const stay = 2200 // more than are listed under one lock
	ids := make([]mail.ID, stay)
	var fill sync.WaitGroup
	for g := range 4 {
		fill.Go(func() {
			for i := g; i < stay; i += 4 {
				id, err := submit(s, fmt.Sprint("stays ", i), nil, "")
				if err != nil {
					t.Error(err)
				}
				ids[i] = id
			}
		})
	}
	fill.Wait()
	var archives [][]byte
	for round := range 3 {
		var load sync.WaitGroup
		load.Go(func() { actAlot(t, s, ids, round) })
		load.Go(func() {
			for n := range 30 {
				id, err := submit(s, fmt.Sprint("comes and goes ", lines(n%3*600)), nil, "")
				if err == nil {
					_, err = s.Append(fact.Change{ID: id, Fact: fact.Gone{}})
				}
				if err != nil && !errors.Is(err, journal.ErrFull) {
					t.Error(err)
				}
			}
		})
		load.Go(func() {
			if err := s.Checkpoint(); err != nil {
				t.Error(err)
			}
		})
		b, _ := backup(t, s)
		archives = append(archives, b)
		load.Wait()
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, b := range archives {
		oneInstant(t, b, ids)
	}
}

// actsOn is how many messages an act is about.
const actsOn = 50

// actAlot acts on messages, some of each part of the list.
func actAlot(t *testing.T, s *spool.Spool, ids []mail.ID, round int) {
	for n := range 100 {
		act := fact.Freed{By: fmt.Sprint("act ", round, " ", n)}
		var changes []fact.Change
		for i := range actsOn {
			changes = append(changes, fact.Change{ID: ids[(i*97+n)%len(ids)], Fact: act})
		}
		if _, err := s.Append(changes...); err != nil && !errors.Is(err, journal.ErrFull) {
			t.Error(err)
		}
	}
}

func oneInstant(t *testing.T, b []byte, ids []mail.ID) {
	t.Helper()
	d := crashdisk.New(-1)
	o := spool.Options{Journal: small.Journal}
	if err := spool.Restore(d, "Queue", o, archive(t, b), discard()); err != nil {
		t.Fatal(err)
	}
	i, err := spool.Inspect(d, "Queue")
	if err != nil || len(i.Damage) > 0 {
		t.Fatal(err, i.Damage)
	}
	acts, there := map[string]int{}, map[mail.ID]bool{}
	for _, m := range i.Messages {
		there[m.ID] = true
		for _, f := range m.Facts {
			acts[f.(fact.Freed).By]++
		}
	}
	for _, id := range ids {
		if !there[id] {
			t.Fatalf("message %d is missing", id)
		}
	}
	for by, n := range acts {
		if n != actsOn {
			t.Errorf("%s is true of %d messages, want %d or none", by, n, actsOn)
		}
	}
}

// Nobody waits for one who does not read his backup.
func TestBackupThatNobodyReadsKeepsNobodyWaiting(t *testing.T) {
	s := varied(t, crashdisk.New(-1))
	defer s.Close()
	out, in := io.Pipe()
	ended := make(chan error)
	go func() {
		_, err := s.Backup(t.Context(), in)
		ended <- err
	}()
	if _, err := out.Read(make([]byte, 1)); err != nil { // now it is in the midst of it
		t.Fatal(err)
	}
	id, err := submit(s, "meanwhile", nil, "")
	if err == nil {
		_, err = s.Append(tried(id))
	}
	if err := errors.Join(err, s.Empty()); err != nil {
		t.Error(err)
	}
	broken := errors.New("the reader has gone")
	out.CloseWithError(broken)
	if err := <-ended; !errors.Is(err, broken) {
		t.Errorf("Backup = %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(broken)
	if _, err := s.Backup(ctx, io.Discard); !errors.Is(err, broken) {
		t.Errorf("Backup after its end = %v", err)
	}
}
