package spool_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/fact"
	"cgq/pkg/journal"
)

// leftovers are the files of messages, accepted or not.
func leftovers(d *crashdisk.Disk) (names []string) {
	for _, suffix := range []string{".tmp", ".msg"} {
		for name := range d.Files(suffix) {
			names = append(names, name)
		}
	}
	return names
}

// lines is a text of so many bytes, no two parts of which are alike.
func lines(size int) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "line %d\n", i)
	}
	return b.String()[:size]
}

// A draft returns what was written to it, however that came and wherever it is kept.
func TestDraftKeepsItsText(t *testing.T) {
	for _, size := range []int{0, 1, 700, 1001, 1 << 16, 1<<16 + 1, 300_000} {
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"at once": func(r io.Reader) io.Reader { return r }, "in halves": iotest.HalfReader, "with its end": iotest.DataErrReader,
		} {
			t.Run(fmt.Sprint(size, " ", name), func(t *testing.T) {
				disk, want := crashdisk.New(-1), lines(size)
				s := open(t, disk, small)
				defer s.Close()
				d, err := s.Draft(envelope())
				if err != nil {
					t.Fatal(err)
				}
				half := size / 2
				n1, err1 := d.Write([]byte(want[:half]))
				n2, err2 := d.ReadFrom(wrap(strings.NewReader(want[half:])))
				if err := errors.Join(err1, err2); err != nil || n1 != half || int(n2) != size-half {
					t.Fatalf("Write = %d, ReadFrom = %d, %v; want %d and %d", n1, n2, err, half, size-half)
				}
				if got := d.Start(); !strings.HasPrefix(want, string(got)) || len(got) < min(size, 64<<10) {
					t.Errorf("Start has %d bytes: %.40q…", len(got), got)
				}
				if d.Size() != int64(size) {
					t.Errorf("Size = %d, want %d", d.Size(), size)
				}
				if files := disk.Files(".tmp"); (len(files) > 0) != (size > 1000) {
					t.Errorf("%d temporary files of %d bytes in all", len(files), size)
				}
				n, err := d.Commit(context.Background(), journal.Intake, nil, fact.Freed{By: "routed"})
				if err = errors.Join(err, s.Wait(n)); err != nil {
					t.Fatal(err)
				}
				d.Discard() // does nothing now
				for range 2 {
					if got, err := read(s, d.ID); err != nil || got != want {
						t.Fatalf("read %d bytes, %v; want %d", len(got), err, len(want))
					}
					if err := s.Empty(); err != nil { // now it has a file
						t.Fatal(err)
					}
				}
				s2, living := found(t, disk.Restart(rand.New(rand.NewPCG(1, 1))), small)
				defer s2.Close()
				if got, err := read(s2, d.ID); err != nil || got != want || len(living[d.ID]) != 1 {
					t.Errorf("after a power cut: %d bytes, %v, facts %v; want %d and one", len(got), err, living, len(want))
				}
			})
		}
	}
}

// When the memory for young texts is used up, texts go to files at once (F4). Their
// start is still known: hops are counted in it.
func TestDraftWithoutMemoryKnowsItsStart(t *testing.T) {
	disk, o := crashdisk.New(-1), small
	o.Memory = 1
	s := open(t, disk, o)
	defer s.Close()
	if _, err := submit(s, "one that fills the memory", nil, ""); err != nil {
		t.Fatal(err)
	}
	want := "Received: first\n" + lines(500)
	d, err := s.Draft(envelope())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Discard()
	_, err1 := io.WriteString(d, want[:16])
	_, err2 := d.ReadFrom(strings.NewReader(want[16:]))
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if len(disk.Files(".tmp")) != 1 {
		t.Fatalf("files %v, want one temporary: the test does not test", leftovers(disk))
	}
	if got := string(d.Start()); got != want {
		t.Errorf("Start = %q, want all %d bytes", got, len(want))
	}
}

// An error of the reader comes back as it is, and nothing is left of the draft.
func TestDraftOfAReaderThatFails(t *testing.T) {
	lost := errors.New("connection lost")
	for _, size := range []int{0, 10, 5000} {
		disk := crashdisk.New(-1)
		s := open(t, disk, small)
		d, err := s.Draft(envelope())
		if err != nil {
			t.Fatal(err)
		}
		n, err := d.ReadFrom(io.MultiReader(strings.NewReader(lines(size)), iotest.ErrReader(lost)))
		if err != lost || int(n) != size {
			t.Errorf("ReadFrom = %d, %v; want %d, %v", n, err, size, lost)
		}
		for range 2 { // the second time it does nothing
			d.Discard()
		}
		if left := leftovers(disk); len(left) > 0 {
			t.Errorf("after %d bytes: %v is left", size, left)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Whatever the disk refuses while a big message is received: it is refused, nothing is
// left of it, and the next one is taken.
func TestDraftOnADiskThatFails(t *testing.T) {
	for _, op := range []string{"create", "write", "datasync", "syncdir"} {
		t.Run(op, func(t *testing.T) {
			disk := crashdisk.New(-1)
			s := open(t, disk, small)
			defer s.Close()
			disk.Fail(func(o, name string) error {
				if o == op && !strings.HasSuffix(name, ".seg") {
					return syscall.ENOSPC
				}
				return nil
			})
			id, err := submit(s, lines(5000), nil, "")
			if !errors.Is(err, syscall.ENOSPC) || id != 0 {
				t.Errorf("submit = %d, %v; want ENOSPC", id, err)
			}
			if left := leftovers(disk); len(left) > 0 || s.Load().Messages > 0 {
				t.Errorf("%v is left, and %d messages", left, s.Load().Messages)
			}
			disk.Fail(nil)
			if _, err := submit(s, lines(5000), nil, ""); err != nil {
				t.Errorf("the next one: %v", err)
			}
		})
	}
}

// A draft that is thrown away was never there, whatever became of it before.
func TestDiscardLeavesNoFile(t *testing.T) {
	for _, size := range []int{0, 100, 5000} {
		disk := crashdisk.New(-1)
		s := open(t, disk, small)
		d, err := s.Draft(envelope())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Write(bytes.Repeat([]byte("virus "), size/6)); err != nil {
			t.Fatal(err)
		}
		if n := len(disk.Files(".tmp")); (n > 0) != (size == 5000) {
			t.Errorf("%d bytes: %d temporary files: the test does not test", size, n)
		}
		d.Discard()
		d.Discard()
		if left := leftovers(disk); len(left) > 0 {
			t.Errorf("%d bytes: %v is left", size, left)
		}
		s.Close()
		s, living := found(t, disk, small)
		if len(living) > 0 {
			t.Errorf("%d bytes: found %v", size, living)
		}
		s.Close()
	}
}

// A checkpoint that could not make a big message's file anew has not touched the old
// one: the next one goes on from there (F3).
func TestFileOfABigMessageIsMadeAnew(t *testing.T) {
	for _, second := range []string{"create", "write", "datasync", "rename"} {
		t.Run(second, func(t *testing.T) {
			disk, want := crashdisk.New(-1), lines(5000)
			s := open(t, disk, small)
			id, err := submit(s, want, nil, "routed")
			n, err2 := s.Append(tried(id))
			if err := errors.Join(err, err2, s.Wait(n)); err != nil {
				t.Fatal(err)
			}
			for _, op := range []string{"datasync", second} {
				disk.Fail(func(o, name string) error {
					if o == op && !strings.HasSuffix(name, ".seg") {
						return syscall.EIO
					}
					return nil
				})
				if err := s.Checkpoint(); !errors.Is(err, syscall.EIO) {
					t.Fatalf("%s fails: Checkpoint = %v", op, err)
				}
				disk.Fail(nil)
				if got, err := read(s, id); err != nil || got != want {
					t.Fatalf("%s has failed: read %d bytes, %v; want %d", op, len(got), err, len(want))
				}
			}
			if err := s.Checkpoint(); err != nil {
				t.Fatal(err)
			}
			if got, err := read(s, id); err != nil || got != want {
				t.Errorf("read %d bytes, %v; want %d", len(got), err, len(want))
			}
			s.Close()
			s, living := found(t, disk.Restart(rand.New(rand.NewPCG(1, 1))), small)
			defer s.Close()
			if got, err := read(s, id); err != nil || got != want || len(living[id]) != 2 {
				t.Errorf("after a power cut: read %d bytes, %v, facts %v; want %d and two facts", len(got), err, living[id], len(want))
			}
		})
	}
}

// A text that nobody can open is an error, not a wait: the file of a waiting message
// was taken away by hand.
func TestOpenOfATextThatIsMissing(t *testing.T) {
	disk := crashdisk.New(-1)
	s := open(t, disk, small)
	defer s.Close()
	id, err := submit(s, lines(5000), nil, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := disk.Remove(fmt.Sprintf("Queue/%02d/%d.tmp", id%100, id)); err != nil {
		t.Fatal(err)
	}
	if text, err := read(s, id); err == nil {
		t.Errorf("read %d bytes of what is not there", len(text))
	}
}
