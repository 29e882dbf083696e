package disk

import "errors"

// Unsynced returns a file system that syncs nothing and says that it has: what is on
// it may be lost with the power, all of it. It is for tests, which it makes faster.
func Unsynced(fsys FS) FS { return unsynced{fsys} }

type unsynced struct{ FS }

func (unsynced) SyncDir(string) error { return nil }

// Exchange is that of [OS], if it is on one.
func (u unsynced) Exchange(a, b string) error {
	if o, ok := u.FS.(*OS); ok {
		return o.Exchange(a, b)
	}
	return errors.ErrUnsupported
}

// Mimic is that of [OS], if it is on one.
func (u unsynced) Mimic(name, like string) error {
	if o, ok := u.FS.(*OS); ok {
		return o.Mimic(name, like)
	}
	return errors.ErrUnsupported
}

func (u unsynced) Create(name string) (File, error) { return unsyncedFile(u.FS.Create(name)) }
func (u unsynced) Open(name string) (File, error)   { return unsyncedFile(u.FS.Open(name)) }

func unsyncedFile(f File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return lazy{f}, nil
}

// A lazy file is one of an unsynced file system.
type lazy struct{ File }

func (lazy) Datasync() error { return nil }
