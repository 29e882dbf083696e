package disk_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
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
