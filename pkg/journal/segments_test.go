package journal_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/journal"
)

// bookable is how many frames new mail may book now.
func bookable(j *journal.Journal) (n int) {
	for j.Book(journal.Intake, 2048) == nil {
		n++
	}
	j.UnbookAll(n, 2048)
	return n
}

// The number of segments follows Resize, and the room follows them; what is in use stays
// until it is freed.
func TestResize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := crashdisk.New(-1)
		j := open(t, d)
		few := bookable(j)
		there := func(what string, want int) {
			t.Helper()
			synctest.Wait()
			if n := len(d.Files(".seg")); n != want {
				t.Errorf("%s: %d segments, want %d", what, n, want)
			}
		}
		there("at the start", 3)
		j.Resize(8)
		there("Resize(8)", 8)
		if n := bookable(j); n < few+5*7*3/4-2 {
			t.Errorf("%d frames can be booked after Resize(8), %d before", n, few)
		}
		for range 7 * 7 {
			put(t, j, "in use")
		}
		j.Resize(0)
		there("Resize(0), one is free", 8)
		for n := 8; n > 4; n-- {
			if err := j.Free(j.Oldest()); err != nil {
				t.Fatal(err)
			}
			there("one more is free", n-1)
		}
		for j.Oldest() != 0 {
			if err := j.Free(j.Oldest()); err != nil {
				t.Fatal(err)
			}
		}
		there("all are free", 3)
		if n := bookable(j); n != few {
			t.Errorf("%d frames can be booked at the end, %d at the start", n, few)
		}
		j.Close()
	})
}

// Whichever segments are made and removed: the highest number is kept, even if nothing
// else is.
func TestNumbersRiseWhenSegmentsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := crashdisk.New(-1)
		for _, sizes := range [][]int{{5, 3}, {3, 6, 3}, {4, 3, 5, 3}} {
			j := open(t, d)
			var last journal.Number
			for range 9 {
				last = put(t, j, "frame")
			}
			for i, n := range sizes {
				j.Resize(n)
				synctest.Wait()
				for i == 0 && j.Oldest() != 0 {
					if err := j.Free(j.Oldest()); err != nil {
						t.Fatal(err)
					}
				}
			}
			synctest.Wait()
			j.Close()
			d = restart(d)
			j = open(t, d)
			if n := j.Durable(); n != last {
				t.Errorf("sizes %v: durable through %d, was %d", sizes, n, last)
			}
			j.Close()
		}
	})
}

// Open waits for three segments; the others, and their errors, come in the background,
// and nothing of an unfinished one is left (E2).
func TestNoRoomForMoreSegments(t *testing.T) {
	for _, op := range []string{"create", "write", "datasync", "rename", "syncdir"} {
		synctest.Test(t, func(t *testing.T) {
			d := crashdisk.New(-1)
			var told []error
			o := small
			o.Segments = 6
			o.OnError = func(err error) { told = append(told, err) }
			open(t, d).Close()
			j := openWith(t, d, o)
			d.Fail(func(o, name string) error {
				if o == op && (strings.HasSuffix(name, ".new") || op == "rename" || op == "syncdir") {
					return syscall.ENOSPC
				}
				return nil
			})
			synctest.Wait()
			there := len(d.Files(".seg")) // some may have been made before
			j.Resize(8)
			synctest.Wait()
			if len(told) != 1 || !errors.Is(told[0], syscall.ENOSPC) {
				t.Errorf("%s fails: OnError heard %v, want ENOSPC once", op, told)
			}
			if n := len(d.Files(".seg")); n != there || len(d.Files(".new")) > 0 {
				t.Errorf("%s fails: %d segments, before %d, and %d unfinished", op, n, there, len(d.Files(".new")))
			}
			put(t, j, "goes on")
			d.Fail(nil)
			if err := j.Free(j.Oldest()); err != nil {
				t.Errorf("%s fails: Free = %v", op, err)
			}
			synctest.Wait()
			if n := len(d.Files(".seg")); n != 8 || j.Degraded() != nil {
				t.Errorf("%s works again: %d segments, want 8; degraded: %v", op, n, j.Degraded())
			}
			j.Close()
		})
	}
}

// A segment that cannot be removed stays in use.
func TestARemoveThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := crashdisk.New(-1)
		var told []error
		o := small
		o.Segments = 5
		o.OnError = func(err error) { told = append(told, err) }
		j := openWith(t, d, o)
		synctest.Wait()
		room := bookable(j)
		d.Fail(func(op, _ string) error { return map[string]error{"remove": syscall.EROFS}[op] })
		j.Resize(3)
		synctest.Wait()
		if n := bookable(j); n != room || len(told) != 1 || !errors.Is(told[0], syscall.EROFS) {
			t.Errorf("%d frames can be booked, before %d; OnError heard %v, want EROFS", n, room, told)
		}
		j.Close()
	})
}

// E2: the last room of the file system is left to the message files.
func TestSegmentsLeaveRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := crashdisk.New(-1)
		var told error
		o := small
		o.Segments = 4
		o.OnError = func(err error) { told = err }
		o.Free = func() (int64, error) { return 2*small.SegmentSize - 1, nil }
		j, err := journal.Open(d, "j", o)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := len(d.Files(".seg")); n != 3 || !errors.Is(told, syscall.ENOSPC) {
			t.Errorf("%d segments, OnError heard %v; want 3, ENOSPC", n, told)
		}
		j.Close()
	})
}

// J5: while the disk hangs, new mail is refused after ten seconds, and again taken when
// it answers. What gathers unwanted is no reason, and segments that are made are none.
func TestAHungDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := crashdisk.New(-1)
		j := open(t, d)
		defer j.Close()
		making := make(crashdisk.Hang)
		d.Fail(func(op, name string) error {
			if strings.HasSuffix(name, ".new") {
				return making
			}
			return nil
		})
		j.Resize(4)
		if _, err := j.Append(1, 7, []byte("an observation")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		put(t, j, "a commit beside")
		if w, err := j.Waiting(), j.Book(journal.Intake, 1); w != 0 || err != nil {
			t.Errorf("nobody waits: Waiting = %v, Book = %v", w, err)
		}
		close(making)
		synctest.Wait()
		if n := len(d.Files(".seg")); n != 4 {
			t.Errorf("%d segments after the disk has answered, want 4", n)
		}

		hang := make(crashdisk.Hang)
		d.Fail(func(op, _ string) error {
			if op == "datasync" {
				return hang
			}
			return nil
		})
		n, err := j.Append(1, 7, []byte("waits"))
		if err != nil {
			t.Fatal(err)
		}
		verdict := make(chan error, 1)
		go func() { verdict <- j.Wait(n) }()
		for _, tt := range []struct {
			after        time.Duration
			intake, rest error
		}{{10 * time.Second, nil, nil}, {10*time.Second + 1, journal.ErrSlow, nil}, {time.Hour, journal.ErrSlow, nil}} {
			time.Sleep(tt.after - j.Waiting())
			synctest.Wait()
			if w := j.Waiting(); w != tt.after {
				t.Errorf("Waiting = %v, want %v", w, tt.after)
			}
			if err := j.Book(journal.Intake, 1); !errors.Is(err, tt.intake) {
				t.Errorf("after %v: Book(Intake) = %v, want %v", tt.after, err, tt.intake)
			}
			if err := j.Book(journal.Inside, 1); err != nil {
				t.Errorf("after %v: Book(Inside) = %v", tt.after, err)
			}
		}
		d.Fail(nil)
		close(hang)
		if err := <-verdict; err != nil {
			t.Errorf("Wait = %v", err)
		}
		if w, err := j.Waiting(), j.Book(journal.Intake, 1); w != 0 || err != nil {
			t.Errorf("it has answered: Waiting = %v, Book = %v", w, err)
		}
	})
}

// Frames that are waited for together cost one sync; the counts say so.
func TestStats(t *testing.T) {
	d := crashdisk.New(-1)
	j := open(t, d)
	defer j.Close()
	var n journal.Number
	for range 3 {
		var err error
		if n, err = j.Append(1, 7, []byte("gathers")); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Wait(n); err != nil {
		t.Fatal(err)
	}
	put(t, j, strings.Repeat("x", 2000))
	want := journal.Stats{Frames: 4, Commits: 2, Bytes: 2 * 4096, Syncs: 2}
	if got := j.Stats(); got != want {
		t.Errorf("Stats = %+v, want %+v", got, want)
	}
	if err := j.Free(j.Oldest()); err != nil {
		t.Fatal(err)
	}
	want.Syncs += 2 // another header remembers, this one is freed
	if got := j.Stats(); got != want {
		t.Errorf("after Free: Stats = %+v, want %+v", got, want)
	}
}
