package powercut

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cgq/pkg/endtoend/recorder"
)

// A fileSystem is one under test.
type fileSystem struct {
	name    string
	kernel  string // its type for mount(2)
	size    int64  // of the disk, in bytes
	tools   []string
	make    []string // the program that makes it, without the device
	options string   // of mount(2)
	repair  []string // the program that is run before a mount, without the device
	unit    int64    // bytes that its disk has to write whole; 0: a sector
}

// block is what those file systems need a disk to write whole that have no second copy
// of their own blocks: without a journal nothing repairs a directory of which half a
// block was written, xfs logs the bytes that change, and btrfs has one current
// superblock. ext4 logs whole blocks, so there everything may be torn by sectors.
const block = 4096

var fileSystems = []fileSystem{
	{name: "ext4", kernel: "ext4", size: 160 << 20, tools: []string{"mkfs.ext4"},
		make: []string{"mkfs.ext4", "-q", "-b", "4096", "-E", "nodiscard"}},
	// Without three features that are usual, because synced files are lost with them
	// whatever their owner does. With uninit_bg or metadata_csum e2fsck believes that
	// inodes beyond a mark that is too low are unused, and copies over their blocks what
	// it finds claimed twice. With dir_index a directory that grows moves half a block of
	// names, and the power may fail when they are gone and have not come.
	{name: "ext4 without a journal", kernel: "ext4", size: 160 << 20, tools: []string{"mkfs.ext4", "e2fsck"},
		make: []string{"mkfs.ext4", "-q", "-b", "4096", "-E", "nodiscard",
			"-O", "^has_journal,^metadata_csum,^uninit_bg,^dir_index"},
		repair: []string{"e2fsck", "-fy"}, unit: block},
	{name: "xfs", kernel: "xfs", size: 320 << 20, tools: []string{"mkfs.xfs"},
		make: []string{"mkfs.xfs", "-q", "-K"}, options: "nouuid", unit: block},
	{name: "btrfs", kernel: "btrfs", size: 320 << 20, tools: []string{"mkfs.btrfs", "btrfs"},
		make: []string{"mkfs.btrfs", "-q", "-K"}, unit: block},
}

// make makes the file system on a device.
func (f *fileSystem) makeOn(t *testing.T, device string) {
	t.Helper()
	tool(t, nil, f.make[0], append(f.make[1:len(f.make):len(f.make)], device)...)
}

// mount mounts a file that holds the file system, after the repair that it needs.
func (f *fileSystem) mount(t *testing.T, file, dir string) (undo func() error, err error) {
	t.Helper()
	device, err := recorder.Attach(file)
	if err != nil {
		return nil, err
	}
	defer device.Close()
	if f.repair != nil { // 1: there were errors, as there have to be
		tool(t, []int{1}, f.repair[0], append(f.repair[1:len(f.repair):len(f.repair)], device.Name())...)
	}
	if f.kernel == "btrfs" { // the kernel remembers the other disks with this identity
		tool(t, []int{1}, "btrfs", "device", "scan", "--forget")
	}
	if err := unix.Mount(device.Name(), dir, f.kernel, 0, f.options); err != nil {
		return nil, os.NewSyscallError("mount "+f.kernel, err)
	}
	return func() error { return unmount(dir) }, nil
}

// unmount unmounts what nobody uses any more; a program that is just being started may
// still have, for a moment, the files that we had open.
func unmount(dir string) error {
	for began := time.Now(); ; time.Sleep(pause) {
		err := os.NewSyscallError("umount", unix.Unmount(dir, 0))
		if !errors.Is(err, syscall.EBUSY) || time.Since(began) > patience {
			return err
		}
	}
}

// A disk is a recording that is served, with a file system on it when that is mounted.
type disk struct {
	dir       string // of the recording, for those who want to see it again
	recording *recorder.Recording
	file      string // that is served
	mounted   string // where the file system is
	close     []func() error
}

// serve makes an empty disk in a new directory in dir. That stays when the test fails.
func serve(t *testing.T, dir string, size int64) *disk {
	t.Helper()
	dir, err := os.MkdirTemp(dir, "cgq-powercut")
	check(t, err)
	d := &disk{dir: dir, mounted: filepath.Join(dir, "mounted")}
	t.Cleanup(func() {
		check(t, d.end())
		if !t.Failed() {
			check(t, os.RemoveAll(dir))
		}
	})
	served := filepath.Join(dir, "served")
	check(t, os.Mkdir(served, 0o700), os.Mkdir(d.mounted, 0o700))
	d.recording, err = recorder.Create(dir, size)
	check(t, err)
	var stop func() error
	d.file, stop, err = d.recording.Serve(served)
	check(t, err)
	d.close = append(d.close, stop)
	return d
}

// newDisk makes a disk with an empty file system. It skips the test where the kernel
// has no such file system.
func newDisk(t *testing.T, f *fileSystem) *disk {
	t.Helper()
	d := serve(t, "", f.size)
	device, err := recorder.Attach(d.file)
	check(t, err)
	f.makeOn(t, device.Name())
	check(t, device.Close())
	err = d.mount(t, f)
	if errors.Is(err, syscall.ENODEV) {
		t.Skipf("the kernel has no %s: skipped", f.kernel)
	}
	check(t, err)
	return d
}

// mount mounts the file system that is on the disk.
func (d *disk) mount(t *testing.T, f *fileSystem) error {
	t.Helper()
	unmount, err := f.mount(t, d.file, d.mounted)
	if err == nil {
		d.close = append(d.close, unmount)
	}
	return err
}

// end unmounts everything, so that nothing is recorded any more.
func (d *disk) end() error {
	var errs []error
	for _, undo := range slices.Backward(d.close) {
		errs = append(errs, undo())
	}
	d.close = nil
	return errors.Join(errs...)
}
