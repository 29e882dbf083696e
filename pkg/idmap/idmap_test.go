package idmap_test

import (
	"maps"
	"math"
	"runtime"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"cgq/pkg/idmap"
	"cgq/pkg/mail"
)

// A map does what a Go map and a sort do.
func TestLikeAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m idmap.Map[int]
		model := map[mail.ID]int{}
		id := func(label string) mail.ID {
			return mail.ID(rapid.OneOf(rapid.Uint64Range(1, 1500), rapid.Uint64Range(math.MaxUint64-300, math.MaxUint64)).Draw(t, label))
		}
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				i, v := id("id"), rapid.Int().Draw(t, "value")
				m.Set(i, v)
				model[i] = v
			},
			"run": func(t *rapid.T) { // as messages come
				from := id("from")
				for i := range mail.ID(rapid.IntRange(1, 600).Draw(t, "n")) {
					if from+i >= from && from+i != 0 {
						m.Set(from+i, int(i))
						model[from+i] = int(i)
					}
				}
			},
			"delete": func(t *rapid.T) {
				i := id("id")
				m.Delete(i)
				delete(model, i)
			},
			"thin": func(t *rapid.T) { // as messages go
				keep := mail.ID(rapid.IntRange(2, 300).Draw(t, "keep"))
				for i := range model {
					if i%keep != 0 {
						m.Delete(i)
						delete(model, i)
					}
				}
			},
			"change": func(t *rapid.T) {
				i := id("id")
				if p := m.Ref(i); p != nil {
					*p++
					model[i]++
				}
			},
			"": func(t *rapid.T) {
				if m.Len() != len(model) {
					t.Fatalf("Len = %d, want %d", m.Len(), len(model))
				}
				want := slices.Sorted(maps.Keys(model))
				var got []mail.ID
				for i, v := range m.All() {
					if got = append(got, i); v != model[i] {
						t.Fatalf("All yields %d of %d, want %d", v, i, model[i])
					}
				}
				if !slices.Equal(got, want) {
					t.Fatalf("All yields %v, want %v", got, want)
				}
				after := id("after")
				at, found := slices.BinarySearch(want, after)
				if found {
					at++
				}
				got = got[:0]
				for i := range m.After(after) {
					got = append(got, i)
				}
				if !slices.Equal(got, want[at:]) {
					t.Fatalf("After(%d) yields %v, want %v", after, got, want[at:])
				}
				v, ok := m.Get(after)
				if wantV, wantOK := model[after]; v != wantV || ok != wantOK {
					t.Fatalf("Get(%d) = %d, %v, want %d, %v", after, v, ok, wantV, wantOK)
				}
				last := mail.ID(0)
				if len(want) > 0 {
					last = want[len(want)-1]
				}
				if m.Last() != last {
					t.Fatalf("Last = %d, want %d", m.Last(), last)
				}
			},
		})
	})
}

// Values cost little more than themselves when ids stand close, and not much more
// when only one in a page is left.
func TestMemory(t *testing.T) {
	const n = 200_000
	live := func() uint64 {
		var s runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	before := live()
	var m idmap.Map[uint64]
	for i := range mail.ID(n) {
		m.Set(1000+i, uint64(i))
	}
	if per := (live() - before) / n; per > 11 {
		t.Errorf("%d bytes a value of 8 bytes, want at most 11", per)
	}
	for _, keep := range []mail.ID{2, 4, 16, 256} { // as messages go
		for i := range mail.ID(n) {
			if i%keep != 0 {
				m.Delete(1000 + i)
			}
		}
		if per := (live() - before) / uint64(m.Len()); per > 300 || keep <= 16 && per > 24 {
			t.Errorf("one in %d is left: %d bytes a value of 8 bytes, want at most 24, and if it stands alone 300", keep, per)
		}
	}
	runtime.KeepAlive(&m)
}

func BenchmarkGet(b *testing.B) {
	var m idmap.Map[*int]
	for i := range mail.ID(1_000_000) {
		if i%3 != 0 {
			m.Set(i+1, new(int))
		}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		m.Get(mail.ID(i*7919%1_000_000 + 1))
	}
}
