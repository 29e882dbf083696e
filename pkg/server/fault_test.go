package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"cgq/pkg/directory"
	"cgq/pkg/disk"
	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/module/local"
	"cgq/pkg/spool"
)

// A faulty disk is a crashdisk of which opening, too, can fail, and one operation on
// some names does, while it is switched on.
type faulty struct {
	*crashdisk.Disk
	op, pattern string
	err         error
	accounts    *directory.Directory // on another disk, where they stay

	mu   sync.Mutex
	on   bool
	hits int
}

// fault is a [crashdisk.Fault].
func (f *faulty) fault(op, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if ok, _ := path.Match(f.pattern, name); !f.on || !ok || op != f.op {
		return nil
	}
	f.hits++
	return f.err
}

func (f *faulty) turn(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.on = on
}

func (f *faulty) Open(name string) (disk.File, error) {
	if err := f.fault("open", name); err != nil {
		return nil, err
	}
	return f.Disk.Open(name)
}

// A trial is a world over a faulty disk, and what its senders were told.
type trial struct {
	*world
	disk    *faulty
	life    *life
	refused map[string]bool
	wrong   []string
	said    string // by a sender
}

func newTrial(f *faulty) (*trial, error) {
	tr := &trial{world: newWorld(), disk: f, refused: map[string]bool{}}
	f.Disk = crashdisk.New(-1)
	f.Disk.Fail(f.fault)
	return tr, tr.begin()
}

// begin begins another life.
func (tr *trial) begin() (err error) {
	tr.life, err = begin(tr.world, tr.disk, func(s *spool.Spool) module.Module {
		return local.New(tr.disk, tr.disk.accounts, s.Identity(), func() string { return "here.example" }, slog.New(slog.DiscardHandler))
	})
	return err
}

// submit submits messages small and large to an Account, to one who takes them late and
// to one who does not take them at all: ann gets the reports.
func (tr *trial) submit(round string) {
	ann := mail.Address{Local: "ann", Domain: "here.example"}
	for size, text := range map[string]string{"small": "text\n", "large": strings.Repeat("some more text\n", 1000)} {
		for _, to := range []mail.Address{ann, {Local: "slow", Domain: "far.example"}, {Local: "bad", Domain: "far.example"}} {
			token := round + "-" + size + "-" + to.Local
			env := &mail.Envelope{ReturnPath: ann, Source: mail.PIPE, Recipients: []mail.Recipient{{Address: to}}}
			id, err := tr.life.enqueuer.Submit(context.Background(), env, strings.NewReader("Subject: "+token+"\n\n"+text+"the end of "+token+"\n"))
			if err == nil {
				tr.accepted[token] = id
				continue
			}
			tr.refused[token], tr.said = true, err.Error()
			var r *module.Rejection
			if !errors.As(err, &r) || r.Result.Action != mail.Delayed || r.Result.Status[0] != 4 {
				tr.wrong = append(tr.wrong, fmt.Sprintf("%s was refused with %v, not for now", token, err))
			}
		}
	}
}

// settle holds what has come of it all against what was told.
func (tr *trial) settle(restarted bool) error {
	got := map[string]int{}
	for name, text := range tr.disk.Files("") {
		switch {
		case strings.HasPrefix(name, "Queue/") && (strings.HasSuffix(name, ".tmp") || strings.HasSuffix(name, ".msg")):
			return fmt.Errorf("%s is left", name)
		case strings.Contains(name, "/Maildir/tmp/"):
			return fmt.Errorf("%s is left", name)
		case strings.Contains(name, "/Maildir/new/") && strings.Contains(text, "Content-Type: multipart/report"):
			got[subject.FindStringSubmatch(text)[1]+" report"]++
		case strings.Contains(name, "/Maildir/new/"):
			got[subject.FindStringSubmatch(text)[1]]++
		}
	}
	for key, n := range tr.arrived {
		token, _, _ := strings.Cut(key, " ")
		got[token] += n
	}
	for token := range tr.accepted {
		if strings.HasSuffix(token, "bad") {
			token += " report"
		}
		if n := got[token]; n == 0 || n > 1 && !(restarted && strings.HasSuffix(token, "slow")) {
			return fmt.Errorf("%s was accepted and has arrived %d times", token, n)
		}
	}
	for token := range tr.refused {
		if n := got[token] + got[token+" report"]; n > 0 && !restarted {
			return fmt.Errorf("%s was refused and has arrived", token)
		}
	}
	if n, m := tr.life.kernel.Len(), tr.life.spool.Load().Messages; n > 0 || m > 0 {
		return fmt.Errorf("%d messages are left in the queue, %d in the spool", n, m)
	}
	for _, what := range append(tr.wrong, tr.early...) {
		return errors.New(what)
	}
	return nil
}

// run plays a trial to its end.
func (f *faulty) run(restart bool) (tr *trial, err error) {
	if tr, err = newTrial(f); err != nil {
		return tr, err
	}
	defer func() { tr.life.stop() }()
	tr.submit("before")
	f.turn(true)
	tr.submit("early")
	time.Sleep(3 * time.Second)
	tr.submit("late") // beside a checkpoint, reports and deliveries
	time.Sleep(2 * time.Minute)
	f.turn(false)
	if restart {
		tr.life.stop()
		if err := tr.begin(); err != nil {
			return tr, err
		}
	} else {
		time.Sleep(10 * time.Second)
	}
	tr.submit("after")
	time.Sleep(time.Hour)
	for token := range tr.refused {
		if strings.HasPrefix(token, "after") {
			return tr, fmt.Errorf("when the disk was well again %s was refused: %s", token, tr.said)
		}
	}
	return tr, tr.settle(restart)
}

// SPOOL E1, E2: whatever the disk refuses, and wherever: senders are told to try again,
// nothing half made stays, nothing accepted is lost, and when it is over everything goes
// on by itself; after a failed sync of the journal, or of names, with the next start.
func TestFaultsOfTheDisk(t *testing.T) {
	faults := []error{syscall.EIO, syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.EROFS}
	refusals := 0
	base, err := disk.OpenOS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer base.Close()
	accounts := directory.New(base, func() []string { return []string{"here.example"} })
	if _, err := accounts.Create(mail.Address{Local: "ann", Domain: "here.example"}); err != nil {
		t.Fatal(err)
	}
	for pattern, ops := range map[string][]string{
		"Queue/??/*":                         {"create", "write", "datasync", "rename", "remove", "open"},
		"Queue/??":                           {"syncdir"},
		"Queue/journal/*":                    {"write", "datasync"},
		"Domains/here.example/*/Maildir/*/*": {"create", "write", "datasync", "link", "remove"},
		"Domains/here.example/*/Maildir/*":   {"syncdir"},
	} {
		for _, op := range ops {
			for _, fault := range faults {
				t.Run(fmt.Sprintf("%s %s %v", op, strings.ReplaceAll(pattern, "/", ":"), fault), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						f := &faulty{op: op, pattern: pattern, err: fault, accounts: accounts}
						broken := strings.HasPrefix(pattern, "Queue/journal") || pattern == "Queue/??" && fault == syscall.EIO
						tr, err := f.run(broken)
						if err != nil {
							t.Error(err)
						}
						if f.hits == 0 {
							t.Error("nothing has failed: the test does not test")
						}
						refusals += len(tr.refused)
					})
				})
			}
		}
	}
	if refusals < 50 {
		t.Errorf("%d messages were refused: the test does not test", refusals)
	}
}
