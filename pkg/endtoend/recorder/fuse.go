package recorder

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// fileName is that of the one file that is served.
const fileName = "disk.img"

// Serve mounts a file system with the disk as its one file on dir, and returns the
// path of that file. Only root can. stop takes it back; nothing may use the file then.
func (r *Recording) Serve(dir string) (file string, stop func() error, err error) {
	// Mounted here, and not by go-fuse: a program that we start must not inherit the
	// descriptor, or the kernel would wait for an answer for ever when we die.
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", nil, os.NewSyscallError("open /dev/fuse", err)
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,max_read=%d", fd, maxWrite)
	if err := unix.Mount("recorder", dir, "fuse.recorder", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		unix.Close(fd)
		return "", nil, os.NewSyscallError("mount fuse", err)
	}
	server, err := fs.Mount(fmt.Sprintf("/dev/fd/%d", fd), &folder{disk: r}, &fs.Options{MountOptions: fuse.MountOptions{
		Name: "recorder", DisableXAttrs: true, DisableSplice: true, MaxWrite: maxWrite,
	}})
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("recorder: %w", err), unix.Unmount(dir, 0), unix.Close(fd))
	}
	return filepath.Join(dir, fileName), func() error {
		err := os.NewSyscallError("umount fuse", unix.Unmount(dir, 0))
		if err == nil {
			server.Wait()
		}
		return err
	}, nil
}

// maxWrite is how many bytes come in one call.
const maxWrite = 256 << 10

// A folder holds the file.
type folder struct {
	fs.Inode
	disk *Recording
}

// OnAdd implements [fs.NodeOnAdder].
func (d *folder) OnAdd(ctx context.Context) {
	d.AddChild(fileName, d.NewPersistentInode(ctx, &file{disk: d.disk}, fs.StableAttr{}), false)
}

// A file is the disk. Its methods are those of the interfaces of go-fuse.
type file struct {
	fs.Inode
	disk *Recording
}

var _ interface {
	fs.NodeGetattrer
	fs.NodeOpener
	fs.NodeReader
	fs.NodeWriter
	fs.NodeFsyncer
	fs.NodeAllocater
} = (*file)(nil)

// Getattr implements [fs.NodeGetattrer].
func (f *file) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size, out.Blksize = fuse.S_IFREG|0o600, uint64(f.disk.Size()), 4096
	return 0
}

// Open implements [fs.NodeOpener]. Direct: no cache stands between the loop device
// and the recording.
func (f *file) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_DIRECT_IO, 0
}

// Read implements [fs.NodeReader].
func (f *file) Read(_ context.Context, _ fs.FileHandle, dest []byte, at int64) (fuse.ReadResult, syscall.Errno) {
	n := max(0, min(int64(len(dest)), f.disk.Size()-at))
	if _, err := f.disk.ReadAt(dest[:n], at); err != nil {
		return nil, syscall.EIO
	}
	return fuse.ReadResultData(dest[:n]), 0
}

// Write implements [fs.NodeWriter].
func (f *file) Write(_ context.Context, _ fs.FileHandle, data []byte, at int64) (uint32, syscall.Errno) {
	n, err := f.disk.WriteAt(data, at)
	if err != nil {
		return 0, syscall.EIO
	}
	return uint32(n), 0
}

// Fsync implements [fs.NodeFsyncer]: a loop device makes a sync of the file of each
// flush (REQ_OP_FLUSH) and of each write that has to be durable (FUA).
func (f *file) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	if f.disk.Flush() != nil {
		return syscall.EIO
	}
	return 0
}

// Allocate implements [fs.NodeAllocater]: what a loop device makes of discards and
// of writes of zeros.
func (f *file) Allocate(_ context.Context, _ fs.FileHandle, at, length uint64, mode uint32) syscall.Errno {
	if mode&(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_ZERO_RANGE) == 0 {
		return syscall.EOPNOTSUPP
	}
	if f.disk.Clear(int64(at), int64(length)) != nil {
		return syscall.EIO
	}
	return 0
}
