package history_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"cgq/pkg/disk"
	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/history"
	"cgq/pkg/settings"
)

func open(t *testing.T) (*disk.OS, string) {
	t.Helper()
	dir := t.TempDir()
	fsys, err := disk.OpenOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fsys.Close() })
	return fsys, dir
}

// write writes a file as a person does.
func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, "Settings"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "Settings", name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, fsys disk.FS) settings.Files {
	t.Helper()
	f, err := settings.ReadFiles(fsys, "Settings")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func texts(f settings.Files) map[string]string {
	all := map[string]string{}
	for _, name := range f.Names() {
		all[name], _ = f.Text(name)
	}
	return all
}

func TestHistory(t *testing.T) {
	fsys, dir := open(t)
	store := history.New(fsys, "Settings")
	write(t, dir, "a.toml", "a = 1\n")
	if e, err := store.Note(read(t, fsys), history.Entry{How: "by hand"}); err != nil || e.Number != 1 {
		t.Fatal(e, err)
	}
	base := read(t, fsys)
	next := base.With("a.toml", "a = 2\n").With("router.txt", "x = y\n")
	e, err := store.Commit(base, next, history.Entry{By: "ann", UID: 7, Why: "because", At: time.Unix(5, 0).UTC(),
		Changes: []settings.Difference{{Key: "a.a", Before: "1", After: "2"}}})
	if err != nil || e.Number != 2 || !read(t, fsys).Same(next) || !e.Is(next) || e.Is(base) {
		t.Fatalf("%+v, %v: %v", e, err, texts(read(t, fsys)))
	}
	back, err := store.Commit(next, base, history.Entry{By: "bob", How: "rollback to 1"}) // router.txt goes
	if err != nil || !read(t, fsys).Same(base) {
		t.Fatalf("%+v, %v: %v", back, err, texts(read(t, fsys)))
	}
	all, err := store.Entries()
	if err != nil || len(all) != 3 || all[1].By != "ann" || all[1].Why != "because" || all[1].Changes[0].After != "2" || !all[1].At.Equal(e.At) {
		t.Errorf("%+v, %v", all, err)
	}
	if f, err := store.Files(all[1]); err != nil || !f.Same(next) {
		t.Errorf("%v, %v", f, err)
	}
	if names, _ := fsys.List("Settings"); strings.Join(names, " ") != ".history a.toml" {
		t.Errorf("the directory has %q", names)
	}
}

// meddled is a disk on which somebody writes a file at the last moment.
type meddled struct {
	*disk.OS
	do func()
}

func (m *meddled) Exchange(a, b string) error {
	if m.do != nil {
		m.do()
		m.do = nil
	}
	return m.OS.Exchange(a, b)
}

func TestNobodysEditIsLost(t *testing.T) {
	fsys, dir := open(t)
	write(t, dir, "a.toml", "a = 1\n")
	write(t, dir, "b.toml", "b = 1\n")
	m := &meddled{OS: fsys}
	store := history.New(m, "Settings")
	base := read(t, fsys)
	next := base.With("a.toml", "a = 2\n").With("b.toml", "b = 2\n").With("c.toml", "c = 2\n")

	// known before
	write(t, dir, "b.toml", "b = 9\n")
	want := texts(read(t, fsys))
	if _, err := store.Commit(base, next, history.Entry{}); !errors.Is(err, history.ErrChanged) || !maps.Equal(texts(read(t, fsys)), want) {
		t.Errorf("edited before: %v, %v", err, texts(read(t, fsys)))
	}
	// at the last moment, in place and as editors do it
	for i, edit := range []func(){
		func() { write(t, dir, "a.toml", "a = 8\n") },
		func() {
			write(t, dir, "x", "a = 7\n")
			if err := os.Rename(filepath.Join(dir, "Settings", "x"), filepath.Join(dir, "Settings", "a.toml")); err != nil {
				t.Error(err)
			}
		},
	} {
		base := read(t, fsys)
		m.do = edit
		_, err := store.Commit(base, base.With("a.toml", "a = 2\n").With("b.toml", "b = 2\n"), history.Entry{})
		want := map[string]string{"a.toml": fmt.Sprintf("a = %d\n", 8-i), "b.toml": "b = 9\n"}
		if !errors.Is(err, history.ErrChanged) || !maps.Equal(texts(read(t, fsys)), want) {
			t.Errorf("edited at the last moment: %v, %v", err, texts(read(t, fsys)))
		}
	}
	// a file that was not there
	write(t, dir, "c.toml", "c = 6\n")
	base = read(t, fsys)
	if err := os.Remove(filepath.Join(dir, "Settings", "c.toml")); err != nil {
		t.Fatal(err)
	}
	gone := read(t, fsys)
	write(t, dir, "c.toml", "c = 6\n")
	if _, err := store.Commit(gone, gone.With("c.toml", "c = 2\n"), history.Entry{}); !errors.Is(err, history.ErrChanged) || !read(t, fsys).Same(base) {
		t.Errorf("made meanwhile: %v, %v", err, texts(read(t, fsys)))
	}
	if done, err := store.Recover(); done || err != nil {
		t.Errorf("something is left: %v, %v", done, err)
	}
	if all, err := store.Entries(); len(all) > 0 || err != nil {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestOldChangesAreForgotten(t *testing.T) {
	fsys, dir := open(t)
	store := history.New(fsys, "Settings")
	for i := range 110 {
		write(t, dir, "a.toml", fmt.Sprintf("a = %d\n", i))
		if _, err := store.Note(read(t, fsys), history.Entry{}); err != nil {
			t.Fatal(err)
		}
	}
	all, err := store.Entries()
	if err != nil || len(all) != 100 || all[0].Number != 11 || all[99].Number != 110 {
		t.Fatalf("%d entries, %v", len(all), err)
	}
	if names, _ := fsys.List("Settings/.history"); len(names) != 200 {
		t.Errorf("%d files", len(names))
	}
	if f, err := store.Files(all[0]); err != nil || texts(f)["a.toml"] != "a = 10\n" {
		t.Errorf("%v, %v", texts(f), err)
	}
}

// change is one of two files, one of which goes, and one that comes, on a disk that may
// lose power.
func change(t *crashdisk.Tree) (number int, err error) {
	store := history.New(t, "Settings")
	base, err := settings.ReadFiles(t, "Settings")
	if err != nil {
		return 0, err
	}
	next := base.With("a.toml", strings.Repeat("new", 400)).With("router.txt", "new")
	e, err := store.Commit(base, next, history.Entry{By: "ann", How: "edit"})
	return e.Number, err
}

// A change is whole or not there, whatever the instant at which power fails, and it is
// there when that was told; so is what history says of it.
func TestAChangeSurvivesPowerLoss(t *testing.T) {
	old := map[string]string{"a.toml": strings.Repeat("old", 400), "b.toml": "same"}
	was := map[string]string{"a.toml": strings.Repeat("new", 400), "b.toml": "same", "router.txt": "new"}
	whole, partly := 0, 0
	for step := 0; ; step++ {
		disk := crashdisk.NewTree(-1)
		begin(t, disk, old)
		began := disk.Steps()
		disk = crashdisk.NewTree(began + step)
		begin(t, disk, old)
		_, err := change(disk)
		for seed := range uint64(12) {
			after := disk.Restart(rand.New(rand.NewPCG(seed, uint64(step))))
			store := history.New(after, "Settings")
			done, failed := store.Recover()
			if failed != nil {
				t.Fatalf("step %d, seed %d: Recover: %v", step, seed, failed)
			}
			got := texts(read(t, after))
			isOld, isNew := maps.Equal(got, old), maps.Equal(got, was)
			all, failed := store.Entries()
			last := len(all)
			if failed != nil || !isOld && !isNew || err == nil && !isNew || isNew != (last == 2) || last == 0 || !all[last-1].Is(read(t, after)) {
				t.Fatalf("step %d, seed %d: Commit: %v, recovered %v: %q, %d entries, %v", step, seed, err, done, got, last, failed)
			}
			if again, failed := store.Recover(); again || failed != nil {
				t.Fatalf("step %d, seed %d: recovered twice, %v", step, seed, failed)
			}
			if done {
				partly++
			} else if isNew {
				whole++
			}
		}
		if disk.Steps() < began+step {
			break // power was not lost
		}
	}
	if whole == 0 || partly == 0 {
		t.Errorf("the test tests nothing: %d whole, %d recovered", whole, partly)
	}
}

// begin makes the directory with one entry, durably.
func begin(t *testing.T, d *crashdisk.Tree, files map[string]string) {
	t.Helper()
	fail := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	fail(d.Mkdir("Settings"))
	for name, text := range files {
		f, err := d.Create("Settings/" + name + ".tmp")
		fail(err)
		_, err = f.WriteAt([]byte(text), 0)
		fail(err)
		fail(disk.Publish(d, f, "Settings/"+name+".tmp", "Settings/"+name))
	}
	fail(d.SyncDir("."))
	_, err := history.New(d, "Settings").Note(read(t, d), history.Entry{How: "by hand"})
	fail(err)
}

// A file that was edited between a crash and the start stays as it is.
func TestRecoveryLeavesWhatWasEditedSince(t *testing.T) {
	for step := 0; ; step++ {
		d := crashdisk.NewTree(-1)
		begin(t, d, map[string]string{"a.toml": "old", "b.toml": "same"})
		began := d.Steps()
		d = crashdisk.NewTree(began + step)
		begin(t, d, map[string]string{"a.toml": "old", "b.toml": "same"})
		if _, err := change(d); err == nil {
			t.Skip("no step with a pending change")
		}
		d = d.Restart(rand.New(rand.NewPCG(1, uint64(step))))
		store := history.New(d, "Settings")
		if !store.Pending() {
			continue
		}
		f, err := d.Create("Settings/a.toml")
		if err == nil {
			_, err = f.WriteAt([]byte("by hand"), 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		if done, err := store.Recover(); !done || err != nil {
			t.Fatal(done, err)
		}
		if got := texts(read(t, d)); got["a.toml"] != "by hand" || got["router.txt"] != "new" {
			t.Errorf("%q", got)
		}
		return
	}
}

func TestDiff(t *testing.T) {
	for _, tt := range []struct{ a, b, want string }{
		{"a\nb\n", "a\nb\n", ""},
		{"", "a\n", "--- x\n+++ y\n@@ -0,0 +1,1 @@\n+a\n"},
		{"a\n", "", "--- x\n+++ y\n@@ -1,1 +0,0 @@\n-a\n"},
		{"1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n", "--- x\n+++ y\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n"},
		{"a\nb", "a\nc", "--- x\n+++ y\n@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+c\n\\ No newline at end of file\n"},
		{"1\n" + strings.Repeat("x\n", 20) + "2\n", "one\n" + strings.Repeat("x\n", 20) + "two\n",
			"--- x\n+++ y\n@@ -1,4 +1,4 @@\n-1\n+one\n x\n x\n x\n@@ -19,4 +19,4 @@\n x\n x\n x\n-2\n+two\n"},
	} {
		if got := history.Diff("x", "y", tt.a, tt.b); got != tt.want {
			t.Errorf("Diff(%q, %q) =\n%swant\n%s", tt.a, tt.b, got, tt.want)
		}
	}
}

// What is damaged costs nobody the other changes, and a new one is made and said to be.
func TestADamagedEntry(t *testing.T) {
	for _, text := range []string{"", "{", "{}", `{"number": 7}`, "\x00\x00"} {
		fsys, dir := open(t)
		store := history.New(fsys, "Settings")
		write(t, dir, "a.toml", "a = 1\n")
		for range 2 {
			if _, err := store.Note(read(t, fsys), history.Entry{How: "by hand"}); err != nil {
				t.Fatal(err)
			}
		}
		write(t, dir, ".history/000001.json", text)
		base := read(t, fsys)
		next := base.With("a.toml", "a = 2\n")
		e, err := store.Commit(base, next, history.Entry{How: "set"})
		if err != nil || e.Number != 3 || !read(t, fsys).Same(next) {
			t.Errorf("with %q: %+v, %v", text, e, err)
		}
		all, err := store.Entries()
		if err != nil || len(all) != 3 || all[0].Number != 1 || !strings.HasPrefix(all[0].How, "damaged: ") || all[2].How != "set" {
			t.Fatalf("with %q: %+v, %v", text, all, err)
		}
		if f, err := store.Files(all[0]); err == nil {
			t.Errorf("with %q: its files are %q", text, texts(f))
		}
		if f, err := store.Files(all[1]); err != nil || !f.Same(base) {
			t.Errorf("with %q: %q, %v", text, texts(f), err)
		}
	}
}

// A full disk is one on which the entry of a change gets no name.
type full struct{ *disk.OS }

func (f full) Rename(old, name string) error {
	if strings.HasSuffix(old, "pending.json") {
		return &fs.PathError{Op: "rename", Path: old, Err: syscall.ENOSPC}
	}
	return f.OS.Rename(old, name)
}

// A change that is answered with an error has not been made.
func TestAnErrorMeansThatNothingHasChanged(t *testing.T) {
	fsys, dir := open(t)
	write(t, dir, "a.toml", "a = 1\n")
	write(t, dir, "b.toml", "b = 1\n")
	base := read(t, fsys)
	next := base.With("a.toml", "a = 2\n").With("b.toml", "b = 2\n").With("c.toml", "c = 2\n")
	store := history.New(full{fsys}, "Settings")
	if _, err := store.Commit(base, next, history.Entry{}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("the error is %v", err)
	}
	if all, err := store.Entries(); !read(t, fsys).Same(base) || store.Pending() || len(all) != 0 || err != nil {
		t.Errorf("%q, pending: %v, %+v, %v", texts(read(t, fsys)), store.Pending(), all, err)
	}
}

// Whoever may read or write a file still may when we have changed it.
func TestModeAndOwnerStay(t *testing.T) {
	fsys, dir := open(t)
	file := filepath.Join(dir, "Settings", "a.toml")
	write(t, dir, "a.toml", "a = 1\n")
	if err := os.Chmod(file, 0o664); err != nil {
		t.Fatal(err)
	}
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 {
		uid, gid = 4711, 4712
		if err := os.Chown(file, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	for i, on := range []disk.FS{fsys, disk.Unsynced(fsys)} {
		base := read(t, fsys)
		if _, err := history.New(on, "Settings").Commit(base, base.With("a.toml", fmt.Sprintf("a = %d\n", i+2)), history.Entry{}); err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		is := st.Sys().(*syscall.Stat_t)
		if st.Mode() != 0o664 || int(is.Uid) != uid || int(is.Gid) != gid {
			t.Errorf("on %T the file is %v of %d:%d, want -rw-rw-r-- of %d:%d", on, st.Mode(), is.Uid, is.Gid, uid, gid)
		}
	}
}
