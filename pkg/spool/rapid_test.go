package spool_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/spool"
)

// living are the labels of the messages that one may say something of.
func (w *world) living() (labels []string) {
	for _, text := range slices.Sorted(maps.Keys(w.promises)) {
		if p := w.promises[text]; p.accepted && !p.leaving && !p.dropped {
			labels = append(labels, strings.TrimRight(text, "."))
		}
	}
	return labels
}

// anything is one random step of a life, the nth.
func (w *world) anything(t *rapid.T, n int) error {
	labels := w.living()
	label, said := fmt.Sprint("m", n), fmt.Sprint("said", n)
	some := func() []string {
		n := rapid.IntRange(1, min(4, len(labels))).Draw(t, "how many")
		return rapid.SliceOfNDistinct(rapid.SampledFrom(labels), n, n, rapid.ID[string]).Draw(t, "which")
	}
	wait := rapid.Bool().Draw(t, "wait")
	what := rapid.IntRange(0, 11).Draw(t, "what")
	if len(labels) == 0 && what > 4 {
		what %= 5
	}
	switch what {
	case 0, 1:
		return w.submit(label, rapid.SampledFrom([]int{5, 300, 1300, 3000}).Draw(t, "size"))
	case 2:
		return w.checkpoint()
	case 3:
		return w.abandon(rapid.SampledFrom([]int{10, 500}).Draw(t, "size"))
	case 4:
		return w.stand(wait, said)
	case 5, 6:
		return w.facts(wait, said, some()...)
	case 7:
		return w.facts(wait, said+strings.Repeat("h", 300), some()...)
	case 8:
		return w.beget(label, some()[0])
	case 9, 10:
		return w.goodbye(wait, some()[0])
	}
	return w.refold(rapid.SampledFrom([]spool.Foldering{spool.Flat, spool.Ten, spool.Hundred, spool.Auto}).Draw(t, "foldering"))
}

// failsOnce makes the nth write or sync of the journal or of a message file fail; 0: none.
func failsOnce(n int, failed *bool) crashdisk.Fault {
	return func(op, name string) error {
		if ext := path.Ext(name); op != "datasync" && op != "write" || ext != ".seg" && ext != ".msg" && ext != ".tmp" {
			return nil
		}
		if n--; n == 0 {
			*failed = true
			return syscall.EIO
		}
		return nil
	}
}

// Long lives of any steps on a disk that fails once, cut short three deep, by power or by
// death.
func TestAnyLifeKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, w, n, failed := crashdisk.New(-1), newWorld(), 0, false
		steps := make([]func() error, rapid.IntRange(5, 40).Draw(t, "steps"))
		for i := range steps {
			steps[i] = func() error { n++; return w.anything(t, n) }
		}
		live := func(steps []func() error) {
			_, err := w.life(d, steps)
			if failed && err != nil && strings.Contains(err.Error(), "called damage") {
				t.Skip("R3: after a failed sync and a death, memory has shown what the disk lacks")
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for life := range 4 {
			power := -1
			if life < 3 {
				power = rapid.IntRange(0, 300).Draw(t, "power")
			}
			d.PowerFor(power)
			d.Fail(failsOnce(rapid.IntRange(0, 60).Draw(t, "a sync or write fails"), &failed))
			live(steps)
			if rapid.Bool().Draw(t, "power lost") { // else only the process has died
				d = d.Restart(rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "how"), 0)))
			}
		}
		d.PowerFor(-1)
		d.Fail(nil)
		live(nil)
	})
}
