package server

import (
	"fmt"

	"cgq/pkg/disk"
	"cgq/pkg/spool"
)

// A storage is the file system under everything.
type storage struct {
	disk.FS
	space   func() (spool.Space, error) // of the Queue
	kind    disk.Kind                   // of the Queue
	durable bool
}

// store looks at the file system of the Queue, which is there. One that forgets what was
// synced is refused, unless a setting says otherwise (SPOOL E3).
func store(fsys *disk.OS, j *Journal) (*storage, error) {
	kind, err := fsys.Kind("Queue")
	if err != nil {
		return nil, fmt.Errorf("look at the file system of the Queue: %w", err)
	}
	s := &storage{FS: fsys, kind: kind, durable: j.Durable, space: func() (free spool.Space, err error) {
		free.Bytes, free.Inodes, free.Counts, err = fsys.Free("Queue")
		return free, err
	}}
	if !j.Durable {
		s.FS = disk.Unsynced(fsys)
	}
	return s, j.accepts(kind)
}

// accepts refuses a file system that does not keep its promises, if it may.
func (j *Journal) accepts(kind disk.Kind) error {
	if kind.Keeps || j.AnySystem {
		return nil
	}
	return fmt.Errorf("the Queue is on a file system of the type %s, which does not keep what was synced, as far as is known: "+
		"accepted mail may be lost; put it on ext4, xfs or btrfs, or set allow_any_file_system = true in Settings/queue.toml", kind.Name)
}

// warnings say what is not kept: for the log, at every start.
func (s *storage) warnings() (all []string) {
	if !s.kind.Keeps {
		all = append(all, "ACCEPTED MAIL MAY BE LOST: the Queue is on a file system of the type "+s.kind.Name+
			", and allow_any_file_system lets it be there")
	}
	if !s.durable {
		all = append(all, "ALL MAIL MAY BE LOST when power fails: nothing is synced, because durable = false, which is for tests")
	}
	return all
}
