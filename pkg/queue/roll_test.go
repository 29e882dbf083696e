package queue

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// However host queues come and go, and whenever somebody asks, he has those that are there,
// and what he was given before stays as it was.
func TestRoll(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6)) //nolint:gosec // the same each time
	var r roll
	there := map[Key]*host{}
	var before, copied []Key
	for range 20_000 {
		k := Key{[]string{"LOCAL", "SMTP"}[random.IntN(2)], fmt.Sprint("q", random.IntN(300))}
		switch h := there[k]; {
		case random.IntN(50) == 0:
			got, want := r.keys(there), slices.SortedFunc(maps.Keys(there), Key.compare)
			if !slices.Equal(got, want) {
				t.Fatalf("keys = %v, want %v", got, want)
			}
			if !slices.Equal(before, copied) {
				t.Fatal("what was given before has changed")
			}
			before, copied = got, slices.Clone(got)
		case h == nil:
			there[k] = &host{}
			r.add(k, len(there))
		default:
			delete(there, k)
			r.drop()
		}
	}
}

// Nobody asks, and it does not grow for ever.
func TestRollThatNobodyReads(t *testing.T) {
	var r roll
	there := map[Key]*host{}
	r.keys(there)
	k := Key{"SMTP", "a"}
	for range 10 * idle {
		there[k] = &host{}
		r.add(k, len(there))
		delete(there, k)
		r.drop()
		if len(r.added) > idle+2 {
			t.Fatalf("%d keys are remembered of 1", len(r.added))
		}
	}
	there[k] = &host{}
	r.add(k, len(there))
	if got := r.keys(there); !slices.Equal(got, []Key{k}) {
		t.Errorf("keys = %v", got)
	}
}

func BenchmarkRoll(b *testing.B) {
	var r roll
	there := map[Key]*host{}
	for i := range 10_000 {
		k := Key{"SMTP", fmt.Sprintf("domain-%05d.example", i*7919%10_000)}
		there[k] = &host{}
	}
	r.keys(there)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		k := Key{"SMTP", fmt.Sprint("new-", i, ".example")}
		there[k] = &host{}
		r.add(k, len(there))
		r.keys(there)
		delete(there, k)
		r.drop()
	}
}
