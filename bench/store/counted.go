package main

import (
	"sync/atomic"

	"cgq/pkg/disk"
)

// A counted file system counts what costs.
type counted struct {
	disk.FS
	syncs   atomic.Int64 // of files and directories: each flushes the disk
	creates atomic.Int64
}

type countedFile struct {
	disk.File
	fs *counted
}

// Create implements [disk.FS].
func (c *counted) Create(name string) (disk.File, error) {
	c.creates.Add(1)
	f, err := c.FS.Create(name)
	if err != nil {
		return nil, err
	}
	return countedFile{f, c}, nil
}

// Open implements [disk.FS].
func (c *counted) Open(name string) (disk.File, error) {
	f, err := c.FS.Open(name)
	if err != nil {
		return nil, err
	}
	return countedFile{f, c}, nil
}

// SyncDir implements [disk.FS].
func (c *counted) SyncDir(dir string) error {
	c.syncs.Add(1)
	return c.FS.SyncDir(dir)
}

// Datasync implements [disk.File].
func (f countedFile) Datasync() error {
	f.fs.syncs.Add(1)
	return f.File.Datasync()
}
