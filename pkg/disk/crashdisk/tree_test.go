package crashdisk_test

import (
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"cgq/pkg/disk"
	"cgq/pkg/disk/crashdisk"
)

// found is the files that are found after power loss, in all the ways.
func found(t *crashdisk.Tree) []string {
	ways := map[string]bool{}
	for seed := range uint64(300) {
		files := t.Restart(rand.New(rand.NewPCG(seed, 0))).Files("")
		ways[strings.Join(slices.Sorted(maps.Keys(files)), " ")] = true
	}
	return slices.Sorted(maps.Keys(ways))
}

func TestDirectoriesSurviveWithTheirParents(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(*crashdisk.Tree) error
		want string // ways, with | between
	}{
		{"nothing synced", func(*crashdisk.Tree) error { return nil }, "|a/b/f"},
		{"the file's directory alone", func(d *crashdisk.Tree) error { return d.SyncDir("a/b") }, "|a/b/f"},
		{"all but the file's", func(d *crashdisk.Tree) error {
			return errors.Join(d.SyncDir("a"), d.SyncDir("."))
		}, "|a/b/f"},
		{"all", func(d *crashdisk.Tree) error {
			return errors.Join(d.SyncDir("a/b"), d.SyncDir("a"), d.SyncDir("."))
		}, "a/b/f"},
		{"a directory gets another name", func(d *crashdisk.Tree) error {
			return errors.Join(d.SyncDir("a/b"), d.SyncDir("a"), d.SyncDir("."), d.Rename("a", "c"))
		}, "a/b/f|c/b/f"},
		{"and back", func(d *crashdisk.Tree) error {
			return errors.Join(d.SyncDir("a/b"), d.SyncDir("a"), d.SyncDir("."), d.Rename("a", "c"), d.Rename("c", "a"))
		}, "a/b/f|c/b/f"},
		{"removed from below", func(d *crashdisk.Tree) error {
			return errors.Join(d.SyncDir("a/b"), d.SyncDir("a"), d.SyncDir("."),
				d.Remove("a/b/f"), d.Remove("a/b"), d.SyncDir("a"))
		}, ""},
		{"two names", func(d *crashdisk.Tree) error {
			return errors.Join(d.SyncDir("a/b"), d.SyncDir("a"), d.SyncDir("."), d.Link("a/b/f", "g"))
		}, "a/b/f|a/b/f g"},
	} {
		d := crashdisk.NewTree(-1)
		if err := d.Mkdir("a/b"); err != nil {
			t.Fatal(err)
		}
		must(d.Create("a/b/f"))(t)
		if err := tt.do(d); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if got := strings.Join(found(d), "|"); got != tt.want {
			t.Errorf("%s: found %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestTreeRefuses(t *testing.T) {
	d := crashdisk.NewTree(-1)
	if err := errors.Join(d.Mkdir("a/b"), d.Mkdir("a/b"), d.Mkdir("c")); err != nil {
		t.Fatal(err)
	}
	must(d.Create("f"))(t)
	opened := func(_ disk.File, err error) error { return err }
	for _, tt := range []struct {
		what string
		got  error
		want error
	}{
		{"open a directory", opened(d.Open("a")), disk.ErrNotRegular},
		{"open nothing", opened(d.Open("a/f")), fs.ErrNotExist},
		{"create where no directory is", opened(d.Create("x/f")), fs.ErrNotExist},
		{"create in a file", opened(d.Create("f/g")), fs.ErrNotExist},
		{"create over a directory", opened(d.Create("a")), disk.ErrNotRegular},
		{"remove a full directory", d.Remove("a"), syscall.ENOTEMPTY},
		{"remove nothing", d.Remove("g"), fs.ErrNotExist},
		{"rename over a directory", d.Rename("a", "c"), fs.ErrExist},
		{"rename a directory over a file", d.Rename("a", "f"), fs.ErrExist},
		{"rename away", d.Rename("f", "a/f"), fs.ErrNotExist},
		{"a second name that is taken", d.Link("f", "a"), fs.ErrExist},
		{"a second name of a directory", d.Link("a", "g"), fs.ErrNotExist},
		{"a directory in a file", d.Mkdir("f/g"), syscall.ENOTDIR},
		{"sync a file", d.SyncDir("f"), fs.ErrNotExist},
	} {
		if !errors.Is(tt.got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.what, tt.got, tt.want)
		}
	}
	if names, err := d.List("."); err != nil || strings.Join(names, " ") != "a c f" {
		t.Errorf("List = %v, %v", names, err)
	}
	if names, err := d.List("nowhere"); err != nil || len(names) > 0 {
		t.Errorf("List of nothing = %v, %v", names, err)
	}
}

// Steps, faults and the end of power are those of a Disk.
func TestTreeLosesPower(t *testing.T) {
	d := crashdisk.NewTree(2)
	if err := d.Mkdir("a/b"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Create("a/f"); !errors.Is(err, crashdisk.ErrPower) {
		t.Errorf("Create without power = %v", err)
	}
	if err := d.SyncDir("a"); !errors.Is(err, crashdisk.ErrPower) {
		t.Errorf("SyncDir without power = %v", err)
	}
	d = crashdisk.NewTree(-1)
	d.Fail(func(op, _ string) error {
		return map[string]error{"mkdir": syscall.ENOSPC, "syncdir": crashdisk.Lie}[op]
	})
	if err := d.Mkdir("a"); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Mkdir = %v, want ENOSPC", err)
	}
	must(d.Create("f"))(t)
	if err := d.SyncDir("."); err != nil {
		t.Errorf("SyncDir = %v, want a lie", err)
	}
	if got := strings.Join(found(d), "|"); got != "|f" {
		t.Errorf("found %q after a lie, want both ways", got)
	}
}
