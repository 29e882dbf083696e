package directory_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"cgq/pkg/directory"
	"cgq/pkg/disk"
	"cgq/pkg/disk/crashdisk"
)

const (
	ann = "ann@example.com"
	bob = "bob@example.com"
)

// A told is what the administrator was told of an Account.
type told struct {
	known bool // else the answer did not come, or was an error
	there bool
}

// administer makes and deletes Accounts until the power is gone, or the end, and returns
// what was answered last of each. Mail comes in late for the Account whose deletion is refused.
func administer(d *directory.Directory, fsys disk.FS) map[string]told {
	answers := map[string]told{}
	note := func(a string, there bool, err error, other error) bool {
		answers[a] = told{known: err == nil || errors.Is(err, other), there: there}
		return answers[a].known
	}
	for range 2 {
		_, err := d.Create(address(ann))
		if !note(ann, true, err, directory.ErrExist) {
			return answers
		}
		_, err = d.Create(address(bob))
		if !note(bob, true, err, directory.ErrExist) {
			return answers
		}
		answers[ann] = told{}
		if !note(ann, false, d.Delete(address(ann), false), nil) {
			return answers
		}
		answers[bob] = told{}
		late := directory.New(&lateDelivery{fsys, func() {
			_ = putMail(fsys, "Domains/example.com/bob/Maildir/new/late") // without power there is none
		}}, local)
		err = late.Delete(address(bob), false)
		if !errors.Is(err, directory.ErrHoldsMail) || strings.Contains(err.Error(), "power") {
			return answers
		}
		answers[bob] = told{known: true, there: true}
	}
	return answers
}

func putMail(fsys disk.FS, name string) error {
	_, err := fsys.Create(name)
	return errors.Join(err, fsys.SyncDir(path.Dir(name)))
}

// whole says what is wrong with the Accounts on a disk, after what was answered.
func whole(fsys disk.FS, answers map[string]told) error {
	d := directory.New(fsys, local)
	names := map[string][]string{}
	for _, dir := range []string{"", "/ann/Maildir", "/bob/Maildir"} {
		dir = "Domains/example.com" + dir
		var err error
		if names[dir], err = fsys.List(dir); err != nil {
			return err
		}
	}
	for _, a := range []string{ann, bob} {
		_, err := d.Find(address(a))
		there := err == nil
		if err != nil && !errors.Is(err, directory.ErrNoAccount) {
			return err
		}
		if told := answers[a]; told.known && told.there != there {
			return fmt.Errorf("%s: there: %v, the administrator was told %v", a, there, told.there)
		}
		user, _, _ := strings.Cut(a, "@")
		if got := names["Domains/example.com/"+user+"/Maildir"]; there && !slices.Equal(got, []string{"cur", "new", "tmp"}) {
			return fmt.Errorf("%s has of its Maildir %v", a, got)
		}
		if remains := ".deleted-" + user; answers[a].known && !answers[a].there &&
			slices.Contains(names["Domains/example.com"], remains) {
			return fmt.Errorf("%s was deleted and %s is there", a, remains)
		}
	}
	return nil
}

// crashes loses power at every step and looks what is found, several times each. It
// returns the first mishap.
func crashes(sabotage crashdisk.Fault) error {
	for step := 0; ; step++ {
		t := crashdisk.NewTree(step)
		t.Fail(sabotage)
		answers := administer(directory.New(t, local), t)
		for seed := range uint64(20) {
			found := t.Restart(rand.New(rand.NewPCG(seed, 0)))
			if err := whole(found, answers); err != nil {
				return fmt.Errorf("power lost at step %d (seed %d): %w", step, seed, err)
			}
			again := administer(directory.New(found, local), found) // what a crash left is in nobody's way
			if len(again) != 2 || !again[ann].known || !again[bob].known {
				return fmt.Errorf("power lost at step %d (seed %d): afterwards %v", step, seed, again)
			}
		}
		if t.Steps() < step {
			return nil // it was not lost
		}
	}
}

func TestAccountsSurvivePowerLoss(t *testing.T) {
	if err := crashes(nil); err != nil {
		t.Error(err)
	}
}

// A test of the test: each sync that is left out must be missed.
func TestEverySyncIsNeeded(t *testing.T) {
	for _, tt := range []struct {
		name    string
		pattern string
		nth     int // only this time, counted from 1; 0: every time
	}{
		{"a Maildir has its directories", "Domains/*/.new-*/Maildir", 0},
		{"an Account has its Maildir", "Domains/*/.new-*", 0},
		{"a Domain has its Accounts", "Domains/example.com", 0},
		{"the Domains have theirs", "Domains", 0},
		{"the base directory has the Domains", ".", 0},
		{"a deleted Account is away", "Domains/example.com", 3},
		{"its remains go", "Domains/example.com", 4},
		{"a deletion that is refused is undone", "Domains/example.com", 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := 0
			err := crashes(func(op, name string) error {
				if op == "mkdir" && name == "Domains" {
					n = 0 // another life
				}
				if ok, _ := path.Match(tt.pattern, name); !ok || op != "syncdir" {
					return nil
				}
				if n++; tt.nth == 0 || n == tt.nth {
					return crashdisk.Lie
				}
				return nil
			})
			if err == nil {
				t.Fatal("nothing was lost without it")
			}
			t.Log("found, as it should be:", err)
		})
	}
}

// An Account is whole or not there while it is made: mail that comes in meanwhile is not
// taken away when its making fails.
func TestFailedCreateTakesNoMailAway(t *testing.T) {
	for step := range 20 {
		tree := crashdisk.NewTree(-1)
		d := directory.New(tree, local)
		n, stored := 0, false
		tree.Fail(func(op, name string) error {
			if n++; n == step {
				return errDisk
			}
			return nil
		})
		delivering := delivering{tree, func() {
			if !stored {
				stored = putMail(tree, "Domains/example.com/ann/Maildir/new/1") == nil
			}
		}}
		_, err := directory.New(delivering, local).Create(address(ann))
		if _, kept := tree.Files("new/1")["Domains/example.com/ann/Maildir/new/1"]; stored && !kept {
			t.Errorf("step %d: Create = %v, and the mail that had come in is gone", step, err)
		}
		tree.Fail(nil)
		if _, err := d.Create(address(ann)); err != nil && !errors.Is(err, directory.ErrExist) {
			t.Errorf("step %d: Create again = %v", step, err)
		}
	}
}

var errDisk = errors.New("input/output error")

// A delivering disk has somebody put mail in whenever a directory is made or synced.
type delivering struct {
	disk.FS
	put func()
}

func (d delivering) Mkdir(name string) error {
	err := d.FS.Mkdir(name)
	d.put()
	return err
}

func (d delivering) SyncDir(name string) error {
	d.put()
	return d.FS.SyncDir(name)
}
