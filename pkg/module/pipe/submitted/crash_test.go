package submitted

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"cgq/pkg/dequeuer"
	"cgq/pkg/disk"
	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/dsn"
	"cgq/pkg/enqueuer"
	"cgq/pkg/journal"
	"cgq/pkg/kernel"
	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/queue"
	"cgq/pkg/router"
	"cgq/pkg/spool"
	"cgq/pkg/stats"
)

// A crashFolder is a folder on a disk that loses power.
type crashFolder struct {
	disk.FS
	dir string
}

func (c crashFolder) at(name string) string { return path.Join(c.dir, name) }

func (c crashFolder) Names(do func([]string) error) error {
	names, err := c.List(c.dir)
	if err != nil {
		return err
	}
	return do(names)
}

func (c crashFolder) Stat(name string) (info, error) {
	f, err := c.FS.Open(c.at(name))
	if err != nil {
		return info{}, err
	}
	size, err := f.Size()
	return info{links: 1, size: size}, err
}

func (c crashFolder) Open(name string) (file, error) {
	f, err := c.FS.Open(c.at(name))
	return crashFile{f}, err
}

func (c crashFolder) Rename(old, name string) error {
	if _, err := c.FS.Open(c.at(name)); err == nil {
		return fs.ErrExist
	}
	return c.FS.Rename(c.at(old), c.at(name))
}

func (c crashFolder) Remove(name string) error { return c.FS.Remove(c.at(name)) }

func (c crashFolder) Write(name string, text []byte) error {
	f, err := c.Create(c.at(name))
	if err == nil {
		_, err = f.WriteAt(text, 0)
	}
	return err
}

func (c crashFolder) Sync() error { return c.SyncDir(c.dir) }

func (c crashFolder) Identity() identity { return identity{ino: uint64(c.dir[0])} }

type crashFile struct{ disk.File }

func (c crashFile) Stat() (info, error) {
	size, err := c.Size()
	return info{links: 1, size: size}, err
}

func (crashFile) Writing() (bool, bool) { return false, true }

// The outside is where mail arrives: what was transferred stays so, whatever dies. By
// Subject, the ids under which it came.
type outside struct {
	mu  sync.Mutex
	got map[string]map[mail.ID]bool
}

func (o *outside) Name() string { return "SMTP" }

func (o *outside) Claim(_ context.Context, a mail.Address, _ bool) (module.Route, error) {
	if a.Local == "nobody" {
		return module.Route{}, module.Reject(5, 1, 1, "account unknown")
	}
	return module.Route{Queue: a.Domain, Address: a, Relay: true}, nil
}

func (o *outside) Transfer(ctx context.Context, q module.Queue) {
	for t := range q.Due(ctx) {
		text, err := t.Open()
		if err != nil {
			q.Delay(mail.Result{Text: err.Error()})
			return
		}
		b, err := io.ReadAll(text)
		if err = errors.Join(err, text.Close()); err != nil {
			q.Delay(mail.Result{Text: err.Error()})
			return
		}
		_, after, _ := strings.Cut(string(b), "Subject: ")
		subject, _, _ := strings.Cut(after, "\n")
		o.mu.Lock()
		if o.got[subject] == nil {
			o.got[subject] = map[mail.ID]bool{}
		}
		o.got[subject][t.ID] = true
		o.mu.Unlock()
		for i := range t.Recipients {
			t.Settle(i, mail.Result{Action: mail.Relayed, Text: "relayed"})
		}
	}
}

// of are the ids under which a message came.
func (o *outside) of(subject string) map[mail.ID]bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.got[subject])
}

func (o *outside) len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.got)
}

// A life is a server from its start to its end, however that comes.
type life struct {
	disk  *crashdisk.Disk
	out   *outside
	mode  string    // enqueue_asynchronously
	set   *Settings // nil: those of a new server
	log   *logged
	ended func(*life) // called when it has run, before it stops
	src   *Source
	queue *kernel.Kernel
}

var small = spool.Options{Journal: journal.Options{SegmentSize: 128 << 10, Segments: 4}, InlineLimit: 4 << 10, Syncers: 2}

// lifetime is long enough for all that goes well.
const lifetime = 20 * time.Second

// live runs one for a while; its error is that of the start.
func (l *life) live(began func()) error {
	log := slog.New(slog.NewTextHandler(l.log, nil))
	sp, found, err := spool.Open(l.disk, "Queue", small, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { _ = sp.Close() }()
	k := kernel.New(sp, func(string) kernel.Plan {
		return kernel.Plan{Limits: queue.Limits{Channels: 4, QueueChannels: 4}, Retry: []time.Duration{time.Second}}
	}, kernel.Logs{Queue: log, Dequeuer: log}, l.out)
	set := enqueuer.Defaults()
	set.Asynchronously = cmp.Or(l.mode, set.Asynchronously)
	settings := new(atomic.Pointer[enqueuer.Settings])
	settings.Store(&set)
	domain, read := func() string { return "here.example" }, make(chan struct{})
	src := newSource("/", l.disk, domain, read, &stats.Set{}, log)
	src.find = func(path string, _ func() bool) (func() (folder, error), watch) {
		dir := map[string]string{"Submitted": "Submitted", "/Other": "Other", "/link": "Other"}[path]
		return func() (folder, error) { return crashFolder{l.disk, dir}, nil },
			func(*hints) (func(), error) { return nil, errors.New("there are no events") }
	}
	submitted := Defaults()
	submitted.Channels = 3
	src.Use(cmp.Or(l.set, &submitted))
	l.src, l.queue = src, k
	e := enqueuer.New(sp, router.New(domain, nil, l.out), k, settings, enqueuer.Server{MainDomain: domain,
		Clients: func() []netip.Prefix { return nil }, Reclaim: src.Reclaim}, &stats.Set{}, log, log)
	src.Recover()
	for _, m := range found.Messages {
		e.Resume(context.Background(), m)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var parts, index sync.WaitGroup
	if began != nil {
		began()
	}
	parts.Go(func() { sp.Run(ctx) })
	reporting, words := dequeuer.Defaults(), dsn.Default()
	dq := dequeuer.New(k, e, dequeuer.Server{MainDomain: domain, Settings: func() *dequeuer.Settings { return &reporting },
		Words: words.Languages, Class: func(mail.Result) string { return "" }, Client: e.IsClient, Open: sp.Open}, &stats.Set{}, log)
	parts.Go(func() { dq.Run(ctx) })
	parts.Go(func() { k.Run(ctx, e, time.Minute) })
	parts.Go(func() { _ = src.Run(ctx, e) })
	index.Go(func() {
		defer close(read)
		_ = sp.Index(ctx, func(found []spool.Found, _ []error) {
			for _, m := range found {
				e.Resume(ctx, m)
			}
		})
	})
	time.Sleep(lifetime)
	if l.ended != nil {
		l.ended(l)
	}
	cancel()
	parts.Wait()
	index.Wait()
	return nil
}

const files = 7

// put puts files into the directory, durably. One is larger than what a journal takes.
func put(t *testing.T, d *crashdisk.Disk, dirs ...string) {
	t.Helper()
	for i := range files * len(dirs) {
		dir := dirs[i/files]
		name := fmt.Sprint(dir, "/x", i, sub)
		b := "To: bob@b.example\nSubject: " + fmt.Sprint(i) + "\n\n" + strings.Repeat("a line of text\n", 1+i%2*500)
		f, err := d.Create(name)
		if err == nil {
			_, err = f.WriteAt([]byte(b), 0)
		}
		if err = errors.Join(err, f.Datasync(), d.SyncDir(dir)); err != nil {
			t.Fatal(err)
		}
	}
}

// once says that each file has become one message, and is gone.
func once(t *testing.T, l *life, what string) {
	t.Helper()
	for _, problem := range problems(l, files) {
		t.Errorf("%s: %s", what, problem)
	}
	if t.Failed() {
		t.Log(l.log.text())
	}
}

// problems are what is not so, of n files.
func problems(l *life, n int) (all []string) {
	for i := range n {
		if ids := l.out.of(fmt.Sprint(i)); len(ids) != 1 {
			all = append(all, fmt.Sprintf("file %d has become the messages %v, want one", i, ids))
		}
	}
	for name := range l.disk.Files("") {
		if strings.HasPrefix(name, "Submitted/") || strings.HasPrefix(name, "Other/") {
			all = append(all, name+" is left")
		}
	}
	return all
}

// Power is lost, or the process dies, at each step of taking files; then again while the
// next start looks at that; the life after that finishes, and each file is one message.
func TestOnceWhateverDies(t *testing.T) {
	for _, mode := range []string{"nobody", "anybody"} {
		t.Run("asynchronously "+mode, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				stride := 1
				if racing { // then it takes ten times as long, and all steps in one of six ways are enough
					stride = 6
				}
				for n := 0; ; n += stride {
					alive := false
					for seed := range 6 {
						alive = crashAt(t, mode, n+seed%stride, uint64(seed)) || alive
					}
					if alive { // it came through: there are no more steps
						break
					}
				}
			})
		})
	}
}

// crashAt lets power be lost at step n of the first life, and, for half of the seeds, at
// some step of the second; and for some the first time it is the process alone that dies.
// It says whether the first life came to its end.
func crashAt(t *testing.T, mode string, n int, seed uint64) (alive bool) {
	rng := rand.New(rand.NewPCG(seed, uint64(n)))
	l := &life{disk: crashdisk.New(-1), out: &outside{got: map[string]map[mail.ID]bool{}}, mode: mode, log: &logged{}}
	put(t, l.disk, "Submitted")
	what := fmt.Sprintf("step %d, seed %d", n, seed)
	if err := l.live(func() { l.disk.PowerFor(n) }); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	_, err := l.disk.Create("probe")
	alive = err == nil
	again := -1
	if seed%2 == 1 {
		again = rng.IntN(60)
	}
	if seed%3 == 0 {
		l.disk.PowerFor(again) // the process has died
	} else {
		l.disk = l.disk.Restart(rng)
		l.disk.PowerFor(again)
	}
	_ = l.live(nil)
	if again >= 0 {
		l.disk = l.disk.Restart(rng)
		if err := l.live(nil); err != nil {
			t.Fatalf("%s: the third life: %v", what, err)
		}
	}
	once(t, l, what)
	return alive || t.Failed()
}

// A file that cannot be removed keeps its message waiting; when it can, each goes. If the
// server stops before, the next start does it.
func TestMessagesWaitForTheirFiles(t *testing.T) {
	for name, heals := range map[string]bool{"it heals": true, "the next start": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &life{disk: crashdisk.New(-1), out: &outside{got: map[string]map[mail.ID]bool{}}, log: &logged{}}
				put(t, l.disk, "Submitted")
				readOnly := func(operation, name string) error {
					if operation == "remove" && strings.HasPrefix(name, "Submitted/") {
						return syscall.EROFS
					}
					return nil
				}
				l.disk.Fail(readOnly)
				l.ended = func(l *life) {
					if n := l.out.len(); n > 0 || !l.log.has("waits, because the file cannot be removed") {
						t.Errorf("%d were handed out, their files were there; or the log does not say that they wait", n)
					}
					if heals {
						l.disk.Fail(nil)
						time.Sleep(20 * time.Second)
						once(t, l, name)
					}
				}
				if err := l.live(nil); err != nil {
					t.Fatal(err)
				}
				l.ended = nil
				if !heals { // nor can the next start for a while
					l.ended = func(l *life) {
						if n := l.out.len(); n > 0 {
							t.Errorf("%d were handed out at the start, their files were there", n)
						}
						l.disk.Fail(nil)
						time.Sleep(20 * time.Second)
					}
				}
				if err := l.live(nil); err != nil {
					t.Fatal(err)
				}
				once(t, l, name)
			})
		})
	}
}

// After a sync that failed nothing is believed any more: what is durable waits for the next
// start, and nothing else is taken.
func TestNothingAfterAFailedSync(t *testing.T) {
	for nth := range 4 {
		synctest.Test(t, func(t *testing.T) {
			l := &life{disk: crashdisk.New(-1), out: &outside{got: map[string]map[mail.ID]bool{}}, log: &logged{}}
			put(t, l.disk, "Submitted")
			syncs := 0
			err := l.live(func() {
				l.disk.Fail(func(operation, name string) error {
					if operation != "syncdir" || name != "Submitted" {
						return nil
					}
					if syncs++; syncs == nth+1 {
						return syscall.EIO
					}
					return nil
				})
			})
			if err != nil || syncs > nth && !l.log.has("nothing is taken from it until a restart") {
				t.Fatalf("sync %d: %v, %s", nth, err, l.log.text())
			}
			was := l.out.len()
			l.disk.Fail(nil)
			if err := l.live(nil); err != nil {
				t.Fatal(err)
			}
			once(t, l, fmt.Sprintf("sync %d, after %d", nth, was))
		})
	}
}

// All recipients are refused: who is to hear of it is told, if there is anybody.
func TestRefusedRecipients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &life{disk: crashdisk.New(-1), out: &outside{got: map[string]map[mail.ID]bool{}}, log: &logged{}}
		for name, b := range map[string]string{
			"reported": "From: ann@a.example\nTo: nobody@b.example\nSubject: reported\n\n",
			"bad":      "Return-Path: <>\nTo: nobody@b.example\nSubject: bad\n\n",
		} {
			if err := (crashFolder{l.disk, "Submitted"}).Write(name+sub, []byte(b)); err != nil {
				t.Fatal(err)
			}
		}
		l.ended = func(l *life) {
			if n := l.out.len(); n != 1 {
				t.Errorf("got %d messages, want one report", n)
			}
		}
		if err := l.live(nil); err != nil {
			t.Fatal(err)
		}
		left := l.disk.Files("")
		if _, ok := left["Submitted/bad.bad"]; !ok || left["Submitted/reported.sub"] != "" {
			t.Errorf("left: %v", slicesOf(left))
		}
	})
}

func slicesOf(m map[string]string) (names []string) {
	for name := range m {
		names = append(names, name)
	}
	return names
}
