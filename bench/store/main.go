// Command store measures what keeps the messages: pkg/journal and pkg/spool, and how
// cgqd starts with a full Queue; each beside the target that was set for it. What is
// measured, how, and how to read the figures is in bench/README.md.
//
//	store [-rounds 3] [-only commits,cpu,act,restart,checkpoint,folders] [-restart 100000,1000000]
//
// It ends only processes that it started, and leaves nothing behind but the JSON file,
// and with -image the file system that it has made.
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
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"cgq/bench/rig"
)

// A part is one of the things that are measured.
type part struct {
	name string
	make func(b *bench) (*rig.Table, measurement)
}

// A measurement takes b.rounds samples into its table.
type measurement func(ctx context.Context, b *bench, t *rig.Table) error

var parts = []part{
	{"commits", commits},
	{"cpu", cpuOfSpool},
	{"act", act},
	{"restart", restart},
	{"checkpoint", checkpoint},
	{"folders", folders},
}

func partNames() (all []string) {
	for _, p := range parts {
		all = append(all, p.name)
	}
	return all
}

// options are what the command line says.
type options struct {
	only    []string // names of parts
	rounds  int
	seconds float64 // of one measurement of commits
	restart []int   // messages in the Queue
	plan    rig.Plan
	bin     string // directory of the programs
	json    string // file for the report
	profile string // directory for CPU profiles; "": none
}

func parse() (o options, err error) {
	o.plan = rig.Plan{Dir: os.Getenv("BENCH_DIR"), GiB: 8, Inodes: 1_700_000}
	only := flag.String("only", strings.Join(partNames(), ","), "measure only these `parts`, separated by commas")
	flag.IntVar(&o.rounds, "rounds", 3, "`times` that each is measured")
	flag.Float64Var(&o.seconds, "seconds", 2, "`seconds` that each measurement of commits takes")
	restart := flag.String("restart", "100000,1000000", "start cgqd with so many `messages` in its Queue")
	flag.StringVar(&o.plan.ImageDir, "image-dir", "/var/tmp", "make the file system in an image file in `directory`")
	flag.StringVar(&o.plan.Keep, "image", "", "make the file system in the image `file`, which stays, or use it if it is there")
	flag.StringVar(&o.bin, "bin", "bin", "find cgqd in `directory`")
	flag.StringVar(&o.json, "json", "bench/last-store.json", "write the figures to `file`")
	flag.StringVar(&o.profile, "profile", "", "write CPU profiles of cpu, checkpoint and the reading of restart to `directory`")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: store [flags]; BENCH_DIR names a directory to measure in")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 0 || o.rounds < 1 || o.seconds <= 0 {
		return o, errors.New("wrong usage")
	}
	o.only = strings.Split(*only, ",")
	if o.plan.Keep != "" {
		if o.plan.Keep, err = filepath.Abs(o.plan.Keep); err != nil {
			return o, err
		}
	}
	o.restart, err = numbers(*restart)
	return o, err
}

// numbers reads whole numbers above zero, separated by commas.
func numbers(s string) (all []int, err error) {
	for word := range strings.SplitSeq(s, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is not a number above zero", word)
		}
		all = append(all, n)
	}
	return all, nil
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("store: ")
	o, err := parse()
	if err != nil {
		log.Print(err)
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = run(ctx, o)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// run measures what o asks for, prints the report and writes it.
func run(ctx context.Context, o options) (err error) {
	chosen, err := choose(o.only)
	if err != nil {
		return err
	}
	site, err := rig.Open(ctx, o.plan)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Close()) }()
	r := rig.Report{Started: time.Now().UTC().Truncate(time.Second), Version: rig.OwnVersion(),
		Go: runtime.Version(), Machine: rig.ThisMachine(site)}
	r.Preamble(os.Stdout)
	b := &bench{options: o, site: site}
	for _, p := range chosen {
		t, measure := p.make(b)
		r.Tables = append(r.Tables, t)
		fmt.Printf("\n%s: %s\n", t.Name, t.About)
		if err := measure(ctx, b, t); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		t.Conclude()
		t.Print(os.Stdout)
		if err := rig.WriteJSON(o.json, &r); err != nil { // what there is, should a later part fail
			return err
		}
	}
	return nil
}

func choose(names []string) (chosen []part, err error) {
	for _, name := range names {
		i := slices.IndexFunc(parts, func(p part) bool { return p.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no part %q; there are %s", name, strings.Join(partNames(), ", "))
		}
		chosen = append(chosen, parts[i])
	}
	return chosen, nil
}

// A bench measures at a site.
type bench struct {
	options
	site  *rig.Site
	ports rig.Ports
	dirs  int
}

// eachRound calls measure for each round.
func (b *bench) eachRound(ctx context.Context, t *rig.Table, measure func() error) error {
	return t.Rounds(ctx, b.rounds, measure)
}

// dir makes an empty directory; remove takes it away.
func (b *bench) dir() (dir string, remove func(), err error) {
	b.dirs++
	dir = filepath.Join(b.site.Dir, fmt.Sprintf("store-%d", b.dirs))
	if err := os.RemoveAll(dir); err != nil { // of an earlier run, on an image that was kept
		return "", nil, err
	}
	return dir, func() { os.RemoveAll(dir) }, os.Mkdir(dir, 0o755)
}

// profiled writes a CPU profile of work, if one is wanted; that of the last round stays.
func (b *bench) profiled(name string, work func() error) error {
	if b.profile == "" {
		return work()
	}
	f, err := os.Create(filepath.Join(b.profile, name+".pprof"))
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return errors.Join(err, f.Close())
	}
	err = work()
	pprof.StopCPUProfile()
	return errors.Join(err, f.Close())
}
