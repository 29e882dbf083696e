package disk_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"cgq/pkg/disk"
)

// Open follows no link, waits for no FIFO, and is no way out of its root.
func TestOpenTakesRegularFilesOnly(t *testing.T) {
	dir := t.TempDir()
	for name, err := range map[string]error{
		"file":   os.WriteFile(filepath.Join(dir, "file"), []byte("text"), 0o600),
		"dir":    os.Mkdir(filepath.Join(dir, "dir"), 0o700),
		"link":   os.Symlink("file", filepath.Join(dir, "link")),
		"out":    os.Symlink("/etc/passwd", filepath.Join(dir, "out")),
		"fifo":   unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600),
		"dangle": os.Symlink("nothing", filepath.Join(dir, "dangle")),
	} {
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	d, err := disk.OpenOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	opens(t, d, dir)
	d.WithoutOpenat2()
	opens(t, d, dir)
}

func opens(t *testing.T, d *disk.OS, dir string) {
	t.Helper()
	for _, tt := range []struct {
		name string
		want error
	}{
		{"file", nil}, {"dir", disk.ErrNotRegular}, {"link", disk.ErrNotRegular}, {"out", disk.ErrNotRegular},
		{"fifo", disk.ErrNotRegular}, {"dangle", disk.ErrNotRegular}, {"nothing", fs.ErrNotExist},
	} {
		f, err := d.Open(tt.name)
		if !errors.Is(err, tt.want) {
			t.Errorf("Open %s: %v, want %v", tt.name, err, tt.want)
		}
		if err == nil {
			f.Close()
		}
	}
	if f, err := d.Create("dangle"); err == nil {
		f.Close()
		if _, err := os.Stat(filepath.Join(dir, "nothing")); err == nil {
			t.Error("Create has followed a link")
		}
	}
	if _, err := d.Open("../" + filepath.Base(dir) + "/file"); err == nil {
		t.Error("Open has left its root")
	}
}

// A link on the way may lead elsewhere below the root, and not out of it.
func TestLinksOnTheWay(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "a/b"), 0o700), os.Symlink("a", filepath.Join(dir, "in")),
		os.Symlink("/etc", filepath.Join(dir, "out")), os.WriteFile(filepath.Join(dir, "a/b/file"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	d, err := disk.OpenOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for range 2 {
		f, err := d.Open("in/b/file")
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		if _, err := d.Open("out/passwd"); err == nil {
			t.Error("Open has left its root by a link")
		}
		d.WithoutOpenat2()
	}
}

// What is written is read, in pieces, to the end, and no further.
func TestReadsAndWrites(t *testing.T) {
	d, err := disk.OpenOS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	f, err := d.Create("file")
	if err != nil {
		t.Fatal(err)
	}
	n, err1 := f.WriteAt([]byte("behind a hole"), 10)
	size, err2 := f.Size()
	if err := errors.Join(err1, err2, f.Datasync()); err != nil || n != 13 || size != 23 {
		t.Errorf("wrote %d of 13, size %d: %v", n, size, err)
	}
	b := make([]byte, 100)
	if n, err := f.ReadAt(b, 8); n != 15 || err != io.EOF || string(b[:n]) != "\x00\x00behind a hole" {
		t.Errorf("ReadAt = %d, %v: %q", n, err, b[:n])
	}
	if n, err := f.ReadAt(b[:5], 10); n != 5 || err != nil || string(b[:5]) != "behin" {
		t.Errorf("ReadAt = %d, %v: %q", n, err, b[:5])
	}
	g, err := d.Create("file")
	if size, _ := g.Size(); err != nil || size != 0 {
		t.Errorf("Create again = %d bytes, %v; want none", size, err)
	}
	if err := errors.Join(f.Close(), g.Close()); err != nil {
		t.Error(err)
	}
	if err := f.Close(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Close again = %v, want ErrClosed", err)
	}
	if _, err := f.ReadAt(b, 0); err == nil {
		t.Error("a closed file was read")
	}
}

func TestLinkTakesNoPlace(t *testing.T) {
	d, err := disk.OpenOS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, name := range []string{"a", "b"} {
		f, err := d.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	if err := d.Link("a", "b"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Link over a file: %v, want ErrExist", err)
	}
}

// Kept files lose no name and take no place, however often it is tried.
func TestMoveAside(t *testing.T) {
	root := t.TempDir()
	fsys, err := disk.OpenOS(root)
	if err != nil {
		t.Fatal(err)
	}
	defer fsys.Close()
	put := func(name, text string) {
		t.Helper()
		name = filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	long := strings.Repeat("x", 100<<10)
	put("kept/5", "another")
	put("kept/5.1", long+"y")
	put("a/5", long+"z")
	if err := os.Symlink("/etc/passwd", filepath.Join(root, "kept/5.2")); err != nil {
		t.Fatal(err)
	}
	if is, err := disk.Kept(fsys, "a/5", "kept/5"); is || err != nil {
		t.Errorf("Kept = %v, %v before anything was", is, err)
	}
	for range 2 {
		if name, err := disk.Keep(fsys, "a/5", "kept/5"); name != "kept/5.3" || err != nil {
			t.Errorf("Keep = %q, %v; want kept/5.3", name, err)
		}
	}
	if is, err := disk.Kept(fsys, "a/5", "kept/5"); !is || err != nil {
		t.Errorf("Kept = %v, %v", is, err)
	}
	if err := disk.MoveAside(fsys, "a/5", "kept/5"); err != nil {
		t.Error(err)
	}
	if err := disk.MoveAside(fsys, "a/5", "kept/5"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("MoveAside of no file = %v", err)
	}
	if names, err := fsys.List("a"); len(names) > 0 || err != nil {
		t.Errorf("left: %q, %v", names, err)
	}
	for name, want := range map[string]string{"kept/5": "another", "kept/5.1": long + "y", "kept/5.3": long + "z"} {
		if b, err := os.ReadFile(filepath.Join(root, name)); string(b) != want {
			t.Errorf("%s is %.20q of %d, %v", name, b, len(b), err)
		}
	}
}

// Names are given and taken, with openat2 and without.
func TestNames(t *testing.T) {
	for _, without := range []bool{false, true} {
		dir := t.TempDir()
		if err := os.Symlink("/tmp", filepath.Join(dir, "out")); err != nil {
			t.Fatal(err)
		}
		d, err := disk.OpenOS(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if without {
			d.WithoutOpenat2()
		}
		if err := errors.Join(d.Mkdir("a/full/of"), d.Mkdir("a/empty"), os.WriteFile(filepath.Join(dir, "a/1"), nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			what string
			err  error
			want error
		}{
			{"rename", d.Rename("a/1", "a/2"), nil},
			{"rename of nothing", d.Rename("a/1", "a/3"), fs.ErrNotExist},
			{"rename of a directory", d.Rename("a/empty", "a/still"), nil},
			{"link elsewhere", d.Link("a/2", "a/full/2"), nil},
			{"link over a file", d.Link("a/2", "a/full/2"), fs.ErrExist},
			{"link of nothing", d.Link("a/1", "a/4"), fs.ErrNotExist},
			{"link into no directory", d.Link("a/2", "b/2"), fs.ErrNotExist},
			{"remove", d.Remove("a/2"), nil},
			{"remove of nothing", d.Remove("a/2"), fs.ErrNotExist},
			{"remove of an empty directory", d.Remove("a/still"), nil},
			{"remove of a full directory", d.Remove("a/full"), unix.ENOTEMPTY},
			{"sync", d.SyncDir("a/full"), nil},
			{"sync of the root", d.SyncDir("."), nil},
			{"sync of nothing", d.SyncDir("b"), fs.ErrNotExist},
		} {
			if !errors.Is(tt.err, tt.want) {
				t.Errorf("%s: %v, want %v (without openat2: %v)", tt.what, tt.err, tt.want, without)
			}
		}
		for what, err := range map[string]error{"rename": d.Rename("out/x", "out/y"), "link": d.Link("a/full/2", "out/cgq-2"),
			"remove": d.Remove("out/x"), "sync": d.SyncDir("out"), "rename up": d.Rename("../x", "../y")} {
			if err == nil || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s outside of the root: %v (without openat2: %v)", what, err, without)
			}
		}
		if names, _ := d.List("a/full"); len(names) != 2 {
			t.Errorf("a/full has %q, want of and 2", names)
		}
	}
}

// Files made after NoCopyOnWrite have the flag, on btrfs; elsewhere nothing happens.
func TestNoCopyOnWrite(t *testing.T) {
	root := t.TempDir()
	d, err := disk.OpenOS(root)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for range 2 {
		if err := d.NoCopyOnWrite("."); err != nil {
			t.Errorf("NoCopyOnWrite: %v", err)
		}
	}
	f, err := os.Create(filepath.Join(root, "new"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	flags, _ := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS) // not every file system has any
	if got, want := flags&0x00800000 != 0, st.Type == unix.BTRFS_SUPER_MAGIC; got != want {
		t.Errorf("the flag of a new file is %v, on btrfs is %v", got, want)
	}
	if err := d.NoCopyOnWrite("nothing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of no directory: %v", err)
	}
}
