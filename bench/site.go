package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// imageSize is that of the file system made for the measurement, in bytes.
const imageSize = 4 << 30

// A site is the directory in which the servers keep what they write.
type site struct {
	dir   string
	about string // how it came to be
	undo  []func() error
}

// openSite makes a journalled ext4 on a loop device, in an image file in imageDir: the
// file system that users have, whatever the machine has. With dir, or without the rights,
// it is a directory of a file system that is there.
func openSite(ctx context.Context, dir, imageDir string) (*site, error) {
	s := &site{}
	var err error
	switch {
	case dir != "":
		err = s.useDir(dir, "a directory in BENCH_DIR")
	case os.Getuid() != 0:
		err = s.useDir(imageDir, "a plain directory: only root can make a file system for it")
	case !exists("/dev/loop-control"):
		err = s.useDir(imageDir, "a plain directory: there are no loop devices")
	default:
		err = s.makeImage(ctx, imageDir)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (s *site) useDir(parent, about string) error {
	dir, err := os.MkdirTemp(parent, "cgq-bench-*")
	if err != nil {
		return err
	}
	s.undo = append(s.undo, func() error { return os.RemoveAll(dir) })
	s.dir, s.about = dir, about
	return os.Chmod(dir, 0o755) // Postfix looks at it as its own user
}

func (s *site) makeImage(ctx context.Context, parent string) error {
	if err := s.useDir(parent, ""); err != nil {
		return err
	}
	image, mount := filepath.Join(s.dir, "image"), filepath.Join(s.dir, "mnt")
	if err := os.Mkdir(mount, 0o755); err != nil {
		return err
	}
	fmt.Printf("writing an image of %d GiB in %s\n", imageSize>>30, parent)
	if err := zeros(ctx, image); err != nil {
		return err
	}
	loop, err := tool(ctx, "losetup", "--direct-io=on", "--show", "--find", image)
	if err != nil {
		return err
	}
	s.undo = append(s.undo, func() error {
		_, err := tool(context.Background(), "losetup", "--detach", loop)
		return err
	})
	// Nothing is left for the kernel to initialize while we measure.
	lazy := "lazy_itable_init=0,lazy_journal_init=0"
	if _, err := tool(ctx, "mkfs.ext4", "-q", "-O", "has_journal", "-E", lazy, loop); err != nil {
		return err
	}
	if _, err := tool(ctx, "mount", loop, mount); err != nil {
		return err
	}
	s.undo = append(s.undo, func() error {
		_, err := tool(context.Background(), "umount", mount)
		return err
	})
	s.dir, s.about = mount, fmt.Sprintf("made for this run: %s, direct-io, on an image of %d GiB in %s",
		loop, imageSize>>30, parent)
	return nil
}

// zeros writes the image in full: a hole would make each first write an allocation below.
func zeros(ctx context.Context, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, 4<<20)
	for n := 0; n < imageSize; n += len(block) {
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
		return "", fmt.Errorf("%s: %w: %s", name, cause(ctx, err), text)
	}
	return text, nil
}

// close takes back everything, the last first.
func (s *site) close() error {
	var all []error
	for i := len(s.undo) - 1; i >= 0; i-- {
		all = append(all, s.undo[i]())
	}
	s.undo = nil
	return errors.Join(all...)
}
