package spool

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"

	"cgq/pkg/disk"
)

// logged records what is done to files, for one who looks for a fault (chapter: Temp File
// Manager, Log: in this case file i/o operations will be recorded in the System Log as
// well): names at the level Low-Level, bytes and syncs, too, at All Info.
type logged struct {
	disk.FS
	log *slog.Logger
}

func (l logged) note(level slog.Level, operation, name string, err error, args ...any) {
	if !l.log.Enabled(context.Background(), level) {
		return
	}
	args = append([]any{"file", name}, args...)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		args = append(args, "err", err)
	}
	l.log.Log(context.Background(), level, operation, args...)
}

func (l logged) wrap(f disk.File, name string) disk.File {
	if f == nil {
		return nil
	}
	return loggedFile{f, l, name}
}

func (l logged) Create(name string) (disk.File, error) {
	f, err := l.FS.Create(name)
	l.note(slog.LevelInfo, "create", name, err)
	return l.wrap(f, name), err
}

func (l logged) Open(name string) (disk.File, error) {
	f, err := l.FS.Open(name)
	l.note(slog.LevelDebug, "open", name, err)
	return l.wrap(f, name), err
}

func (l logged) Rename(old, name string) error {
	err := l.FS.Rename(old, name)
	l.note(slog.LevelInfo, "rename", old, err, "to", name)
	return err
}

func (l logged) Link(old, name string) error {
	err := l.FS.Link(old, name)
	l.note(slog.LevelInfo, "link", old, err, "to", name)
	return err
}

func (l logged) Remove(name string) error {
	err := l.FS.Remove(name)
	if !errors.Is(err, fs.ErrNotExist) {
		l.note(slog.LevelInfo, "remove", name, err)
	}
	return err
}

func (l logged) SyncDir(dir string) error {
	err := l.FS.SyncDir(dir)
	l.note(slog.LevelDebug, "sync directory", dir, err)
	return err
}

type loggedFile struct {
	disk.File
	l    logged
	name string
}

func (f loggedFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(p, off)
	f.l.note(slog.LevelDebug, "write", f.name, err, "at", off, "bytes", n)
	return n, err
}

func (f loggedFile) Datasync() error {
	err := f.File.Datasync()
	f.l.note(slog.LevelDebug, "sync", f.name, err)
	return err
}
