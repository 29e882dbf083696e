package journal_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"cgq/pkg/disk"
	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/journal"
)

// kept has a directory for what is set aside.
var kept = journal.Options{SegmentSize: small.SegmentSize, Segments: 3, Aside: "damaged"}

// failing fails so many of the steps of one kind on segments, the first after some that
// do not; fewer than none: all.
func failing(op string, skip, times int) crashdisk.Fault {
	return func(o, name string) error {
		if o != op || !strings.HasSuffix(name, ".seg") {
			return nil
		}
		if skip--; skip >= 0 || times == 0 {
			return nil
		}
		times--
		return syscall.EIO
	}
}

// restart is the disk after power loss, with nothing that was not synced.
func restart(d *crashdisk.Disk) *crashdisk.Disk {
	for seed := uint64(0); ; seed++ {
		if rand.New(rand.NewPCG(seed, 0)).IntN(4) == 0 { // its mood
			return d.Restart(rand.New(rand.NewPCG(seed, 0)))
		}
	}
}

// found is what a journal replays when it is opened for that alone.
func found(t *testing.T, d *crashdisk.Disk, o journal.Options) []string {
	t.Helper()
	j := openWith(t, d, o)
	defer j.Close()
	return replay(t, j)
}

// E1: after one failed write or sync everybody who waits hears nil, and is right; no new
// mail is taken, what is here goes on, and the failed segment is not used again.
func TestAFailedCommitIsWrittenElsewhere(t *testing.T) {
	for _, op := range []string{"write", "datasync"} {
		synctest.Test(t, func(t *testing.T) {
			d := crashdisk.New(-1)
			var told []error
			o := kept
			o.OnError = func(err error) { told = append(told, err) }
			j := openWith(t, d, o)
			put(t, j, "first")
			d.Fail(failing(op, 0, 1))
			second := put(t, j, "second")
			if err := j.Degraded(); !errors.Is(err, syscall.EIO) {
				t.Errorf("%s has failed: Degraded = %v, want EIO", op, err)
			}
			for share, want := range map[journal.Share]error{
				journal.Intake: journal.ErrDegraded, journal.Inside: nil, journal.Forward: nil,
			} {
				if err := j.Book(share, 9); !errors.Is(err, want) {
					t.Errorf("%s has failed: Book(%d) = %v, want %v", op, share, err, want)
				}
			}
			put(t, j, "third")
			want := []string{"first", "second", "third"}
			if got := found(t, restart(d), o); !slices.Equal(got, want) {
				t.Errorf("%s has failed: replay = %q, want %q", op, got, want)
			}
			if err := j.Free(second - 1); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if len(told) != 1 || !errors.Is(told[0], syscall.EIO) {
				t.Errorf("%s has failed: OnError heard %v, want EIO once", op, told)
			}
			if n := len(d.Files(".seg")); n != 3 || len(d.Files("damaged/00000000.seg.failed")) != 1 {
				t.Errorf("%s has failed: %d segments, set aside: %d", op, n, len(d.Files(".failed")))
			}
			j.Close()
			if got := found(t, restart(d), o); !slices.Equal(got, want[1:]) {
				t.Errorf("%s has failed, and it was freed: replay = %q, want %q", op, got, want[1:])
			}
		})
	}
}

// A second failure breaks the journal for good, all are told, and what was told before
// stays true.
func TestASecondFailureBreaksTheJournalForGood(t *testing.T) {
	for _, op := range []string{"write", "datasync"} {
		for _, again := range []int{1, 2, -1} { // the next header, the commit behind it, a later commit
			d := crashdisk.New(-1)
			j := open(t, d)
			last := put(t, j, "first")
			first, second := failing(op, 0, 1), failing(op, again, 1)
			if d.Fail(first); again < 0 {
				last = put(t, j, "second")
				d.Fail(failing(op, 0, 1))
			} else {
				d.Fail(func(o, name string) error { return errors.Join(first(o, name), second(o, name)) })
			}
			n, err := j.Append(1, 7, []byte("lost"))
			if err != nil {
				t.Fatal(err)
			}
			if err := j.Wait(n); !errors.Is(err, syscall.EIO) {
				t.Errorf("%s fails twice, %d: Wait = %v, want EIO", op, again, err)
			}
			<-j.Broken()
			d.Fail(nil)
			_, err1 := j.Append(1, 7)
			for what, err := range map[string]error{
				"Append": err1, "a second Wait": j.Wait(n), "Book": j.Book(journal.Inside, 1), "Close": j.Close(),
			} {
				if !errors.Is(err, syscall.EIO) {
					t.Errorf("%s has failed twice: %s = %v, want EIO", op, what, err)
				}
			}
			if got := found(t, restart(d), small); len(got) != int(last) || got[0] != "first" {
				t.Errorf("%s has failed twice: replay = %q, want %d frames", op, got, last)
			}
		}
	}
}

// A journal that is closed is not broken.
func TestCloseDoesNotBreak(t *testing.T) {
	j := open(t, crashdisk.New(-1))
	j.Close()
	select {
	case <-j.Broken():
		t.Error("Broken is closed")
	default:
	}
}

// E1: all that waits behind the failed commit is laid anew, in order, over as many
// segments as it takes, even if there is none: then one is made.
func TestAllThatWaitsIsLaidAnew(t *testing.T) {
	for _, tt := range []struct {
		name           string
		before, behind int // blocks in use, frames that wait
		full           bool
	}{
		{"one segment", 2, 3, false},
		{"behind a boundary", 6, 5, false},
		{"over two segments", 1, 20, false},
		{"and none is left", 13, 14, false},
		{"no room on the disk for one more", 13, 14, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { laidAnew(t, tt.before, tt.behind, tt.full) })
		})
	}
}

func laidAnew(t *testing.T, before, behind int, full bool) {
	d := crashdisk.New(-1)
	j := open(t, d)
	defer j.Close()
	var want []string
	for range before {
		want = append(want, fmt.Sprint("frame ", len(want)))
		put(t, j, want[len(want)-1])
	}
	hang, hung := make(crashdisk.Hang), make(chan struct{})
	fail := failing("datasync", 0, 1)
	d.Fail(func(op, name string) error {
		switch {
		case full && op == "create":
			return syscall.ENOSPC
		case fail(op, name) != nil:
			close(hung)
			<-hang // which holds the disk, too; nobody else needs it
			return syscall.EIO
		}
		return nil
	})
	var wg sync.WaitGroup
	var verdicts []error
	wait := func(payload string) {
		n, err := j.Append(1, 7, []byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, payload)
		verdict := len(verdicts)
		verdicts = append(verdicts, nil)
		wg.Go(func() { verdicts[verdict] = j.Wait(n) })
	}
	verdicts = make([]error, 0, behind+1) // does not move
	wait("fails")
	<-hung
	for i := range behind {
		wait(fmt.Sprint(i, strings.Repeat("x", 1900)))
	}
	close(hang)
	wg.Wait()
	for i, err := range verdicts {
		if broken := errors.Is(err, syscall.EIO) && errors.Is(err, syscall.ENOSPC); broken != full || err != nil && !broken {
			t.Errorf("frame %d: Wait = %v", i, err)
		}
	}
	if full {
		want = want[:before]
	}
	if got := found(t, restart(d), small); !slices.Equal(got, want) {
		t.Errorf("replay = %.20q, want %.20q", got, want)
	}
}

// A Free that fails loses nothing: the segment leaves the journal, its commits do not
// come back, and numbers go on rising.
func TestAFailedFreeTakesTheSegmentAway(t *testing.T) {
	for _, op := range []string{"write", "datasync"} {
		for skip := range 2 { // the header that remembers, the one that is freed
			synctest.Test(t, func(t *testing.T) {
				d := crashdisk.New(-1)
				j := openWith(t, d, kept)
				last := put(t, j, "freed")
				n := j.Oldest()
				d.Fail(failing(op, skip, 1))
				if err := j.Free(n); err != nil {
					t.Errorf("%s %d fails: Free = %v", op, skip, err)
				}
				if err := j.Degraded(); !errors.Is(err, syscall.EIO) {
					t.Errorf("%s %d fails: Degraded = %v, want EIO", op, skip, err)
				}
				synctest.Wait()
				if left, aside := len(d.Files(".seg")), len(d.Files(".failed")); left != 3 || aside != 1 {
					t.Errorf("%s %d fails: %d segments and %d set aside, want 3 and 1", op, skip, left, aside)
				}
				j.Close()
				for _, d := range []*crashdisk.Disk{restart(d), d} {
					j = openWith(t, d, kept)
					if got := replay(t, j); len(got) > 0 {
						t.Errorf("%s %d fails: replay = %q, want nothing", op, skip, got)
					}
					if n := put(t, j, "later"); n <= last {
						t.Errorf("%s %d fails: number %d is given out twice", op, skip, n)
					}
					j.Close()
				}
			})
		}
	}
}

// No segment can be written any more: Free says so, its commits stay, and it goes on when
// there are others.
func TestAFreeThatCannotIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := crashdisk.New(-1)
		j := openWith(t, d, kept)
		last := put(t, j, "kept")
		n := j.Oldest()
		d.Fail(func(op, name string) error {
			if op == "datasync" {
				return syscall.EIO
			}
			return nil
		})
		for try := range 2 {
			if err := j.Free(n); !errors.Is(err, syscall.EIO) {
				t.Errorf("try %d: Free = %v, want EIO", try, err)
			}
			synctest.Wait()
			j2 := openWith(t, restart(d), kept)
			if got := replay(t, j2); !slices.Equal(got, []string{"kept"}) || j2.Durable() != last {
				t.Errorf("try %d: replay = %q through %d, want kept and %d", try, got, j2.Durable(), last)
			}
			j2.Close()
		}
		d.Fail(nil)
		j.Resize(3)
		synctest.Wait()
		if err := j.Free(n); err != nil {
			t.Errorf("with new segments: Free = %v", err)
		}
		put(t, j, "later")
		j.Close()
		if got := found(t, restart(d), kept); !slices.Equal(got, []string{"later"}) {
			t.Errorf("replay = %q, want later", got)
		}
	})
}

// F3: the process dies after a sync of Free has failed. The next one sees the header that
// the disk lacks, builds on it, and the power fails: what it did not see stays away.
func TestWhatADeadProcessCouldNotSyncIsWrittenAgain(t *testing.T) {
	d := crashdisk.New(-1)
	j := open(t, d)
	put(t, j, "gone")
	n := j.Oldest()
	sync := failing("datasync", 1, 1) // not of the header that remembers
	d.Fail(func(op, name string) error {
		if op == "rename" { // nor is it taken away in time
			return syscall.EIO
		}
		return sync(op, name)
	})
	if err := j.Free(n); err == nil {
		t.Fatal("Free = nil: the test does not test")
	}
	j.Close()
	d.Fail(nil)
	j = open(t, d)
	if got := replay(t, j); len(got) > 0 {
		t.Fatalf("replay = %q: the test does not test", got)
	}
	put(t, j, "later")
	j.Close()
	if got := found(t, restart(d), small); !slices.Equal(got, []string{"later"}) {
		t.Errorf("replay = %q, want later", got)
	}
}

// A test of the test: each rule of E1 that is broken, under the code, must be missed.
func TestEveryRuleOfFailuresIsNeeded(t *testing.T) {
	for _, tt := range []struct {
		rule    string
		beneath func(disk.FS) disk.FS
	}{
		{"F3 no sync is tried again and believed", func(d disk.FS) disk.FS { return believing{d} }},
		{"E1 a failed segment leaves", func(d disk.FS) disk.FS { return staying{FS: d, rename: true} }},
		{"E1 durably", func(d disk.FS) disk.FS { return staying{FS: d} }},
		{"J6 another header remembers", func(d disk.FS) disk.FS { return forgetful{d} }},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			var err error
			synctest.Test(t, func(*testing.T) { err = failures(30, tt.beneath) })
			if err == nil {
				t.Fatal("nothing was lost without it")
			}
			t.Log("found, as it should be:", err)
		})
	}
}

// believing syncs once more after an error, and believes the second answer.
type believing struct{ disk.FS }

func (d believing) Open(name string) (disk.File, error) {
	f, err := d.FS.Open(name)
	return believed{f}, err
}

type believed struct{ disk.File }

func (f believed) Datasync() error {
	if f.File.Datasync() == nil {
		return nil
	}
	return f.File.Datasync()
}

// staying only says that it has renamed a segment, or synced the new name.
type staying struct {
	disk.FS
	rename bool
}

func (d staying) Rename(old, name string) error {
	if d.rename && path.Ext(name) == ".failed" {
		return nil
	}
	return d.FS.Rename(old, name)
}

func (d staying) SyncDir(dir string) error {
	if d.rename {
		return d.FS.SyncDir(dir)
	}
	names, err := d.List(dir)
	if slices.ContainsFunc(names, func(n string) bool { return path.Ext(n) == ".failed" }) {
		return err
	}
	return d.FS.SyncDir(dir)
}

// forgetful does not write the header of a free segment where there is one already.
type forgetful struct{ disk.FS }

func (d forgetful) Open(name string) (disk.File, error) {
	f, err := d.FS.Open(name)
	return forgotten{f}, err
}

type forgotten struct{ disk.File }

func (f forgotten) WriteAt(p []byte, off int64) (int, error) {
	was := make([]byte, 24)
	if _, err := f.ReadAt(was, 0); off == 0 && err == nil && slices.Equal(was, p[:24]) && p[16] == 0 {
		return len(p), nil
	}
	return f.File.WriteAt(p, off)
}
