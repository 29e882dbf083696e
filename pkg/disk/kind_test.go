package disk_test

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"cgq/pkg/disk"
	"cgq/pkg/disk/crashdisk"
)

func TestKindsOfFileSystems(t *testing.T) {
	for _, tt := range []struct {
		number int64
		want   disk.Kind
	}{
		{0xef53, disk.Kind{Name: "ext4", Keeps: true}},
		{0x58465342, disk.Kind{Name: "xfs", Keeps: true}},
		{0x9123683e, disk.Kind{Name: "btrfs", Keeps: true}},
		{0x9123683e - 1<<32, disk.Kind{Name: "btrfs", Keeps: true}}, // where a long has 32 bits
		{0x2fc12fc1, disk.Kind{Name: "zfs", Keeps: true}},
		{0x01021994, disk.Kind{Name: "tmpfs"}},
		{0x858458f6, disk.Kind{Name: "ramfs"}},
		{0x794c7630, disk.Kind{Name: "overlay"}},
		{0x6969, disk.Kind{Name: "nfs"}},
		{0x65735546, disk.Kind{Name: "fuse"}},
		{0x01021997, disk.Kind{Name: "9p"}},
		{0xff534d42, disk.Kind{Name: "cifs"}},
		{0xff534d42 - 1<<32, disk.Kind{Name: "cifs"}},
		{0x12345, disk.Kind{Name: "unknown (0x12345)"}}, // nobody knows what it keeps
	} {
		if got := disk.KindOf(tt.number); got != tt.want {
			t.Errorf("KindOf(%#x) = %+v, want %+v", tt.number, got, tt.want)
		}
	}
}

// What is asked is the directory, not the root: the Queue may be a mount of its own.
func TestKindAndFreeSpaceAreOfTheDirectory(t *testing.T) {
	root := "/"
	d, err := disk.OpenOS(root)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if k, err := d.Kind("proc"); err != nil || k.Keeps || k.Name != "unknown (0x9fa0)" {
		t.Errorf("Kind of /proc = %+v, %v", k, err)
	}
	if bytes, _, counts, err := d.Free("proc"); err != nil || bytes != 0 || counts {
		t.Errorf("Free of /proc = %d bytes, counts %v, %v; it has nothing", bytes, counts, err)
	}
	dir := t.TempDir()[1:]
	if bytes, _, _, err := d.Free(dir); err != nil || bytes <= 0 {
		t.Errorf("Free of %s = %d bytes, %v", dir, bytes, err)
	}
	if _, err := d.Kind(dir + "/nowhere"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Kind of nothing: %v", err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs("/"+dir, &st); err != nil {
		t.Fatal(err)
	}
	if k, err := d.Kind(dir); err != nil || k != disk.KindOf(int64(st.Type)) { //nolint:unconvert // narrower elsewhere
		t.Errorf("Kind of %s = %+v, %v", dir, k, err)
	}
}

// Nothing is synced, and everything is as it was written.
func TestUnsyncedSyncsNothing(t *testing.T) {
	under := crashdisk.New(-1)
	var synced []string
	under.Fail(func(op, name string) error {
		if op == "datasync" || op == "syncdir" {
			synced = append(synced, op+" "+name)
		}
		return nil
	})
	d := disk.Unsynced(under)
	f := must(d.Create("q/a.tmp"))
	if _, err := f.WriteAt([]byte("text"), 0); err != nil {
		t.Fatal(err)
	}
	if err := disk.Publish(d, f, "q/a.tmp", "q/a"); err != nil {
		t.Fatal(err)
	}
	if err := must(d.Open("q/a")).Datasync(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Open("nothing"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Open of nothing: %v", err)
	}
	if got := under.Files("a")["q/a"]; got != "text" || len(synced) > 0 {
		t.Errorf("the file is %q, synced were %q", got, synced)
	}
}

func must(f disk.File, err error) disk.File {
	if err != nil {
		panic(err)
	}
	return f
}
