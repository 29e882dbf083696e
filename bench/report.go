package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"cgq/bench/rig"
)

// A report is all that one run found; its JSON is the file.
type report struct {
	Started   time.Time   `json:"started"`
	Load      load        `json:"load"`
	Machine   rig.Machine `json:"machine"`
	Before    []rig.Calm  `json:"second_before_each_round"`
	Servers   []about     `json:"servers"`
	Workloads []table     `json:"workloads"`
}

// A table is one workload and how all did in it.
type table struct {
	workload
	Rows []row `json:"servers"`
}

// A row is how one server did in one workload; the figures are medians of the rounds.
type row struct {
	Server    string   `json:"server"`
	Rate      float64  `json:"messages_per_second"`
	CPU       float64  `json:"cpu_seconds_per_1000"`
	OfFloor   float64  `json:"of_floor,omitempty"`   // Rate as a part of the floor's
	OfPostfix float64  `json:"of_postfix,omitempty"` // and of Postfix's
	Samples   []sample `json:"samples"`              // in the order of the rounds
}

// A sample is one measurement.
type sample struct {
	Messages   int     `json:"messages"`
	Seconds    float64 `json:"seconds"`
	CPU        float64 `json:"cpu_seconds"`         // of the server, until it was at rest again
	CPUClocked float64 `json:"cpu_seconds_clocked"` // of these, while the clock ran
}

func (s sample) rate() float64 { return float64(s.Messages) / s.Seconds }

// add files s under its workload and server.
func (r *report) add(w workload, server string, s sample) {
	i := slices.IndexFunc(r.Workloads, func(t table) bool { return t.Name == w.Name })
	if i < 0 {
		i = len(r.Workloads)
		r.Workloads = append(r.Workloads, table{workload: w})
	}
	t := &r.Workloads[i]
	j := slices.IndexFunc(t.Rows, func(o row) bool { return o.Server == server })
	if j < 0 {
		j = len(t.Rows)
		t.Rows = append(t.Rows, row{Server: server})
	}
	t.Rows[j].Samples = append(t.Rows[j].Samples, s)
}

// conclude works out medians and ratios.
func (r *report) conclude() {
	for _, t := range r.Workloads {
		var floor, postfix float64
		for i := range t.Rows {
			o := &t.Rows[i]
			var rates, cpu []float64
			for _, s := range o.Samples {
				rates = append(rates, s.rate())
				cpu = append(cpu, s.CPU*1000/float64(s.Messages))
			}
			o.Rate, o.CPU = rig.Median(rates), rig.Median(cpu)
			switch o.Server {
			case "floor":
				floor = o.Rate
			case "postfix":
				postfix = o.Rate
			}
		}
		for i := range t.Rows {
			o := &t.Rows[i]
			o.OfFloor, o.OfPostfix = rig.Ratio(o.Rate, floor), rig.Ratio(o.Rate, postfix)
		}
	}
}

// preamble prints what the figures will hold for.
func (r *report) preamble(w io.Writer) {
	m := r.Machine
	fmt.Fprintf(w, "%s; %d cores, %s\n", m.Kernel, m.Cores, m.CPU)
	fmt.Fprintf(w, "queues on %s\n  %s\n", m.FileSystem, m.Directory)
	fmt.Fprintf(w, "%d messages of %d bytes, %d sessions, one recipient each\n",
		r.Load.Messages, r.Load.Bytes, r.Load.Sessions)
	for _, s := range r.Servers {
		fmt.Fprintf(w, "%s: %s\n", s.Name, s.Version)
		for _, l := range s.Settings {
			fmt.Fprintf(w, "  %s\n", l)
		}
	}
}

// tables prints the result.
func (r *report) tables(w io.Writer) {
	for _, t := range r.Workloads {
		fmt.Fprintf(w, "\n%s: %s\n", t.Name, t.About)
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(tw, "server\tmessages/s\tof floor\tof postfix\tCPU s/1000\teach round\t")
		for _, o := range t.Rows {
			fmt.Fprintf(tw, "%s\t%.0f\t%s\t%s\t%.2f\t%s\t\n", o.Server, o.Rate,
				times(o.OfFloor), times(o.OfPostfix), o.CPU, o.eachRound())
		}
		tw.Flush()
	}
}

// times shows a ratio; none is a dash.
func times(ratio float64) string {
	if ratio == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", ratio)
}

func (o row) eachRound() string {
	var all []string
	for _, s := range o.Samples {
		all = append(all, fmt.Sprintf("%.0f", s.rate()))
	}
	return strings.Join(all, " ")
}
