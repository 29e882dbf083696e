package spool_test

import (
	"path"
	"strings"
	"sync"
	"testing"

	"cgq/pkg/disk"
	"cgq/pkg/disk/crashdisk"
)

// A test of the test: each rule that is broken, under the code, must be missed.
func TestEveryRuleIsNeeded(t *testing.T) {
	for _, tt := range []struct {
		rule     string
		sabotage func(*world) crashdisk.Fault
	}{
		{"J2 Wait waits for the disk", lies("datasync", "Queue/journal/*.seg")},
		{"J3 new segments have bytes", lies("datasync", "Queue/journal/segment.new")},
		{"J3 new segments have names", lies("syncdir", "Queue/journal")},
		{"J6 freeing is synced", func(w *world) crashdisk.Fault { return w.lieInCheckpoint(true) }},
		{"C1 L6 it waits for the newest", func(w *world) crashdisk.Fault { return w.lieInCheckpoint(false) }},
		{"C1 new files have bytes", lies("datasync", "Queue/??/*.tmp")},
		{"C1 old files have new facts", lies("datasync", "Queue/??/*.msg")},
		{"C1 J6 files have names, or none", lies("syncdir", "Queue/??")},
		{"F1 what is not accepted is not named so", beneath(func(d disk.FS) disk.FS { return sameName{d} })},
		{"F4 a big text has its bytes before its frame", draftLies("datasync")},
		{"F4 and its name", draftLies("syncdir")},
		{"F2 no synced sector is written again", beneath(func(d disk.FS) disk.FS { return overlap{d} })},
		{"F6 a second name is durable before the first goes", func(w *world) crashdisk.Fault { return w.lieWhileMoving() }},
		{"F6 first names are gone for good", beneath(func(d disk.FS) disk.FS { return &forgetful{FS: d} })},
		{"F7 no accepted file is used again", beneath(func(d disk.FS) disk.FS { return &recycler{FS: d} })},
		{"F8 the ceiling has bytes", lies("datasync", "Queue/ids.tmp")},
		{"F8 the ceiling has a name", lies("syncdir", "Queue")},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			err := crashes(12, tt.sabotage)
			if err == nil {
				t.Fatal("nothing was lost without it")
			}
			t.Log("found, as it should be:", err)
		})
	}
}

// lies makes a disk that leaves some syncs out.
func lies(op, pattern string) func(*world) crashdisk.Fault {
	return func(*world) crashdisk.Fault {
		return func(o, name string) error {
			if ok, _ := path.Match(pattern, name); ok && o == op {
				return crashdisk.Lie
			}
			return nil
		}
	}
}

// lieInCheckpoint leaves out, in a checkpoint, the syncs of the journal: those
// before the first change of a file, or those after it.
func (w *world) lieInCheckpoint(after bool) crashdisk.Fault {
	changed := false
	return func(op, name string) error {
		changed = w.point && (changed || !strings.HasSuffix(name, ".seg"))
		if w.point && changed == after && op == "datasync" && strings.HasSuffix(name, ".seg") {
			return crashdisk.Lie
		}
		return nil
	}
}

// lieWhileMoving leaves out the syncs of directories while files are moved.
func (w *world) lieWhileMoving() crashdisk.Fault {
	return func(op, name string) error {
		if w.moving && op == "syncdir" {
			return crashdisk.Lie
		}
		return nil
	}
}

// forgetful syncs no directory of which the last change was a removal of a name that had
// become the second one.
type forgetful struct {
	disk.FS
	mu              sync.Mutex // a start works on many files at once
	linked, removed map[string]bool
}

func (d *forgetful) Link(old, name string) error {
	d.mu.Lock()
	if d.linked == nil {
		d.linked, d.removed = map[string]bool{}, map[string]bool{}
	}
	d.linked[old] = true
	d.mu.Unlock()
	return d.FS.Link(old, name)
}

func (d *forgetful) Remove(name string) error {
	d.mu.Lock()
	if d.linked[name] {
		d.removed[path.Dir(name)] = true
	}
	d.mu.Unlock()
	return d.FS.Remove(name)
}

func (d *forgetful) SyncDir(dir string) error {
	d.mu.Lock()
	removed := d.removed[dir]
	d.mu.Unlock()
	if removed {
		return nil
	}
	return d.FS.SyncDir(dir)
}

// recycler makes temporary files of the file that was accepted last.
type recycler struct {
	disk.FS
	mu   sync.Mutex // a start works on many files at once
	last string
}

// accept takes down which file was accepted last, and returns which was before.
func (d *recycler) accept(name string) (before string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	before, d.last = d.last, name
	return before
}

func (d *recycler) Rename(old, name string) error {
	if path.Ext(name) == ".msg" {
		d.accept(name)
	}
	return d.FS.Rename(old, name)
}

func (d *recycler) Create(name string) (disk.File, error) {
	if path.Ext(name) != ".tmp" || path.Base(name) == "ids.tmp" {
		return d.FS.Create(name)
	}
	if last := d.accept(""); last != "" {
		if d.FS.Link(last, name) == nil {
			return d.FS.Open(name)
		}
		d.accept(last)
	}
	return d.FS.Create(name)
}

// beneath puts a disk that does other things than it is told under the spool.
func beneath(under func(disk.FS) disk.FS) func(*world) crashdisk.Fault {
	return func(w *world) crashdisk.Fault {
		w.under = under
		return nil
	}
}

// draftLies leaves out the syncs of big texts before their frame: those that are
// not in a checkpoint or a start.
func draftLies(op string) func(*world) crashdisk.Fault {
	return func(w *world) crashdisk.Fault {
		return func(o, name string) error {
			ok, _ := path.Match("Queue/??/*.tmp", name)
			if dir, _ := path.Match("Queue/[0-9][0-9]", name); o == op && (ok || dir) && !w.point && w.s != nil {
				return crashdisk.Lie
			}
			return nil
		}
	}
}

// sameName gives drafts the name of an accepted message at once.
type sameName struct{ disk.FS }

func accepted(name string) string { return strings.TrimSuffix(name, ".tmp") + ".msg" }

func (d sameName) Create(name string) (disk.File, error) {
	if ok, _ := path.Match("Queue/??/*.tmp", name); ok {
		name = accepted(name)
	}
	return d.FS.Create(name)
}

func (d sameName) Remove(name string) error {
	if ok, _ := path.Match("Queue/??/*.tmp", name); ok {
		name = accepted(name)
	}
	return d.FS.Remove(name)
}

func (d sameName) Open(name string) (disk.File, error) {
	if ok, _ := path.Match("Queue/??/*.tmp", name); ok {
		name = accepted(name)
	}
	return d.FS.Open(name)
}

func (d sameName) Rename(old, name string) error {
	if ok, _ := path.Match("Queue/??/*.tmp", old); ok {
		return nil
	}
	return d.FS.Rename(old, name)
}

// overlap writes, with the facts, the sector before them once more.
type overlap struct{ disk.FS }

func (d overlap) Open(name string) (disk.File, error) {
	f, err := d.FS.Open(name)
	if err == nil && strings.HasSuffix(name, ".msg") {
		f = overlapping{f}
	}
	return f, err
}

type overlapping struct{ disk.File }

func (f overlapping) WriteAt(p []byte, off int64) (int, error) {
	b := make([]byte, 512, 512+len(p))
	if _, err := f.ReadAt(b, off-512); err != nil {
		return 0, err
	}
	if _, err := f.File.WriteAt(append(b, p...), off-512); err != nil {
		return 0, err
	}
	return len(p), nil
}
