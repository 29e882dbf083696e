package spool_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cgq/pkg/disk"
	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/fact"
	"cgq/pkg/mail"
	"cgq/pkg/spool"
)

// where are the directories of all message files.
func where(t *testing.T, d disk.FS) (dirs []string) {
	t.Helper()
	all := []string{"Queue"}
	for nn := range 100 {
		all = append(all, fmt.Sprintf("Queue/%02d", nn))
	}
	for _, dir := range all {
		names, err := d.List(dir)
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(names, func(n string) bool { return path.Ext(n) == ".msg" }) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// Chapter: Queue Foldering. 0 makes no sub-directory; with Auto they come with the 5001st
// message, and what is there stays where it is.
func TestFoldering(t *testing.T) {
	for _, tt := range []struct {
		foldering spool.Foldering
		messages  int
		want      []string // some of the directories
		count     int
	}{
		{spool.Flat, 30, []string{"Queue"}, 1},
		{spool.Ten, 30, []string{"Queue/00", "Queue/09"}, 10},
		{spool.Hundred, 30, []string{"Queue/01", "Queue/30"}, 30},
		{"", 30, []string{"Queue/01", "Queue/30"}, 30},
		{spool.Auto, 30, []string{"Queue"}, 1},
		{spool.Auto, 5031, []string{"Queue", "Queue/02", "Queue/31"}, 31},
	} {
		d := crashdisk.New(-1)
		s, _, err := spool.Open(d, "Queue", spool.Options{Foldering: tt.foldering}, discard())
		if err != nil {
			t.Fatal(err)
		}
		for range tt.messages {
			if _, err := submit(s, "text", nil, ""); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(s.Empty(), s.Close()); err != nil {
			t.Fatal(err)
		}
		dirs := where(t, d)
		for _, want := range tt.want {
			if !slices.Contains(dirs, want) || len(dirs) != tt.count {
				t.Errorf("%q, %d messages: %d directories, %q; want %d with %s", tt.foldering, tt.messages, len(dirs), dirs, tt.count, want)
			}
		}
	}
	if _, _, err := spool.Open(crashdisk.New(-1), "Queue", spool.Options{Foldering: "7"}, discard()); err == nil {
		t.Error("a foldering of 7 was taken")
	}
}

// On the real file system, with everything else going on: however the foldering changes,
// each message is read whole at any time, what is gone is gone, and in the end every file
// is where the last one wants it.
func TestFolderingChangesUnderUse(t *testing.T) {
	d, err := disk.OpenOS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	s := open(t, d, spool.Options{Age: 20 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { s.Run(ctx) })
	var stay [4][]mail.ID
	var work sync.WaitGroup
	for g := range stay {
		work.Go(func() {
			for i := range 300 {
				text := fmt.Sprintf("%d of %d %0300d", i, g, 0)
				if id, ok := use(t, s, text, i%3 > 0); ok {
					stay[g] = append(stay[g], id)
				}
				if n := len(stay[g]); n > 10 {
					id := stay[g][n-10]
					if got, err := read(s, id); err != nil || !strings.HasSuffix(got, "00000") {
						t.Errorf("message %d: %.20q, %v", id, got, err)
					}
				}
			}
		})
	}
	for _, f := range []spool.Foldering{spool.Flat, spool.Hundred, spool.Ten, spool.Auto, spool.Flat, spool.Ten} {
		if err := errors.Join(s.SetFoldering(f), s.Refold(t.Context())); err != nil {
			t.Error(err)
		}
	}
	work.Wait()
	if err := errors.Join(s.Checkpoint(), s.Refold(t.Context())); err != nil {
		t.Error(err)
	}
	cancel()
	run.Wait()
	if err := errors.Join(s.Empty(), s.Refold(t.Context()), s.Empty(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if dirs := where(t, d); len(dirs) != 10 || dirs[9] != "Queue/09" {
		t.Errorf("files are in %q, want 00 to 09", dirs)
	}
	s, living := found(t, d, small)
	defer s.Close()
	n := 0
	for _, ids := range stay {
		n += len(ids)
		for _, id := range ids {
			if len(living[id]) != 1 {
				t.Errorf("message %d has facts %v, want one", id, living[id])
			}
		}
	}
	if len(living) != n {
		t.Errorf("%d messages, want %d", len(living), n)
	}
}

// A disk that refuses to move files keeps them where they are; a second try moves them,
// and what has ended meanwhile does not come back under either name.
func TestMoveThatFails(t *testing.T) {
	for _, op := range []string{"link", "remove"} {
		d := crashdisk.New(-1)
		s := open(t, d, small)
		var ids []mail.ID
		for range 4 {
			id, err := submit(s, "text", nil, "routed")
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
		if err := errors.Join(s.Checkpoint(), s.SetFoldering(spool.Flat)); err != nil {
			t.Fatal(err)
		}
		n := 0
		d.Fail(func(o, name string) error {
			if o == op && path.Ext(name) == ".msg" {
				if n++; n == 3 {
					return syscall.EIO
				}
			}
			return nil
		})
		if err := s.Refold(t.Context()); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s fails: Refold = %v", op, err)
		}
		d.Fail(nil)
		for i, id := range ids {
			if text, err := read(s, id); err != nil || text != "text" {
				t.Errorf("%s has failed: message %d: %q, %v", op, id, text, err)
			}
			if i%2 == 0 {
				_, err := s.Append(fact.Change{ID: id, Fact: fact.Gone{}})
				if err := errors.Join(err, s.Checkpoint()); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := errors.Join(s.Refold(t.Context()), s.Empty(), s.Close()); err != nil {
			t.Error(err)
		}
		if files := d.Files(".msg"); len(files) != 2 || files[fmt.Sprintf("Queue/%d.msg", ids[1])] == "" {
			t.Errorf("%s has failed: files %v", op, slices.Sorted(maps.Keys(files)))
		}
	}
}

// Chapter: Recycle Temp Files. Discarded ones are used again, unless something has failed
// on them; a clean stop leaves none.
func TestRecycle(t *testing.T) {
	for _, recycle := range []bool{true, false} {
		d := crashdisk.New(-1)
		o := small
		o.Recycle, o.Foldering = recycle, spool.Flat
		s := open(t, d, o)
		renamed := 0
		var fail error
		d.Fail(func(op, name string) error {
			if path.Ext(name) != ".tmp" || strings.HasPrefix(name, "Queue/ids") || strings.Contains(name, "journal") {
				return nil
			}
			if op == "rename" {
				renamed++
			}
			if op == "datasync" {
				return fail
			}
			return nil
		})
		abandon := func() {
			dr, err := s.Draft(envelope())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := dr.Write([]byte(lines(5000))); err != nil {
				t.Fatal(err)
			}
			dr.Discard()
		}
		abandon()
		abandon()
		left := len(d.Files(".tmp"))
		id, err := submit(s, lines(3000), nil, "") // shorter than what the file held
		if err != nil {
			t.Fatal(err)
		}
		if text, err := read(s, id); err != nil || text != lines(3000) {
			t.Errorf("recycle %v: a text of %d bytes, %v", recycle, len(text), err)
		}
		want := map[bool][2]int{true: {1, 2}, false: {0, 0}}[recycle] // the second time for each
		if left != want[0] || renamed != want[1] {
			t.Errorf("recycle %v: %d files kept, %d used again; want %v", recycle, left, renamed, want)
		}
		abandon()
		fail = syscall.EIO
		if _, err := submit(s, lines(3000), nil, ""); !errors.Is(err, syscall.EIO) {
			t.Errorf("recycle %v: submit = %v, want EIO", recycle, err)
		}
		fail = nil
		if n := len(d.Files(".tmp")); n != 1 { // the accepted one
			t.Errorf("recycle %v: %d temporary files after a failed sync, want the accepted one alone", recycle, n)
		}
		abandon()
		if err := errors.Join(s.Empty(), s.Close()); err != nil {
			t.Fatal(err)
		}
		if n := len(d.Files(".tmp")); n > 0 {
			t.Errorf("recycle %v: %d temporary files after a clean stop", recycle, n)
		}
	}
}
