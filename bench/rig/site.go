// Package rig is what the measurements share: a file system made for them, the machine
// that they hold for and whether it was quiet, servers as processes of their own, and
// what is done with figures.
package rig

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A Site is the directory in which what is measured keeps what it writes.
type Site struct {
	Dir   string
	About string // how it came to be

	loop  string // the device that is mounted on Dir; empty: none of ours
	empty bool   // the file system was made just now
	undo  []func() error
}

// A Plan says where to measure.
type Plan struct {
	Dir      string // measure in this directory; empty: in a file system made for it
	ImageDir string // the directory for the image of that file system
	Keep     string // the image itself: it is used again when it is there, and stays; empty: it goes
	GiB      int    // size of the image
	Inodes   int    // of its file system; 0: as mkfs likes
}

// Open makes a journalled ext4 on a loop device, in an image file: the file system that
// users have, whatever the machine has. With a Dir, or without the rights, it is a
// directory of a file system that is there.
func Open(ctx context.Context, p Plan) (*Site, error) {
	s := &Site{}
	var err error
	switch {
	case p.Dir != "":
		err = s.useDir(p.Dir, "a directory in BENCH_DIR")
	case os.Getuid() != 0:
		err = s.useDir(p.ImageDir, "a plain directory: only root can make a file system for it")
	case !exists("/dev/loop-control"):
		err = s.useDir(p.ImageDir, "a plain directory: there are no loop devices")
	default:
		err = s.makeImage(ctx, p)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (s *Site) useDir(parent, about string) error {
	dir, err := os.MkdirTemp(parent, "cgq-bench-*")
	if err != nil {
		return err
	}
	s.undo = append(s.undo, func() error { return os.RemoveAll(dir) })
	s.Dir, s.About = dir, about
	return os.Chmod(dir, 0o755) // Postfix looks at it as its own user
}

func (s *Site) makeImage(ctx context.Context, p Plan) error {
	if err := s.useDir(p.ImageDir, ""); err != nil {
		return err
	}
	image, mount := cmp.Or(p.Keep, filepath.Join(s.Dir, "image")), filepath.Join(s.Dir, "mnt")
	if err := os.Mkdir(mount, 0o755); err != nil {
		return err
	}
	if s.empty = !exists(image); s.empty {
		fmt.Printf("writing an image of %d GiB: %s\n", p.GiB, image)
		if err := zeros(ctx, image, p.GiB<<30); err != nil {
			return errors.Join(err, os.Remove(image))
		}
	}
	if err := s.attach(ctx, image, p.Inodes); err != nil {
		return err
	}
	s.Dir = mount
	if err := s.mount(ctx); err != nil {
		return err
	}
	s.undo = append(s.undo, s.unmount)
	s.About = fmt.Sprintf("made for this run: %s, direct-io, on an image of %d GiB in %s", s.loop, p.GiB, p.ImageDir)
	if !s.empty {
		s.About = fmt.Sprintf("made for an earlier run: %s, direct-io, on %s", s.loop, image)
	}
	return nil
}

// attach makes a device of the image, and of a new one a file system.
func (s *Site) attach(ctx context.Context, image string, inodes int) (err error) {
	s.loop, err = tool(ctx, "losetup", "--direct-io=on", "--show", "--find", image)
	if err != nil {
		return err
	}
	s.undo = append(s.undo, func() error {
		_, err := tool(context.Background(), "losetup", "--detach", s.loop)
		return err
	})
	if !s.empty {
		return nil
	}
	// Nothing is left for the kernel to initialize while we measure.
	args := []string{"-q", "-O", "has_journal", "-E", "lazy_itable_init=0,lazy_journal_init=0"}
	if inodes > 0 {
		args = append(args, "-N", strconv.Itoa(inodes))
	}
	_, err = tool(ctx, "mkfs.ext4", append(args, s.loop)...)
	return err
}

func (s *Site) mount(ctx context.Context) error {
	_, err := tool(ctx, "mount", s.loop, s.Dir)
	return err
}

func (s *Site) unmount() error {
	_, err := tool(context.Background(), "umount", s.Dir)
	return err
}

// Sync waits until everything is on the disk that was written to the file system of the
// site, and to no other.
func (s *Site) Sync() error {
	d, err := os.Open(s.Dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return unix.Syncfs(int(d.Fd()))
}

// Forget makes the operating system forget what it has read of the site, as a reboot
// does. It returns false where the file system is not ours to be mounted again.
func (s *Site) Forget(ctx context.Context) (bool, error) {
	if s.loop == "" {
		return false, nil
	}
	if err := s.unmount(); err != nil {
		return false, err
	}
	return true, s.mount(ctx)
}

// zeros writes the image in full: a hole would make each first write an allocation below.
func zeros(ctx context.Context, path string, size int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, 4<<20)
	for n := 0; n < size; n += len(block) {
		if _, err := f.Write(block); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return f.Sync()
}

// tool runs a program of the system and returns what it prints.
func tool(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, Cause(ctx, err), text)
	}
	return text, nil
}

// Close takes back everything, the last first.
func (s *Site) Close() error {
	var all []error
	for i := len(s.undo) - 1; i >= 0; i-- {
		all = append(all, s.undo[i]())
	}
	s.undo = nil
	return errors.Join(all...)
}
