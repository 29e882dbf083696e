// Command queue measures what a full Queue costs: its memory, and what administrators
// ask of it and do with it, over the control socket of cgqd, while mail comes in; each
// beside the target that was set for it. What is measured, how, and how to read the
// figures is in bench/README.md.
//
//	queue [-messages 1000000] [-queues 10000] [-rounds 3] [-only memory,lists,face,acts,clients]
//
// It ends only processes that it started, and leaves nothing behind but the JSON file.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"cgq/bench/full"
	"cgq/bench/rig"
)

// A part is one of the things that are measured.
type part struct {
	name string
	make func(b *bench) (*rig.Table, measurement)
}

// A measurement takes b.rounds samples into its table.
type measurement func(ctx context.Context, t *rig.Table) error

var parts = []part{
	{"memory", memory}, // first: it needs the Queue for itself
	{"lists", lists},
	{"face", face},
	{"acts", acts},
	{"clients", clients},
}

func partNames() (all []string) {
	for _, p := range parts {
		all = append(all, p.name)
	}
	return all
}

// maxRounds is how often two parts find messages that a release has not freed before.
const maxRounds = (10 - released) / 2

// options are what the command line says.
type options struct {
	only             []string // names of parts
	messages, queues int
	rounds           int
	channels         int     // of the module SMTP
	seconds          float64 // of what acts are compared with: longer than journal_age, or the mail that clients send gets no files meanwhile
	plan             rig.Plan
	bin              string // directory of the programs
	json             string // file for the report
	profile          string // file for a CPU profile of the daemon; "": none
	hurry            bool   // measures a daemon that may not be at rest: for tests
}

func parse() (o options, err error) {
	o.plan = rig.Plan{Dir: os.Getenv("BENCH_DIR"), GiB: 8, Inodes: 1_700_000}
	only := flag.String("only", strings.Join(partNames(), ","), "measure only these `parts`, separated by commas")
	flag.IntVar(&o.messages, "messages", 1_000_000, "put so many `messages` into the Queue")
	flag.IntVar(&o.queues, "queues", 10_000, "spread them over so many host `queues`")
	flag.IntVar(&o.rounds, "rounds", maxRounds, fmt.Sprintf("`times` that each is measured, %d at most", maxRounds))
	flag.Float64Var(&o.seconds, "seconds", 10, "watch so many `seconds` of the idle daemon, and of mail that comes in, to compare acts with")
	flag.IntVar(&o.channels, "channels", 1, "let cgqd try the dead relay over so many `channels`; its default is 200")
	flag.StringVar(&o.plan.ImageDir, "image-dir", "/var/tmp", "make the file system in an image file in `directory`")
	flag.StringVar(&o.bin, "bin", "bin", "find cgqd in `directory`")
	flag.StringVar(&o.json, "json", "bench/last-queue.json", "write the figures to `file`")
	flag.StringVar(&o.profile, "profile", "", "have cgqd write a CPU profile to `file`")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: queue [flags]; BENCH_DIR names a directory to measure in")
		flag.PrintDefaults()
	}
	flag.Parse()
	o.only = strings.Split(*only, ",")
	if flag.NArg() > 0 {
		return o, errors.New("wrong usage")
	}
	return o, o.check()
}

// check refuses what the stock cannot be.
func (o *options) check() error {
	for _, name := range o.only {
		if !slices.Contains(partNames(), name) {
			return fmt.Errorf("no part %q; there are %s", name, strings.Join(partNames(), ", "))
		}
	}
	switch {
	case o.rounds < 1 || o.rounds > maxRounds:
		return fmt.Errorf("%d rounds; 1 to %d can be", o.rounds, maxRounds)
	case o.channels < 1:
		return errors.New("no channels; one is the least")
	case o.seconds <= 0:
		return errors.New("no time to compare with")
	case o.queues < 10 || o.queues > 100_000 || o.queues%10 != 0:
		return fmt.Errorf("%d host queues; 10 to 100000 can be, in tens", o.queues)
	case o.messages < o.queues || o.messages < senders:
		return fmt.Errorf("%d messages; as many as host queues and %d senders is the least", o.messages, senders)
	}
	return nil
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("queue: ")
	o, err := parse()
	if err != nil {
		log.Print(err)
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	_, err = run(ctx, o)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// run measures what o asks for, prints the report and writes it.
func run(ctx context.Context, o options) (r *rig.Report, err error) {
	b := &bench{options: o, stock: stock{messages: o.messages, queues: o.queues, made: time.Now()}}
	if b.daemon, err = full.NewDaemon(o.bin, &b.ports); err != nil {
		return nil, err
	}
	site, err := rig.Open(ctx, o.plan)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, site.Close()) }()
	defer func() { err = errors.Join(err, b.stop()) }() // before the file system goes
	r = &rig.Report{Started: time.Now().UTC().Truncate(time.Second), Version: rig.OwnVersion(),
		Go: runtime.Version(), Machine: rig.ThisMachine(site)}
	r.Preamble(os.Stdout)
	b.base = filepath.Join(site.Dir, "base")
	if err := b.fill(ctx); err != nil {
		return nil, err
	}
	if err := site.Sync(); err != nil {
		return nil, err
	}
	for _, p := range parts {
		if !slices.Contains(o.only, p.name) {
			continue
		}
		t, measure := p.make(b)
		r.Tables = append(r.Tables, t)
		fmt.Printf("\n%s: %s\n", t.Name, t.About)
		if err := measure(ctx, t); err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		t.Conclude()
		t.Print(os.Stdout)
		if err := rig.WriteJSON(o.json, r); err != nil { // what there is, should a later part fail
			return nil, err
		}
	}
	return r, nil
}
