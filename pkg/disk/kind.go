package disk

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// A Kind is what a file system is.
type Kind struct {
	Name string // as mount(8) has it; of an unknown one, its number

	// Keeps says that what was synced survives power loss. Of one that is in memory, on
	// another machine, or that passes on what it is asked to others of which nobody here
	// knows anything, it is false, and so of an unknown one.
	Keeps bool
}

// kinds are the file systems by the f_type of statfs(2).
var kinds = map[int64]Kind{
	unix.EXT4_SUPER_MAGIC:     {"ext4", true}, // ext2 and ext3, too
	unix.XFS_SUPER_MAGIC:      {"xfs", true},
	unix.BTRFS_SUPER_MAGIC:    {"btrfs", true},
	unix.F2FS_SUPER_MAGIC:     {"f2fs", true},
	0x2fc12fc1:                {"zfs", true},
	unix.BCACHEFS_SUPER_MAGIC: {"bcachefs", true},
	0x3153464a:                {"jfs", true},
	unix.NILFS_SUPER_MAGIC:    {"nilfs2", true},

	unix.TMPFS_MAGIC:           {"tmpfs", false},
	unix.RAMFS_MAGIC:           {"ramfs", false},
	unix.OVERLAYFS_SUPER_MAGIC: {"overlay", false},
	unix.ECRYPTFS_SUPER_MAGIC:  {"ecryptfs", false},
	unix.NFS_SUPER_MAGIC:       {"nfs", false},
	unix.FUSE_SUPER_MAGIC:      {"fuse", false},
	unix.V9FS_MAGIC:            {"9p", false},
	unix.SMB_SUPER_MAGIC:       {"smb", false},
	unix.CIFS_SUPER_MAGIC:      {"cifs", false},
	unix.SMB2_SUPER_MAGIC:      {"smb2", false},
	unix.CEPH_SUPER_MAGIC:      {"ceph", false},
	unix.AFS_SUPER_MAGIC:       {"afs", false},
	unix.CODA_SUPER_MAGIC:      {"coda", false},
	0x0bd00bd0:                 {"lustre", false},
	unix.MSDOS_SUPER_MAGIC:     {"vfat", false}, // its directories may be torn
	unix.EXFAT_SUPER_MAGIC:     {"exfat", false},
}

// KindOf returns the kind with a number, the f_type of statfs(2).
func KindOf(number int64) Kind {
	number &= 0xffffffff
	if k, known := kinds[number]; known {
		return k
	}
	return Kind{Name: fmt.Sprintf("unknown (%#x)", number)}
}

// Kind returns what the file system is that a directory is on.
func (o *OS) Kind(dir string) (Kind, error) {
	st, err := o.statfs(dir)
	if err != nil {
		return Kind{}, err
	}
	return KindOf(int64(st.Type)), nil //nolint:unconvert // it is narrower on some machines
}

// Free returns the bytes and inodes that a user without privileges may still use on
// the file system that a directory is on; counts says whether it counts inodes at all.
func (o *OS) Free(dir string) (bytes, inodes int64, counts bool, err error) {
	st, err := o.statfs(dir)
	if err != nil {
		return 0, 0, false, err
	}
	return int64(st.Bavail) * st.Bsize, int64(st.Ffree), st.Files > 0, nil
}

func (o *OS) statfs(dir string) (st unix.Statfs_t, err error) {
	d, err := o.root.Open(dir)
	if err != nil {
		return st, err
	}
	defer d.Close()
	for {
		if err := unix.Fstatfs(int(d.Fd()), &st); err != unix.EINTR {
			return st, err
		}
	}
}
