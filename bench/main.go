// Command bench measures cgqd side by side with Postfix and with the floor, the least
// Go program that could do the work (bench/floor), on one machine in one run. What is
// measured, how, and how to read the figures is in README.md beside this file.
//
//	bench [-rounds 3] [-messages 20000] [-only accept-kept,…] [-contestants floor,cgqd,postfix]
//
// It ends only processes that it started, and leaves nothing behind but the JSON file.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"cgq/bench/rig"
)

// A workload is one of the things that are measured.
type workload struct {
	Name  string `json:"name"`
	About string `json:"about"`
	kept  bool   // the source keeps its connections
	relay bool   // every message is sent on, and the clock runs until the sink has all
	by    way    // how mail comes in
}

// A way is how mail comes in.
type way int

const (
	bySMTP     way = iota
	byPrograms     // a call of sendmail for each message
	byFiles        // it lies where the server looks for it
)

var workloads = []workload{
	{"accept-single", "accepted and durable; a connection a message", false, false, bySMTP},
	{"accept-kept", "accepted and durable; connections kept", true, false, bySMTP},
	{"relay-single", "accepted, durable, relayed; a connection a message", false, true, bySMTP},
	{"relay-kept", "accepted, durable, relayed; connections kept", true, true, bySMTP},
	{"sendmail", "handed in by sendmail and durable; a tenth of the messages", false, false, byPrograms},
	{"files", "found at the start, in Submitted/ or maildrop, and in the queue; half of the messages", false, false, byFiles},
}

// options are what the command line says.
type options struct {
	load        load
	rounds      int
	only        []string // names of workloads
	contestants []string // their names
	dir         string   // where to measure; "": a file system made for it
	image       string   // directory for the image of that file system
	bin         string   // directory of the programs
	json        string   // file for the report
}

func parse() options {
	o := options{load: load{Sessions: 20, Bytes: 4096}, dir: os.Getenv("BENCH_DIR")}
	flag.IntVar(&o.rounds, "rounds", 3, "`times` that each is measured")
	flag.IntVar(&o.load.Messages, "messages", 20_000, "`messages` a measurement")
	only := flag.String("only", "", "measure only these `workloads`, separated by commas (default all)")
	who := flag.String("contestants", "floor,cgqd,postfix", "measure these `servers`")
	flag.StringVar(&o.image, "image-dir", "/var/tmp", "make the file system in an image file in `directory`")
	flag.StringVar(&o.bin, "bin", "bin", "find cgqd, cgq and floor in `directory`")
	flag.StringVar(&o.json, "json", "bench/last.json", "write the figures to `file`")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: bench [flags]; BENCH_DIR names a directory to measure in")
		flag.PrintDefaults()
	}
	flag.Parse()
	for _, w := range workloads {
		o.only = append(o.only, w.Name)
	}
	if *only != "" {
		o.only = strings.Split(*only, ",")
	}
	o.contestants = strings.Split(*who, ",")
	return o
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench: ")
	o := parse()
	if flag.NArg() > 0 || o.rounds < 1 || o.load.Messages < 1 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// imageGiB is the size of the file system made for the measurement.
const imageGiB = 4

// run measures what o asks for, prints the report and writes it.
func run(ctx context.Context, o options) (err error) {
	chosen, err := choose(o.only)
	if err != nil {
		return err
	}
	servers, err := contestants(ctx, o.contestants, o.bin)
	if err != nil {
		return err
	}
	site, err := rig.Open(ctx, rig.Plan{Dir: o.dir, ImageDir: o.image, GiB: imageGiB})
	if err != nil {
		return err
	}
	defer func() {
		if e := site.Close(); err == nil {
			err = e
		}
	}()
	r := report{Started: time.Now().UTC().Truncate(time.Second), Load: o.load, Machine: rig.ThisMachine(site)}
	for _, c := range servers {
		r.Servers = append(r.Servers, c.about())
	}
	r.preamble(os.Stdout)
	b := bench{site: site, load: o.load}
	if err := b.rounds(ctx, &r, o.rounds, chosen, servers); err != nil {
		return err
	}
	r.conclude()
	r.tables(os.Stdout)
	return rig.WriteJSON(o.json, r)
}

func choose(names []string) ([]workload, error) {
	var chosen []workload
	for _, name := range names {
		i := slices.IndexFunc(workloads, func(w workload) bool { return w.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("no workload %q; there are accept-single, accept-kept, relay-single, relay-kept, sendmail, files", name)
		}
		chosen = append(chosen, workloads[i])
	}
	return chosen, nil
}

// A bench measures at a site.
type bench struct {
	site  *rig.Site
	load  load
	ports rig.Ports
	runs  int
}

// rounds measures every workload with every server in turn, n times, into r.
func (b *bench) rounds(ctx context.Context, r *report, n int, chosen []workload, servers []contestant) error {
	for round := range n {
		q, err := rig.Quiet(ctx)
		if err != nil {
			return err
		}
		r.Before = append(r.Before, q)
		fmt.Printf("round %d of %d, the second before it: %s\n", round+1, n, q)
		for _, w := range chosen {
			for _, c := range servers {
				if _, ok := c.(mailer); w.by != bySMTP && !ok {
					continue // the floor has no programs
				}
				s, err := b.measure(ctx, c, w)
				if err != nil {
					return fmt.Errorf("round %d: %s: %s: %w", round+1, w.Name, c.about().Name, err)
				}
				r.add(w, c.about().Name, s)
				fmt.Printf("  %-14s %-8s %8.0f messages/s\n", w.Name, c.about().Name, s.rate())
			}
		}
	}
	return nil
}

// limit is how long one measurement may take before it counts as hung.
const limit = 10 * time.Minute

// measure starts c afresh, warms it, and takes one sample of w.
func (b *bench) measure(ctx context.Context, c contestant, w workload) (s sample, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not done after %v", limit))
	defer cancel()
	b.runs++
	in := place{dir: filepath.Join(b.site.Dir, fmt.Sprintf("%s-%d", c.about().Name, b.runs)), relay: w.relay, local: w.by != bySMTP}
	if in.port, err = b.ports.Next(); err != nil {
		return s, err
	}
	if in.next, err = b.ports.Next(); err != nil {
		return s, err
	}
	if err := os.Mkdir(in.dir, 0o755); err != nil {
		return s, err
	}
	defer os.RemoveAll(in.dir)
	var to *sink
	if w.relay {
		if to, err = startSink(ctx, in.next); err != nil {
			return s, err
		}
		defer to.close()
	}
	m, _ := c.(mailer)
	if w.by == byFiles {
		return b.drained(ctx, m, in)
	}
	srv, err := c.start(ctx, in)
	if err != nil {
		return s, err
	}
	defer func() { err = srv.end(err) }()
	if w.by == byPrograms {
		return b.calls(ctx, m, srv, in)
	}
	return b.sample(ctx, srv, to, in, w)
}

// sample warms srv, runs the clock, and checks that the server has done what it was timed for.
func (b *bench) sample(ctx context.Context, srv *server, to *sink, in place, w workload) (s sample, err error) {
	warm := b.load
	warm.Messages = min(b.load.Messages, 500)
	if err := warm.run(ctx, in.port, w.kept, to, 0); err != nil {
		return s, fmt.Errorf("warming up: %w", err)
	}
	if err := srv.Settle(ctx); err != nil {
		return s, err
	}
	if err := b.site.Sync(); err != nil { // what earlier runs left to be written
		return s, err
	}
	before, err := srv.CPU()
	if err != nil {
		return s, err
	}
	begin := time.Now()
	if err := b.load.run(ctx, in.port, w.kept, to, warm.Messages); err != nil {
		return s, err
	}
	s.Seconds, s.Messages = time.Since(begin).Seconds(), b.load.Messages
	clocked, err := srv.CPU()
	if err != nil {
		return s, err
	}
	all, err := srv.atRest(ctx)
	if err != nil {
		return s, err
	}
	s.CPUClocked, s.CPU = (clocked - before).Seconds(), (all - before).Seconds()
	return s, audit(ctx, srv, to, warm.Messages+b.load.Messages)
}

// audit proves the sum: what was sent is in the queue, or, with a sink, is there exactly
// once and the queue is empty.
func audit(ctx context.Context, srv *server, to *sink, sent int) error {
	want := sent
	if to != nil {
		want = 0
		got, err := to.count()
		if err != nil {
			return err
		}
		if got != sent {
			return fmt.Errorf("the sink counts %d messages, want %d", got, sent)
		}
	}
	if srv.queued == nil {
		return nil
	}
	for try := 0; ; try++ {
		got, err := srv.queued(ctx)
		switch {
		case err != nil:
			return fmt.Errorf("count the queue: %w", err)
		case got == want:
			return nil
		case try == 20: // a file that moves meanwhile counts twice
			return fmt.Errorf("%d messages are queued at the end, want %d", got, want)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
