package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cgq/bench/rig"
)

// twoRounds has the floor, cgqd and Postfix in one workload and cgqd alone in another.
func twoRounds() *report {
	r := &report{Load: load{Messages: 1000, Sessions: 20, Bytes: 4096}}
	for _, k := range []float64{1, 3} {
		r.add(workloads[0], "floor", sample{Messages: r.Load.Messages, Seconds: 0.1 * k, CPU: 0.05})
		r.add(workloads[0], "cgqd", sample{Messages: r.Load.Messages, Seconds: 0.2 * k, CPU: 0.1 * k})
		r.add(workloads[0], "postfix", sample{Messages: r.Load.Messages, Seconds: 1 * k, CPU: 1.5})
		r.add(workloads[3], "cgqd", sample{Messages: r.Load.Messages, Seconds: 0.5 * k, CPU: 0.2})
	}
	r.conclude()
	return r
}

func TestTables(t *testing.T) {
	var b strings.Builder
	twoRounds().tables(&b)
	want := `
accept-single: accepted and durable; a connection a message
   server  messages/s  of floor  of postfix  CPU s/1000  each round
    floor        6667      1.00       10.00        0.05  10000 3333
     cgqd        3333      0.50        5.00        0.20   5000 1667
  postfix         667      0.10        1.00        1.50    1000 333

relay-kept: accepted, durable, relayed; connections kept
  server  messages/s  of floor  of postfix  CPU s/1000  each round
    cgqd        1333         -           -        0.20    2000 667
`
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestReportFileHasTheFigures(t *testing.T) {
	path := filepath.Join(t.TempDir(), "last.json")
	if err := rig.WriteJSON(path, twoRounds()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Workloads []struct {
			Name    string
			Servers []struct {
				Server  string
				OfFloor float64 `json:"of_floor"`
				CPU     float64 `json:"cpu_seconds_per_1000"`
				Samples []struct{ Seconds float64 }
			}
		}
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Workloads) != 2 || len(got.Workloads[0].Servers) != 3 {
		t.Fatalf("%d workloads, want 2, the first with 3 servers: %s", len(got.Workloads), text)
	}
	c := got.Workloads[0].Servers[1]
	if c.Server != "cgqd" || c.OfFloor != 0.5 || c.CPU < 0.199 || c.CPU > 0.201 || len(c.Samples) != 2 {
		t.Errorf("row = %+v, want cgqd with 0.5 of the floor, 0.2 s and two samples", c)
	}
}

func TestChoose(t *testing.T) {
	got, err := choose([]string{"relay-kept", "accept-single"})
	if err != nil || len(got) != 2 || !got[0].relay || !got[0].kept || got[1].relay || got[1].kept {
		t.Errorf("choose = %+v, %v", got, err)
	}
	if _, err := choose([]string{"accept"}); err == nil || !strings.Contains(err.Error(), "accept-single") {
		t.Errorf("choose(accept) = %v, want an error that names what there is", err)
	}
}
