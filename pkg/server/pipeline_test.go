package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cgq/pkg/dequeuer"
	"cgq/pkg/disk"
	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/dsn"
	"cgq/pkg/enqueuer"
	"cgq/pkg/fact"
	"cgq/pkg/journal"
	"cgq/pkg/kernel"
	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/queue"
	"cgq/pkg/router"
	"cgq/pkg/selection"
	"cgq/pkg/spool"
	"cgq/pkg/stats"
)

// A world is what is outside: what it was told, and the mail that it got. Texts are
// named by a token in their Subject.
type world struct {
	mu       sync.Mutex
	accepted map[string]mail.ID         // answered with 250
	rejected map[string]bool            // an act on it was printed as done
	arrived  map[string]int             // token and recipient: how often
	reports  map[string]map[string]bool // token and recipient: the Message-IDs of the reports
	early    []string                   // what arrived and must not have
	tried    map[string]int
	split    bool // a report and what it means for its message are two frames
}

func newWorld() *world {
	return &world{accepted: map[string]mail.ID{}, rejected: map[string]bool{}, arrived: map[string]int{},
		reports: map[string]map[string]bool{}, tried: map[string]int{}}
}

// far is the module to the outside: good addresses take everything, bad ones
// nothing, slow ones only the second time, and no one is ever at home at down.
type far struct{ w *world }

func (far) Name() string { return "SMTP" }

func (far) Claim(_ context.Context, a mail.Address, _ bool) (module.Route, error) {
	return module.Route{Queue: a.Domain, Address: a}, nil
}

func (f far) Transfer(ctx context.Context, q module.Queue) {
	if q.Name() == "down.example" {
		q.Delay(mail.Result{Text: "nobody at home"})
		return
	}
	for t := range q.Due(ctx) {
		for i, r := range t.Recipients {
			t.Settle(i, f.give(t, r))
		}
	}
}

var (
	subject   = regexp.MustCompile(`(?m)^Subject: (?:Undeliverable mail: )?(\S+)$`)
	finalRcpt = regexp.MustCompile(`(?m)^Final-Recipient: rfc822; (\S+)$`)
	messageID = regexp.MustCompile(`(?m)^Message-ID: (\S+)$`)
)

func (f far) give(t *module.Transfer, r module.Recipient) mail.Result {
	text, err := t.Open()
	if err != nil {
		return mail.Result{Text: err.Error()}
	}
	defer text.Close()
	b, err := io.ReadAll(text)
	if err != nil {
		return mail.Result{Text: err.Error()}
	}
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	token := subject.FindStringSubmatch(string(b))[1]
	key := token + " " + r.To.Local
	f.w.tried[key]++
	switch {
	case strings.HasPrefix(r.To.Local, "bad"):
		return mail.Result{Action: mail.Failed, Status: mail.Status{5, 1, 1}, Code: 550, Text: "no such user", MTA: "mx"}
	case strings.HasPrefix(r.To.Local, "slow") && f.w.tried[key] == 1:
		return mail.Result{Status: mail.Status{4, 2, 0}, Code: 450, Text: "later", MTA: "mx"}
	case t.Envelope.Source == mail.DSN:
		for _, m := range finalRcpt.FindAllStringSubmatch(string(b), -1) {
			about := token + " " + strings.TrimSuffix(m[1], "@far.example")
			if f.w.reports[about] == nil {
				f.w.reports[about] = map[string]bool{}
			}
			f.w.reports[about][messageID.FindStringSubmatch(string(b))[1]] = true
		}
	default:
		if !strings.HasSuffix(string(b), "\nthe end of "+token+"\n") {
			f.w.early = append(f.w.early, key+" is not whole")
		}
		if f.w.rejected[token] {
			f.w.early = append(f.w.early, key+" was rejected, which was printed, and has arrived")
		}
		f.w.arrived[key]++
	}
	return mail.Result{Action: mail.Relayed, Status: mail.Status{2, 0, 0}, Code: 250, Text: "ok", MTA: "mx"}
}

// A life is one process: all parts over a disk, from recovery to its end.
type life struct {
	spool    *spool.Spool
	kernel   *kernel.Kernel
	enqueuer *enqueuer.Enqueuer
	stop     func()
}

var small = spool.Options{Journal: journal.Options{SegmentSize: 256 << 10, Segments: 4}, Age: time.Second, InlineLimit: 4 << 10, Syncers: 2}

func begin(w *world, d disk.FS, others ...func(*spool.Spool) module.Module) (*life, error) {
	quiet := slog.New(slog.DiscardHandler)
	s, rec, err := spool.Open(d, "Queue", small, quiet)
	if err != nil {
		return nil, err
	}
	if len(rec.Damage) > 0 {
		return nil, fmt.Errorf("called damage: %w", errors.Join(append(rec.Damage, s.Close())...))
	}
	plan := func(string) kernel.Plan {
		return kernel.Plan{Limits: queue.Limits{Channels: 8, QueueChannels: 2}, Retry: []time.Duration{time.Minute}, Expire: 24 * time.Hour}
	}
	var mods []module.Module
	for _, other := range others {
		mods = append(mods, other(s))
	}
	mods = append(mods, far{w}) // takes what is left
	k := kernel.New(s, plan, kernel.Logs{Queue: quiet, Dequeuer: quiet}, mods...)
	k.SetReportingDelay(10 * time.Second)
	name := func() string { return "here.example" }
	set := new(atomic.Pointer[enqueuer.Settings])
	defaults := enqueuer.Defaults()
	set.Store(&defaults)
	e := enqueuer.New(s, router.New(name, quiet, mods...), k, set,
		enqueuer.Server{MainDomain: name, Clients: func() []netip.Prefix { return nil }}, &stats.Set{}, quiet, quiet)
	var begetter dequeuer.Begetter = e
	if w.split {
		begetter = splitting{e, k}
	}
	words := dsn.Default()
	dq := dequeuer.New(k, begetter, dequeuer.Server{MainDomain: name, Settings: reporting, Words: words.Languages,
		Class: func(mail.Result) string { return "" }, Client: e.IsClient, Open: s.Open}, &stats.Set{}, quiet)
	k.RestoreStanding(s.Standing(), time.Now())
	for _, m := range rec.Messages {
		e.Resume(context.Background(), m)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	parts.Go(func() {
		err := s.Index(ctx, func(found []spool.Found, damage []error) {
			for _, m := range found {
				e.Resume(ctx, m)
			}
			for _, err := range damage {
				if errors.Is(err, crashdisk.ErrPower) { // it went while this was read
					continue
				}
				w.mu.Lock()
				w.early = append(w.early, "called damage: "+err.Error())
				w.mu.Unlock()
			}
		})
		if err != nil && ctx.Err() == nil {
			panic(err)
		}
	})
	parts.Go(func() { s.Run(ctx) })
	parts.Go(func() { dq.Run(ctx) })
	parts.Go(func() { k.Run(ctx, e, time.Minute) })
	return &life{s, k, e, func() { cancel(); parts.Wait(); s.Close() }}, nil
}

// splitting breaks SPOOL L5.
type splitting struct {
	*enqueuer.Enqueuer
	k *kernel.Kernel
}

func (s splitting) Beget(ctx context.Context, env *mail.Envelope, text io.Reader, parents func(mail.ID) []fact.Change) (mail.ID, error) {
	id, err := s.Enqueuer.Beget(ctx, env, text, nil)
	if err == nil {
		err = s.k.Decide(parents(id)...)
	}
	return id, err
}

// script is what senders and administrators do in a life.
func (l *life) script(w *world, n int, rng *rand.Rand) {
	var senders sync.WaitGroup
	for i := range 6 {
		token := fmt.Sprintf("t%d.%d", n, i)
		local := [][]string{{"good"}, {"bad"}, {"slow", "bad", "good"}, {"good", "slow"}, {"at.down"}, {"bad1", "bad2"}}[i]
		size := rng.IntN(6000) // some in a file of their own
		pause := time.Duration(rng.IntN(1500)) * time.Millisecond
		senders.Go(func() {
			time.Sleep(pause)
			env := &mail.Envelope{ReturnPath: mail.Address{Local: "sender", Domain: "far.example"}, Source: mail.PIPE}
			for _, name := range local {
				name, down := strings.CutSuffix(name, ".down")
				domain := map[bool]string{true: "down.example", false: "far.example"}[down]
				env.Recipients = append(env.Recipients, mail.Recipient{Address: mail.Address{Local: name, Domain: domain}})
			}
			text := "Subject: " + token + "\n\n" + strings.Repeat("x\n", size/2) + "the end of " + token + "\n"
			id, err := l.enqueuer.Submit(context.Background(), env, strings.NewReader(text))
			w.mu.Lock()
			defer w.mu.Unlock()
			if err == nil {
				w.accepted[token] = id
			}
		})
	}
	senders.Wait()
	// What waits for the host that is down is rejected, with a report.
	time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond)
	if _, err := l.kernel.Reject(down, kernel.Order{By: "root"}, "closed", true); err == nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		for token := range w.accepted {
			w.rejected[token] = w.rejected[token] || strings.HasSuffix(token, ".4")
		}
	}
}

// missing names the first promise to the outside that was not kept.
func (w *world) missing() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.early) > 0 {
		return errors.New(w.early[0])
	}
	for key, all := range w.reports {
		if len(all) > 1 {
			return fmt.Errorf("%s was reported %d times", key, len(all))
		}
	}
	for token := range w.accepted {
		kind := token[strings.Index(token, ".")+1:]
		want := map[string][2]string{"0": {"good", ""}, "1": {"", "bad"}, "2": {"slow good", "bad"}, "3": {"good slow", ""},
			"4": {"", "at@down.example"}, "5": {"", "bad1 bad2"}}[kind]
		for name := range strings.FieldsSeq(want[0]) {
			if w.arrived[token+" "+name] == 0 {
				return fmt.Errorf("%s was accepted and has not arrived at %s", token, name)
			}
		}
		for name := range strings.FieldsSeq(want[1]) {
			if len(w.reports[token+" "+name]) == 0 {
				return fmt.Errorf("%s was accepted, has failed at %s, and nobody was told", token, name)
			}
		}
	}
	return nil
}

// lives runs three lives that end with a power cut or a killed process, then one to
// the end, and returns the first promise to the outside that was not kept.
func (w *world) lives(rng *rand.Rand, fault crashdisk.Fault) error {
	d := crashdisk.New(-1)
	for n := range 3 {
		d.PowerFor(rng.IntN(400))
		d.Fail(fault)
		if l, err := begin(w, d); err == nil {
			l.script(w, n, rng)
			time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond)
			l.stop()
		} else if !errors.Is(err, crashdisk.ErrPower) {
			return fmt.Errorf("life %d: %w", n, err)
		}
		if rng.IntN(3) > 0 { // else only the process has died
			d = d.Restart(rng)
		}
	}
	d.PowerFor(-1)
	d.Fail(fault)
	l, err := begin(w, d)
	if err != nil {
		return fmt.Errorf("the last life: %w", err)
	}
	defer l.stop()
	time.Sleep(time.Minute)
	if _, err := l.kernel.Reject(down, kernel.Order{By: "root"}, "closed", true); err != nil {
		return err
	}
	time.Sleep(10 * time.Minute)
	if files := d.Files(".msg"); l.kernel.Len() > 0 || len(files) > 0 {
		return fmt.Errorf("%d messages and %d files are left", l.kernel.Len(), len(files))
	}
	return w.missing()
}

// DESIGN: every accepted recipient is at any time queued, about to be reported, or
// final. Power fails anywhere in three lives, then in the recoveries; in the end
// everything that was accepted has arrived or was reported, once, what was rejected
// has not arrived, and the Queue is empty.
func TestPipelineKeepsItsPromisesThroughPowerLoss(t *testing.T) {
	accepted, repeated := 0, 0
	for round := range uint64(100) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			if err := w.lives(rand.New(rand.NewPCG(round, 1)), nil); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			accepted += len(w.accepted)
			for _, n := range w.arrived {
				repeated += n - 1
			}
		})
	}
	if accepted < 300 {
		t.Errorf("only %d messages were accepted: the test does not test", accepted)
	}
	t.Logf("%d messages accepted, %d transfers repeated", accepted, repeated)
}

// A test of the test: without the syncs of the journal it finds a broken promise.
func TestPipelineNeedsItsSyncs(t *testing.T) {
	lie := func(op, name string) error {
		if op == "datasync" && strings.HasSuffix(name, ".seg") {
			return crashdisk.Lie
		}
		return nil
	}
	for round := range uint64(100) {
		var err error
		synctest.Test(t, func(*testing.T) { err = newWorld().lives(rand.New(rand.NewPCG(round, 1)), lie) })
		if err != nil {
			t.Log("found, as it should be:", err)
			return
		}
	}
	t.Error("nothing was lost without them")
}

// A test of the test, and of SPOOL L5: with a report and the facts about its message in two
// frames somebody gets a second report.
func TestReportAndFactsAreOneFrame(t *testing.T) {
	for round := range uint64(400) {
		var err error
		synctest.Test(t, func(*testing.T) {
			w := newWorld()
			w.split = true
			err = w.lives(rand.New(rand.NewPCG(round, 1)), nil)
		})
		if err != nil && strings.Contains(err.Error(), "was reported 2 times") {
			t.Log("found, as it should be:", err)
			return
		}
	}
	t.Error("nobody got a second report")
}

// down selects the host queue of the host that is down.
var down = func() *selection.Selection {
	sel, err := selection.Compile(selection.Terms{Queue: []string{"down.example"}})
	if err != nil {
		panic(err)
	}
	return sel
}()

// reporting are the Dequeuer's settings.
func reporting() *dequeuer.Settings {
	d := dequeuer.Defaults()
	return &d
}
