package main

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"time"

	"cgq/bench/rig"
	"cgq/pkg/disk"
)

// Message files are made in the way of pkg/spool: 512 are written by 4 writers, then
// synced by 64, then named, and in the end each folder is synced once.
const (
	forestBatch   = 512
	forestWriters = 4
	forestSyncers = 64
	forestBatches = 8           // of files in one measurement
	forestFile    = 4<<10 + 512 // bytes: 4 KiB of text, then envelope and filling
)

var (
	folderCounts = []int{0, 10, 100}
	presents     = []int{1_000, 10_000, 100_000} // files that lie there already
)

// folders is the part that decides the defaults of Queue Foldering and Recycle Temp Files.
func folders(*bench) (*rig.Table, measurement) {
	t := &rig.Table{Name: "folders",
		About:   "message files of 4 KiB, made as a checkpoint makes them, and taken away: unlinked, or kept as Temp Files and recycled",
		Columns: rig.Columns("%.0f made/s", "%.1f p99 ms of a sync", "%.0f taken away/s", "%.0f both/s")}
	return t, func(ctx context.Context, b *bench, t *rig.Table) error {
		dir, remove, err := b.dir()
		if err != nil {
			return err
		}
		defer remove()
		var all []*forest
		for _, n := range folderCounts {
			f, err := plant(dir, n, forestBatches, b.site.Sync)
			if err != nil {
				return err
			}
			defer f.close() //nolint:errcheck // a directory that was only worked in
			all = append(all, f)
		}
		for _, n := range presents {
			for _, f := range all {
				if err := f.grow(n); err != nil {
					return err
				}
			}
			if err := b.eachRound(ctx, t, func() error { return forestRound(ctx, t, all) }); err != nil {
				return err
			}
		}
		return nil
	}
}

func forestRound(ctx context.Context, t *rig.Table, all []*forest) error {
	for _, f := range all {
		if err := f.sample(ctx, t, "unlinked", f.unlink); err != nil {
			return err
		}
		// Before files can be recycled there must be some.
		if err := errors.Join(f.make(ctx, nil), f.recycle(ctx)); err != nil {
			return err
		}
		if err := f.sample(ctx, t, "recycled", f.recycle); err != nil {
			return err
		}
		if err := f.unlink(ctx); err != nil {
			return err
		}
	}
	return nil
}

// A forest is a Queue directory with so many folders in it; none: the files lie in the
// directory itself.
type forest struct {
	fs      *counted
	close   func() error
	sync    func() error // of the whole file system
	folders int
	batches int      // that are made in one measurement
	present int      // files that lie there all the time
	last    int      // the last number given out
	files   []string // those that are being measured; file i is in folder i modulo folders
	image   []byte
}

func plant(dir string, folders, batches int, sync func() error) (*forest, error) {
	fs, closeFS, err := sub(dir, strconv.Itoa(folders))
	if err != nil {
		return nil, err
	}
	f := &forest{fs: fs, close: closeFS, sync: sync, folders: folders, batches: batches, image: letter(forestFile)}
	for _, d := range f.dirs() {
		if err := fs.Mkdir(d); err != nil {
			return nil, errors.Join(err, closeFS())
		}
	}
	return f, nil
}

func (f *forest) dirs() (all []string) {
	for nn := range max(f.folders, 1) {
		all = append(all, f.dir(nn))
	}
	return all
}

func (f *forest) dir(i int) string {
	if f.folders == 0 {
		return "Queue"
	}
	return path.Join("Queue", fmt.Sprintf("%02d", i%f.folders))
}

// name is that of number n in the folder of file i.
func (f *forest) name(i, n int, suffix string) string {
	return path.Join(f.dir(i), strconv.Itoa(n)+suffix)
}

// grow makes small files, unsynced, until so many are there.
func (f *forest) grow(present int) error {
	for ; f.present < present; f.present++ {
		f.last++
		file, err := f.fs.Create(f.name(f.present, f.last, ".msg"))
		if err != nil {
			return err
		}
		_, err = file.WriteAt(f.image[:1024], 0)
		if err := errors.Join(err, file.Close()); err != nil {
			return err
		}
	}
	return nil
}

// sample measures making files and taking them away.
func (f *forest) sample(ctx context.Context, t *rig.Table, how string, takeAway func(context.Context) error) error {
	if err := f.sync(); err != nil { // what was left to be written
		return err
	}
	var syncs rig.Tally
	begin := time.Now()
	if err := f.make(ctx, &syncs); err != nil {
		return err
	}
	made := time.Since(begin)
	if err := takeAway(ctx); err != nil {
		return err
	}
	both := time.Since(begin)
	files := float64(f.batches * forestBatch)
	t.Add(fmt.Sprintf("%d present, %d folders, %s", f.present, f.folders, how), files/made.Seconds(), syncs.P99(),
		files/(both-made).Seconds(), files/both.Seconds())
	return nil
}

// make makes the files, of Temp Files where there are any, and notes in syncs, if it is
// not nil, how long each sync of a file took.
func (f *forest) make(ctx context.Context, syncs *rig.Tally) error {
	recycled := f.files
	f.files = make([]string, f.batches*forestBatch)
	for from := 0; from < len(f.files); from += forestBatch {
		var open [forestBatch]disk.File
		var tmp [forestBatch]string
		first := f.last + 1
		f.last += forestBatch
		for i := range forestBatch {
			tmp[i], f.files[from+i] = f.name(from+i, first+i, ".tmp"), f.name(from+i, first+i, ".msg")
			if recycled != nil {
				tmp[i] = recycled[from+i]
			}
		}
		_, err := rig.Crowd(ctx, forestWriters, rig.UpTo(forestBatch), func(i int) (err error) {
			open[i], err = f.write(tmp[i], recycled != nil)
			return err
		})
		if err != nil {
			return err
		}
		synced, err := rig.Crowd(ctx, forestSyncers, rig.UpTo(forestBatch), func(i int) error { return open[i].Datasync() })
		if err != nil {
			return err
		}
		if syncs != nil {
			syncs.Took = append(syncs.Took, synced.Took...)
		}
		_, err = rig.Crowd(ctx, forestWriters, rig.UpTo(forestBatch), func(i int) error {
			return errors.Join(open[i].Close(), f.fs.Rename(tmp[i], f.files[from+i]))
		})
		if err != nil {
			return err
		}
	}
	return f.syncDirs(ctx)
}

// write writes a file, a new one or over one that is there, which is as long.
func (f *forest) write(name string, again bool) (file disk.File, err error) {
	if again {
		file, err = f.fs.Open(name)
	} else {
		file, err = f.fs.Create(name)
	}
	if err != nil {
		return nil, err
	}
	if _, err := file.WriteAt(f.image, 0); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// unlink takes all files away that are being measured.
func (f *forest) unlink(ctx context.Context) error {
	for _, name := range f.files {
		if err := f.fs.Remove(name); err != nil {
			return err
		}
	}
	f.files = nil
	return f.syncDirs(ctx)
}

// recycle takes them away by making Temp Files of them.
func (f *forest) recycle(ctx context.Context) error {
	for i, name := range f.files {
		f.files[i] = name[:len(name)-len(".msg")] + ".tmp"
		if err := f.fs.Rename(name, f.files[i]); err != nil {
			return err
		}
	}
	return f.syncDirs(ctx)
}

func (f *forest) syncDirs(ctx context.Context) error {
	dirs := f.dirs()
	_, err := rig.Crowd(ctx, forestSyncers, rig.UpTo(len(dirs)), func(i int) error { return f.fs.SyncDir(dirs[i]) })
	return err
}
