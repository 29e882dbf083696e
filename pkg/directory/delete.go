package directory

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"syscall"

	"cgq/pkg/disk"
	"cgq/pkg/mail"
)

// Delete removes the Account with exactly this address, and everything in it: there
// is no way back. It returns ErrNoAccount if there is none, and, unless force is
// given, ErrHoldsMail if there is mail in it; then it has changed nothing. When it
// returns nil the Account and its mail are gone also after power loss.
func (d *Directory) Delete(a mail.Address, force bool) error {
	acct, err := ParseAccount(a)
	if err != nil {
		return err
	}
	d.change.Lock()
	defer d.change.Unlock()
	is, err := isDir(d.fs, acct.dir())
	switch {
	case err != nil:
		return fmt.Errorf("delete account %s: %w", acct, err)
	case !is:
		return fmt.Errorf("%s: %w", acct, ErrNoAccount)
	}
	away := path.Join(root, acct.Domain, ".deleted-"+acct.Name) // no Account's name begins with a dot
	if err := removeTree(d.fs, away); err != nil {              // left by a crash
		return fmt.Errorf("delete account %s: remains of an earlier one: %w", acct, err)
	}
	if err := d.takeAway(acct, away, force); err != nil {
		return fmt.Errorf("delete account %s: %w", acct, err)
	}
	if err := d.fs.SyncDir(path.Dir(away)); err != nil {
		return fmt.Errorf("delete account %s: %w", acct, err)
	}
	err = removeTree(d.fs, away)
	if err == nil {
		err = d.fs.SyncDir(path.Dir(away)) // nor does its mail come back
	}
	if err != nil {
		return fmt.Errorf("account %s is deleted, but not all of %s: %w", acct, away, err)
	}
	return nil
}

// takeAway gives the Account's directory another name, unless there is mail in it. It looks
// when the other name is given: from then on no delivery can put any there.
func (d *Directory) takeAway(a Account, away string, force bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !force {
		if err := empty(d.fs, a.Maildir()); err != nil {
			return err
		}
	}
	if err := d.fs.Rename(a.dir(), away); err != nil {
		return err
	}
	if !force {
		if err := empty(d.fs, path.Join(away, "Maildir")); err != nil {
			return errors.Join(err, d.giveBack(a, away))
		}
	}
	delete(d.known, a)
	return nil
}

// giveBack gives the directory its name again, durably: with the first renaming alone the
// Account would be gone after power loss, and its mail with the next that is deleted.
func (d *Directory) giveBack(a Account, away string) error {
	if err := d.fs.Rename(away, a.dir()); err != nil {
		return err
	}
	return d.fs.SyncDir(path.Dir(away))
}

// empty returns ErrHoldsMail if there is a message in a Maildir.
func empty(fsys disk.FS, dir string) error {
	n, err := count(fsys, dir)
	if err == nil && n > 0 {
		err = fmt.Errorf("%w: %d messages", ErrHoldsMail, n)
	}
	return err
}

// Stored returns the number of messages in the Account with exactly this address. It
// returns ErrNoAccount if there is none.
func (d *Directory) Stored(a mail.Address) (int, error) {
	acct, err := ParseAccount(a)
	if err != nil {
		return 0, err
	}
	is, err := isDir(d.fs, acct.dir())
	if err == nil && !is {
		err = ErrNoAccount
	}
	n := 0
	if err == nil {
		n, err = count(d.fs, acct.Maildir())
	}
	if err != nil {
		return 0, fmt.Errorf("account %s: %w", acct, err)
	}
	return n, nil
}

// count is the number of messages in a Maildir and in its folders, each of which is a
// Maildir with a dot in front (Maildir++).
func count(fsys disk.FS, dir string) (sum int, err error) {
	for _, sub := range []string{"new", "cur"} {
		names, err := fsys.List(path.Join(dir, sub))
		if err != nil {
			return 0, err
		}
		sum += len(names)
	}
	names, err := fsys.List(dir)
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		folder := path.Join(dir, name)
		if !strings.HasPrefix(name, ".") {
			continue
		}
		n := 0
		is, err := isDir(fsys, folder)
		if is {
			n, err = count(fsys, folder)
		}
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// removeTree removes a directory, if it is there, and what is in it. It goes down only
// where Remove found a directory that is not empty, so it follows no link.
func removeTree(fsys disk.FS, dir string) error {
	err := fsys.Remove(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if !errors.Is(err, syscall.ENOTEMPTY) && !errors.Is(err, syscall.EEXIST) {
		return err
	}
	names, err := fsys.List(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := removeTree(fsys, path.Join(dir, name)); err != nil {
			return err
		}
	}
	return fsys.Remove(dir)
}
