package spool_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/journal"
	"cgq/pkg/spool"
)

// A diary is a log that many write and one reads.
type diary struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (d *diary) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.b.Write(p)
}

// texts are the messages of level 3 and what is more serious.
func (d *diary) texts() (all []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range regexp.MustCompile(`(?m)msg=("[^"]*"|\S+)`).FindAllStringSubmatch(d.b.String(), -1) {
		all = append(all, strings.Trim(m[1], `"`))
	}
	return all
}

func (d *diary) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(d, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// run lets a spool make its checkpoints till the bubble ends.
func run(t *testing.T, s *spool.Spool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var parts sync.WaitGroup
	parts.Go(func() { s.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		parts.Wait()
		s.Close()
	})
}

// fillUp submits messages until the journal is fuller than a part.
func fillUp(t *testing.T, s *spool.Spool, part float64) {
	t.Helper()
	for s.Load().Journal <= part {
		if _, err := submit(s, lines(900), nil, ""); err != nil {
			t.Fatal(err)
		}
	}
}

// J5: what strains is told once when it begins, once when it gets worse, and once when
// it is over.
func TestPressureIsToldAtItsBeginAndEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log diary
		d := crashdisk.New(-1)
		o := spool.Options{Journal: journal.Options{SegmentSize: 64 << 10, Segments: 8}, Age: time.Second}
		s, _, err := spool.Open(d, "Queue", o, log.logger())
		if err != nil {
			t.Fatal(err)
		}
		run(t, s)
		fillUp(t, s, 0.3)
		time.Sleep(time.Minute)
		if got := log.texts(); len(got) > 0 {
			t.Fatalf("the log says %q of what is no pressure", got)
		}
		d.Fail(func(op, name string) error { // no checkpoint succeeds
			if op == "create" && strings.HasSuffix(name, ".tmp") {
				return syscall.ENOSPC
			}
			return nil
		})
		fillUp(t, s, 0.55)
		time.Sleep(time.Minute)
		failed := "checkpoint failed; the journal keeps everything, trying again"
		if got := log.texts(); !slices.Equal(got, []string{failed}) {
			t.Fatalf("the log says %q, want one failed checkpoint", got)
		}
		for err == nil {
			_, err = submit(s, lines(900), nil, "")
		}
		if !errors.Is(err, spool.ErrFull) {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		want := []string{failed, "senders wait for room in the journal: checkpoints do not keep up"}
		if got := slices.Compact(log.texts()); !slices.Equal(got, want) {
			t.Errorf("the log says %q, want %q", got, want)
		}
		if h := s.Health(); h.Failed == nil || h.Senders != 0 || h.Broken != nil || time.Since(h.Oldest) < 2*time.Minute {
			t.Errorf("health %+v; want a failed checkpoint, and an old commit that waits", h)
		}
		d.Fail(nil)
		time.Sleep(time.Minute)
		want = append(want, "checkpoints succeed again", "checkpoints keep up again")
		if got := slices.Compact(log.texts()); !slices.Equal(got, want) {
			t.Errorf("the log says %q, want %q", got, want)
		}
		if h := s.Health(); h.Failed != nil || h.Journal > 0.5 || !h.Oldest.IsZero() {
			t.Errorf("health %+v; want it well again", h)
		}
	})
}

// A sender who waits is counted while he does, and is served when a checkpoint makes
// room.
func TestSendersThatWaitAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, err := spool.Open(crashdisk.New(-1), "Queue", small, discard())
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for err == nil {
			_, err = submit(s, lines(900), nil, "")
		}
		taken := make(chan error)
		go func() {
			d, err := s.Draft(envelope())
			if err == nil {
				_, err = d.Commit(context.Background(), journal.Intake, nil)
			}
			taken <- err
		}()
		synctest.Wait()
		if n := s.Health().Senders; n != 1 {
			t.Errorf("%d senders wait, want 1", n)
		}
		if err := s.Checkpoint(); err != nil {
			t.Fatal(err)
		}
		if err := <-taken; err != nil {
			t.Error(err)
		}
		if n := s.Health().Senders; n != 0 {
			t.Errorf("%d senders wait, want none", n)
		}
	})
}

// E2: what begins and ends is told though no mail comes.
func TestClosedIntakeIsToldThoughNobodyAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log diary
		var mu sync.Mutex
		free := spool.Space{Bytes: 999}
		o := small
		o.MinBytes = 1000
		o.Free = func() (spool.Space, error) {
			mu.Lock()
			defer mu.Unlock()
			return free, nil
		}
		o.Journal.Segments = 3 // no more are made
		s, _, err := spool.Open(crashdisk.New(-1), "Queue", o, log.logger())
		if err != nil {
			t.Fatal(err)
		}
		run(t, s)
		time.Sleep(time.Minute)
		if h := s.Health(); !errors.Is(h.Closed, spool.ErrSpace) || h.Free.Bytes != 999 || h.Need.Bytes != 1000 {
			t.Errorf("health %+v; want it closed", h)
		}
		mu.Lock()
		free.Bytes = 1000
		mu.Unlock()
		time.Sleep(time.Minute)
		if got := log.texts(); len(got) != 2 || !strings.HasPrefix(got[0], "no new mail is taken: ") || got[1] != "new mail is taken again: there is room" {
			t.Errorf("the log says %q, want begin and end", got)
		}
	})
}

// Options that change at once: the age, what is kept free, what is too large for the
// journal.
func TestTuneTakesEffectAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := crashdisk.New(-1)
		o := small
		o.Age = time.Hour
		o.Free = func() (spool.Space, error) { return spool.Space{Bytes: 1 << 20}, nil }
		s := open(t, d, o)
		run(t, s)
		if _, err := submit(s, "text", nil, ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if files := d.Files(".msg"); len(files) > 0 {
			t.Fatalf("files %v before their time", files)
		}
		o.Age, o.MinBytes, o.InlineLimit, o.Free = time.Second, 2<<20, 100, nil
		if err := s.Tune(o); err != nil {
			t.Fatal(err)
		}
		if err := s.Admit(); !errors.Is(err, spool.ErrSpace) {
			t.Errorf("Admit = %v; want it closed by the new limit", err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if files := d.Files(".msg"); len(files) != 1 {
			t.Errorf("files %v, want that of the message", files)
		}
		o.Age = time.Hour
		if err := s.Tune(o); err != nil {
			t.Fatal(err)
		}
		if _, err := submit(s, lines(200), nil, ""); err != nil {
			t.Fatal(err)
		}
		if files := d.Files(".tmp"); len(files) != 1 {
			t.Errorf("files %v, want that of a text over the new limit", files)
		}
	})
}
