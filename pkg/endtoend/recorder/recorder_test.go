package recorder

import (
	"bytes"
	"fmt"
	"testing"
)

// memory is a disk in memory.
type memory []byte

func (m memory) WriteAt(p []byte, at int64) (int, error) { return copy(m[at:], p), nil }

// sectors describes a disk by the first byte of each sector, and fails when one is not
// whole.
func (m memory) sectors(t *testing.T) (s string) {
	t.Helper()
	for at := 0; at < len(m); at += Sector {
		sector := m[at : at+Sector]
		if !bytes.Equal(sector, bytes.Repeat(sector[:1], Sector)) {
			t.Fatalf("the sector at %d is torn", at)
		}
		s += string(max(sector[0], '.'))
	}
	return s
}

// history writes aaaa, flushes, and then writes bb over its first half, zeros over the
// rest, and c behind all.
func history(t *testing.T, r *Recording) {
	t.Helper()
	write := func(c byte, sector, n int) {
		if _, err := r.WriteAt(bytes.Repeat([]byte{c}, n*Sector), int64(sector)*Sector); err != nil {
			t.Fatal(err)
		}
	}
	write('a', 0, 4)
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	write('b', 0, 2)
	write(0, 2, 2)
	write('c', 4, 1)
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := r.Clear(0, 2*Sector); err != nil {
		t.Fatal(err)
	}
}

const diskSize = 8 * Sector

func image(t *testing.T, r *Recording, c Cut) string {
	t.Helper()
	m := make(memory, diskSize)
	if _, err := r.Image(m, c); err != nil {
		t.Fatal(err)
	}
	return m.sectors(t)
}

// Every state that a disk may be in is found, and no other.
func TestImagesAreAllThatADiskMayHold(t *testing.T) {
	r, err := Create(t.TempDir(), diskSize)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	history(t, r)
	any2 := func(first, second string) (all []string) { // of two sectors, one way or the other each
		return []string{first, first[:1] + second[1:], second[:1] + first[1:], second}
	}
	cross := func(lists ...[]string) map[string]bool {
		all := []string{""}
		for _, list := range lists {
			var next []string
			for _, a := range all {
				for _, b := range list {
					next = append(next, a+b)
				}
			}
			all = next
		}
		set := map[string]bool{}
		for _, s := range all {
			set[s] = true
		}
		return set
	}
	for _, tt := range []struct {
		name string
		cut  Cut
		want map[string]bool
	}{
		{"before anything", Cut{Ops: 0}, cross([]string{"........"})},
		{"between write and flush", Cut{Ops: 1}, cross(any2("..", "aa"), any2("..", "aa"), []string{"...."})},
		{"after the flush", Cut{Ops: 2}, cross([]string{"aaaa...."})},
		{"three writes later", Cut{Ops: 5}, cross(any2("aa", "bb"), any2("aa", ".."), []string{"....", "c..."})},
		{"in larger units", Cut{Ops: 5, Unit: 2 * Sector},
			cross([]string{"aa", "bb"}, []string{"aa", ".."}, []string{"....", "c..."})},
		{"after the second flush", Cut{Ops: 6}, cross([]string{"bb..c..."})},
		{"that was a lie", Cut{Ops: 6, Lies: 1}, cross(any2("aa", "bb"), any2("aa", ".."), []string{"....", "c..."})},
		{"after a discard", Cut{Ops: 7}, cross(any2("bb", ".."), []string{"..c..."})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := map[string]bool{}
			for seed := range uint64(20_000) {
				tt.cut.Seed = seed
				got[image(t, r, tt.cut)] = true
			}
			if fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("states\n%v; want\n%v", got, tt.want)
			}
		})
	}
	if got, want := r.Now(), (Moment{7, 2}); got != want {
		t.Errorf("Now = %v, want %v", got, want)
	}
	for ops, want := range []int{0, 0, 1, 1, 1, 1, 2, 2} {
		if got := r.At(ops); got != (Moment{ops, want}) {
			t.Errorf("At(%d) = %v, want %d flushes", ops, got, want)
		}
	}
}

func TestARecordingIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	r, err := Create(dir, diskSize)
	if err != nil {
		t.Fatal(err)
	}
	history(t, r)
	var before []string
	for seed := range uint64(50) {
		before = append(before, image(t, r, Cut{Ops: 5, Seed: seed}))
	}
	now := r.Now()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err = Open(dir); err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got := r.Now(); got != now {
		t.Errorf("Now = %v, was %v", got, now)
	}
	for seed, want := range before {
		if got := image(t, r, Cut{Ops: 5, Seed: uint64(seed)}); got != want {
			t.Errorf("seed %d: %s, was %s", seed, got, want)
		}
	}
	if _, err := r.WriteAt(make([]byte, 2), diskSize-1); err == nil {
		t.Error("a write beyond the end is taken")
	}
}
