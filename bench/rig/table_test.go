package rig

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// twoRounds has a figure that is met, one that is missed, and one that is not there.
func twoRounds() *Table {
	t := &Table{Name: "part", About: "a part", Columns: Columns("%.0f messages/s", "%.2f of the bare log")}
	t.Least("fast", "of the bare log", 0.8)
	t.Most("fast", "messages/s", 100)
	t.Most("refused", "messages/s", 1)
	for _, k := range []float64{1, 2} {
		t.Add("fast", 100*k, 0.8)
		t.Add("slow", 10*k, None)
		t.Note("refused", "too many")
	}
	t.Conclude()
	return t
}

func TestPrint(t *testing.T) {
	var b strings.Builder
	twoRounds().Print(&b)
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
	if err := WriteJSON(path, &Report{Tables: []*Table{twoRounds()}}); err != nil {
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

func TestWorstColumn(t *testing.T) {
	tab := &Table{Columns: Columns("%.0f ms", "%.0f worst ms")}
	tab.Columns[1].Worst = true
	for _, ms := range []float64{3, 9, 1} {
		tab.Add("a", ms, ms)
	}
	tab.Add("b", 1, None)
	tab.Conclude()
	if a, b := tab.Rows[0].Figures, tab.Rows[1].Figures; !slices.Equal(a, []float64{3, 9}) || !slices.Equal(b, []float64{1, None}) {
		t.Errorf("figures = %v, %v; want 3 and 9, 1 and none", a, b)
	}
}
