package selection_test

import (
	"testing"

	"cgq/pkg/selection"
)

var benchmarks = []struct {
	name  string
	terms selection.Terms
	alloc bool
}{
	{"sender", selection.Terms{Sender: []string{"ann@example.net"}}, false},
	{"senders", selection.Terms{Sender: []string{"a@example.net", "b@example.net", "ann@example.net"}}, false},
	{"wild", selection.Terms{Sender: []string{"*@example.net"}}, false},
	{"error", selection.Terms{Error: []string{"greylist"}}, true}, // its text is not ASCII
	{"age+state", selection.Terms{Age: []string{">1h"}, State: []string{"active"}}, false},
	{"regexp", selection.Terms{Sender: []string{"~^ann@"}}, true},
	{"where number", selection.Terms{Where: "attempts > 2"}, true},
	{"where", selection.Terms{Where: `age > duration("1h") && sender == "ann@example.net"`}, true},
}

func BenchmarkMatches(b *testing.B) {
	r := one()
	for _, bb := range benchmarks {
		b.Run(bb.name, func(b *testing.B) {
			s := compile(b, bb.terms)
			b.ReportAllocs()
			for b.Loop() {
				if ok, err := s.Matches(r, now); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
	}
}

func TestFlagsAllocateNothing(t *testing.T) {
	r := one()
	for _, bb := range benchmarks {
		s := compile(t, bb.terms)
		n := testing.AllocsPerRun(100, func() { _, _ = s.Matches(r, now) })
		if n > 0 && !bb.alloc {
			t.Errorf("%s: Matches allocates %v times", s, n)
		}
	}
}
