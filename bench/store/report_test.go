package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cgq/bench/rig"
)

// twoRounds has a figure that is met, one that is missed, and one that is not there.
func twoRounds() *table {
	t := &table{Name: "part", About: "a part", Columns: []column{{"messages/s", 0}, {"of the bare log", 2}}}
	t.least("fast", "of the bare log", 0.8)
	t.most("fast", "messages/s", 100)
	t.most("refused", "messages/s", 1)
	for _, k := range []float64{1, 2} {
		t.add("fast", 100*k, 0.8)
		t.add("slow", 10*k, none)
		t.note("refused", "too many")
	}
	t.conclude()
	return t
}

func TestPrint(t *testing.T) {
	var b strings.Builder
	twoRounds().print(&b)
	want := `
     part  messages/s  of the bare log
     fast         150             0.80
     slow          15                -
  refused           -                -
refused: too many
target: fast: of the bare log at least 0.80; it is 0.80: met
target: fast: messages/s at most 100; it is 150: MISSED
target: refused: messages/s at most 1; not measured
`
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestReportFileHasTheFigures(t *testing.T) {
	path := filepath.Join(t.TempDir(), "last-store.json")
	if err := rig.WriteJSON(path, &report{Tables: []*table{twoRounds()}}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Parts []struct {
			Columns []string
			Rows    []struct {
				Case, Note string
				Figures    []float64
				Rounds     [][]float64
			}
			Targets []struct {
				Case, Column string
				Met          bool
			}
		}
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	p := got.Parts[0]
	if !slices.Equal(p.Columns, []string{"messages/s", "of the bare log"}) || len(p.Rows) != 3 || len(p.Rows[0].Rounds) != 2 ||
		!slices.Equal(p.Rows[0].Figures, []float64{150, 0.8}) || p.Rows[2].Note != "too many" {
		t.Errorf("rows = %+v under %q", p.Rows, p.Columns)
	}
	if len(p.Targets) != 3 || !p.Targets[0].Met || p.Targets[1].Met || p.Targets[2].Met {
		t.Errorf("targets = %+v, want the first met alone", p.Targets)
	}
}

func TestChoose(t *testing.T) {
	got, err := choose([]string{"restart", "commits"})
	if err != nil || len(got) != 2 || got[0].name != "restart" || got[1].name != "commits" {
		t.Errorf("choose = %+v, %v", got, err)
	}
	if _, err := choose([]string{"all"}); err == nil || !strings.Contains(err.Error(), "folders") {
		t.Errorf("choose(all) = %v, want an error that names what there is", err)
	}
}

func TestNumbers(t *testing.T) {
	if got, err := numbers("100000,5"); err != nil || !slices.Equal(got, []int{100_000, 5}) {
		t.Errorf("numbers = %v, %v", got, err)
	}
	for _, bad := range []string{"", "5,", "0", "-1", "1e5"} {
		if got, err := numbers(bad); err == nil {
			t.Errorf("numbers(%q) = %v, want an error", bad, got)
		}
	}
}

// A daemon that answers early knows all its messages only when it says 100; one that
// does not, when it has as many as there were files.
func TestIsWhole(t *testing.T) {
	for _, tt := range []struct {
		name  string
		in    map[string]int64
		want  bool
		fails bool
	}{
		{"answers late, all there", map[string]int64{"numQueuedMessages": 10}, true, false},
		{"answers late, some came on top", map[string]int64{"numQueuedMessages": 11}, true, false},
		{"some are missing", map[string]int64{"numQueuedMessages": 9}, false, false},
		{"counted and not read yet", map[string]int64{"numQueuedMessages": 10, "numUnreadMessages": 1}, false, false},
		{"answers early, all there", map[string]int64{"numQueuedMessages": 10, "numUnreadMessages": 0}, true, false},
		{"not a daemon of ours", map[string]int64{}, false, true},
	} {
		if got, err := isWhole(tt.in, 10); got != tt.want || (err != nil) != tt.fails {
			t.Errorf("%s: isWhole(%v) = %v, %v; want %v, failure %v", tt.name, tt.in, got, err, tt.want, tt.fails)
		}
	}
}

func TestBetweenCountsByTheEnd(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	all := []acceptance{{at(1), at(4)}, {at(2), at(3)}, {at(4), at(6)}, {at(4), at(5)}}
	if got := between(all, at(3), at(5)); !slices.Equal(got, []time.Duration{time.Second, 3 * time.Second}) {
		t.Errorf("between 3 and 5: %v, want those that ended at 4 and 5, sorted", got)
	}
}

func TestCrowd(t *testing.T) {
	var seen [100]bool
	got, err := crowd(t.Context(), 7, upTo(100), func(n int) error {
		seen[n] = true
		return nil
	})
	if err != nil || len(got.took) != 100 || slices.Contains(seen[:], false) {
		t.Errorf("crowd: %d calls, %v, %v; want each number once", len(got.took), err, seen)
	}
	fault := errors.New("the disk is full")
	if _, err := crowd(t.Context(), 3, upTo(1000), func(int) error { return fault }); !errors.Is(err, fault) {
		t.Errorf("crowd that fails: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := crowd(ctx, 3, upTo(1000), func(int) error { return nil }); len(got.took) > 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("crowd of an ended context: %d calls, %v", len(got.took), err)
	}
}
