package server

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"

	"cgq/pkg/disk"
	"cgq/pkg/router"
	"cgq/pkg/settings"
)

// routerFile is the Router table, beside the settings. It has its own form, which is that
// of the chapter.
const routerFile = "router.txt"

// maxRouter is how large it may be, in bytes: over a million records.
const maxRouter = 64 << 20

// loadRouter reads the Router table. Where there is none, the default counts. Its error is
// settings.Problems.
func loadRouter(fsys disk.FS) (*router.Table, error) {
	name := path.Join(settingsDir, routerFile)
	f, err := fsys.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return router.Parse(name, []byte(router.Default))
	}
	var text []byte
	if err == nil {
		defer f.Close()
		text, err = io.ReadAll(io.NewSectionReader(f, 0, maxRouter+1))
	}
	if err == nil && len(text) > maxRouter {
		err = fmt.Errorf("longer than %d bytes", maxRouter)
	}
	if err != nil {
		return nil, settings.Problems{{File: name, Why: err.Error()}}
	}
	return router.Parse(name, text)
}

// also is the problems of both, in the order of their files and lines.
func also(one, other error) error {
	var a, b settings.Problems
	switch {
	case one == nil:
		return other
	case other == nil, !errors.As(one, &a), !errors.As(other, &b):
		return one
	}
	all := append(slices.Clone(a), b...)
	slices.SortStableFunc(all, func(a, b settings.Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return all
}

// writeRouter writes the default table, durably, unless there is one.
func writeRouter(fsys disk.FS) error {
	name := path.Join(settingsDir, routerFile)
	present, err := fsys.List(settingsDir)
	if err != nil || slices.Contains(present, routerFile) {
		return err
	}
	tmp := name + ".tmp"
	f, err := fsys.Create(tmp)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err = f.WriteAt([]byte(router.Default), 0); err == nil {
		err = disk.Publish(fsys, f, tmp, name)
	}
	return err
}
