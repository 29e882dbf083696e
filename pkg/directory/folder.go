package directory

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

var (
	// ErrFolder is returned for what can be no name of a folder.
	ErrFolder = errors.New("not a name of a mailbox")
	// ErrTooMany is returned by Folder when an Account has so many that none is made any more.
	ErrTooMany = errors.New("the account has too many mailboxes")
)

// maxFolders is how many folders an Account has before mail makes no more: a stranger who
// writes to x1#ann, x2#ann and so on shall not fill her mailbox list.
const maxFolders = 100

// CheckFolder returns nil if name can be a folder's, else ErrFolder. It has 1 to 64 ASCII
// letters, digits, spaces and . _ - + =, and no space or dot at an end; no dot is beside
// another: a dot stands between a folder and one in it (Maildir++).
func CheckFolder(name string) error {
	_, ok := lower(name, " ._-+=")
	if !ok || name == "" || len(name) > 64 || strings.Trim(name, " .") != name || strings.Contains(name, "..") {
		return fmt.Errorf("%q: %w", name, ErrFolder)
	}
	return nil
}

// Folder makes the folder of an Account, if it is not there, and returns its directory,
// which is a Maildir inside the Account's with a dot in front (Maildir++). When it
// returns nil the folder survives power loss. It returns ErrFolder for what is no name,
// ErrNoAccount if the Account is gone, and ErrTooMany.
func (d *Directory) Folder(a Account, name string) (dir string, err error) {
	if err := CheckFolder(name); err != nil {
		return "", err
	}
	dir = path.Join(a.Maildir(), "."+name)
	d.change.Lock()
	defer d.change.Unlock()
	if err := d.still(a); err != nil {
		return "", err
	}
	is, err := isDir(d.fs, dir)
	if err == nil && !is {
		err = d.room(a)
	}
	if err == nil {
		err = d.makeFolder(a, dir)
	}
	if err != nil {
		return "", fmt.Errorf("account %s: mailbox %q: %w", a, name, err)
	}
	return dir, nil
}

// room returns ErrTooMany if there is none for another folder.
func (d *Directory) room(a Account) error {
	names, err := d.fs.List(a.Maildir())
	n := 0
	for _, name := range names {
		if strings.HasPrefix(name, ".") {
			n++
		}
	}
	if err == nil && n >= maxFolders {
		err = ErrTooMany
	}
	return err
}

// makeFolder makes what is missing of a folder, and its name durable, also when it is
// there: who made it may have died before it was.
func (d *Directory) makeFolder(a Account, dir string) error {
	for _, name := range maildir {
		if err := d.fs.Mkdir(path.Join(dir, name)); err != nil {
			return err
		}
	}
	for _, dir := range []string{dir, a.Maildir(), a.dir()} {
		if err := d.fs.SyncDir(dir); err != nil {
			return err
		}
	}
	return nil
}
