package journal

import (
	"bytes"
	"errors"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"cgq/pkg/disk"
	"cgq/pkg/disk/crashdisk"
)

var fuzzed = Options{SegmentSize: 128 << 10, Segments: 3} // frames of 8 KiB

// forged is a block with a header that passes, of any version, as a stranger who knows
// the form may make it.
func forged(version uint32, serial, salt, after uint64) []byte {
	b := make([]byte, block)
	copy(b, magic)
	le.PutUint32(b[8:], version)
	le.PutUint64(b[16:], serial)
	le.PutUint64(b[24:], salt)
	le.PutUint64(b[32:], after)
	le.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	return b
}

// whole is a commit, padded.
func whole(number Number, salt uint64, payloads ...string) []byte {
	c := build(payloads...)
	c.number, c.seg.salt = number, salt
	return c.encode()
}

// place writes a file, synced.
func place(t testing.TB, d disk.FS, name string, b []byte) {
	t.Helper()
	f, err := d.Create(name)
	if err == nil {
		_, err = f.WriteAt(b, 0)
	}
	if err = errors.Join(err, f.Datasync(), d.SyncDir("j")); err != nil {
		t.Fatal(err)
	}
}

// listing is what a replay tells, and "damage" for a hole.
func listing(t testing.TB, j *Journal) (got []string) {
	t.Helper()
	for f, err := range j.Replay() {
		if err != nil {
			got = append(got, "damage")
			continue
		}
		got = append(got, string(f.Payload))
	}
	return got
}

// append1 makes one frame durable.
func append1(t testing.TB, j *Journal, payload []byte) Number {
	t.Helper()
	n, err := j.Append(1, 1, payload)
	if err == nil {
		err = j.Wait(n)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Frames come back as they were, whatever is in them.
func FuzzFrame(f *testing.F) {
	f.Add([]byte("a"), []byte(""), uint64(1), uint32(2))
	f.Add(whole(1, 1, "inside"), bytes.Repeat([]byte{0}, 64), uint64(0), uint32(0))
	f.Fuzz(func(t *testing.T, a, b []byte, id uint64, kind uint32) {
		c := build()
		c.add(Kind(kind), id, len(a), [][]byte{a})
		c.add(Kind(kind)+1, id+1, len(a)+len(b), [][]byte{b, a})
		for range 2 { // laid anew, it is the same
			got, ok := decode(c.encode())
			if !ok {
				t.Fatal("what was encoded is not decoded")
			}
			frames := slices.Collect(got.all())
			want := []Frame{{2, Kind(kind), id, a}, {2, Kind(kind) + 1, id + 1, slices.Concat(b, a)}}
			if !slices.EqualFunc(frames, want, func(x, y Frame) bool {
				return x.Number == y.Number && x.Kind == y.Kind && x.ID == y.ID && bytes.Equal(x.Payload, y.Payload)
			}) {
				t.Errorf("decoded %v, want %v", frames, want)
			}
		}
	})
}

// J2: whatever is in a payload, whole commits and segments not excepted, it is told as
// that payload, and where its own commit is gone as nothing at all.
func FuzzPayloadForgesNothing(f *testing.F) {
	inside := block - commitHeader - frameHeader // from there on at a boundary
	f.Add([]byte("text"))
	f.Add([]byte{})
	f.Add(slices.Concat(make([]byte, inside), whole(2, 0, "forged"), whole(3, 0, "forged")))
	f.Add(slices.Concat(make([]byte, inside), forged(version, 9, 0, 0), whole(1, 0, "forged")))
	f.Fuzz(func(t *testing.T, payload []byte) {
		d := crashdisk.New(-1)
		j, err := Open(d, "j", fuzzed)
		if err != nil {
			t.Fatal(err)
		}
		payload = payload[:min(len(payload), j.FrameLimit())]
		name := j.tail.name
		append1(t, j, payload)
		append1(t, j, []byte("after"))
		j.Close()
		for _, want := range [][]string{{string(payload), "after"}, {"damage", "after"}} {
			if j, err = Open(d, "j", fuzzed); err != nil {
				t.Fatal(err)
			}
			if got := listing(t, j); !slices.Equal(got, want) {
				t.Errorf("replay = %.60q, want %.60q", got, want)
			}
			j.Close()
			seg, err := d.Open(name)
			if err == nil {
				_, err = seg.WriteAt([]byte("XXXX"), block+24) // its check sum
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

// signed puts the right check sums into whatever might be a header or a commit.
func signed(b []byte) {
	le.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	for off := block; off+commitHeader <= len(b); off += block {
		if end := commitHeader + int64(le.Uint32(b[off+16:])); end <= int64(len(b)-off) {
			le.PutUint32(b[off+24:], checksum(b[off:int64(off)+end]))
		}
	}
}

// Whatever bytes are in a segment: a start either refuses them for their version, or tells
// what it found, the same at each start, as Read does, and the journal goes on behind it.
func FuzzRecovery(f *testing.F) {
	f.Add([]byte{}, []byte("no header"), true)
	f.Add(forged(version, 1, 7, 0), slices.Concat(whole(1, 7, "one"), whole(2, 7, "two", "three")), true)
	f.Add(forged(version, 1, 7, 0), slices.Concat(whole(1, 7, "one"), whole(4, 7, "a hole before")), true)
	f.Add(forged(version, 1, 7, 5), slices.Concat(whole(1, 7, "old"), whole(1<<63, 7, "far away")), true)
	f.Add(forged(version, 1<<62, 7, 1<<62), whole(1<<62+1, 7, "large"), true)
	f.Add(forged(version, 0, 0, 9), whole(10, 7, "in a free one"), true)
	f.Add(forged(version+1, 1, 7, 0), whole(1, 7, "newer"), true)
	f.Add([]byte("torn"), slices.Concat(whole(3, 7, "without a header"), whole(4, 8, "a stranger's")), false)
	f.Fuzz(func(t *testing.T, header, rest []byte, sign bool) {
		d := crashdisk.New(-1)
		hostile := make([]byte, block, block+len(rest))
		copy(hostile, header)
		hostile = append(hostile, rest...)
		hostile = hostile[:min(len(hostile), 64<<10)]
		if sign {
			signed(hostile)
		}
		if le.Uint64(hostile[16:])>>62 == 3 || le.Uint64(hostile[32:])>>62 == 3 {
			t.Skip("after so many uses, or commits, numbers end")
		}
		place(t, d, "j/00000007.seg", hostile)
		var want []string
		for life := range 3 {
			c, err := Read(d, "j", fuzzed)
			if errors.Is(err, ErrVersion) {
				refused(t, d, hostile)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for f, err := range c.Replay() {
				if life == 0 && err == nil {
					want = append(want, string(f.Payload))
				} else if life == 0 {
					want = append(want, "damage")
				}
			}
			j, err := Open(d, "j", fuzzed)
			if err != nil {
				t.Fatal(err)
			}
			if j.Durable() >= 1<<62 {
				t.Skip("numbers end")
			}
			if got := listing(t, j); !slices.Equal(got, want) {
				t.Errorf("life %d: replay = %.60q, want %.60q", life, got, want)
			}
			append1(t, j, []byte("later"))
			want = append(want, "later")
			if err := j.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// refused says that a start leaves everything as it is, and tells what to do (R5).
func refused(t *testing.T, d *crashdisk.Disk, was []byte) {
	t.Helper()
	if _, err := Open(d, "j", fuzzed); !errors.Is(err, ErrVersion) || !strings.Contains(err.Error(), "stop it cleanly") {
		t.Errorf("Open = %v, want ErrVersion and what to do", err)
	}
	if files := d.Files(""); len(files) != 1 || files["j/00000007.seg"] != string(was) {
		t.Errorf("refused, and changed: %d files", len(files))
	}
}
