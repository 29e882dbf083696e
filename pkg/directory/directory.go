// Package directory is the local Domains and their Accounts, as they lie on the disk:
//
//	Domains/<domain>/<account>/Maildir/{tmp,new,cur}
//
// An Account is there when its directory is; one that was made by hand counts. Names
// are in lower case, and of few characters, so that no address can lead out of its Domain.
// It delivers nothing, and knows no passwords.
package directory

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"cgq/pkg/disk"
	"cgq/pkg/mail"
)

// Outcomes on which callers branch.
var (
	// ErrNoAccount is returned for an address that is no Account's.
	ErrNoAccount = errors.New("account unknown")
	// ErrExist is returned by Create for an Account that is there.
	ErrExist = errors.New("account is there already")
	// ErrHoldsMail is returned by Delete for an Account with mail in it.
	ErrHoldsMail = errors.New("account holds mail")
)

const root = "Domains"

// maildir are the directories of a Maildir.
var maildir = []string{"tmp", "new", "cur"}

// An Account is the name of an Account: valid, and in lower case.
type Account struct{ Name, Domain string }

// String is account@domain.
func (a Account) String() string { return a.Name + "@" + a.Domain }

// Address is the address of the Account.
func (a Account) Address() mail.Address { return mail.Address{Local: a.Name, Domain: a.Domain} }

// Maildir is where its mail is, from the base directory.
func (a Account) Maildir() string { return path.Join(a.dir(), "Maildir") }

func (a Account) dir() string { return path.Join(root, a.Domain, a.Name) }

// ParseAccount returns the name of the Account with exactly this address, or says
// what no Account's name can have in it.
func ParseAccount(a mail.Address) (Account, error) {
	switch name, ok := lower(a.Local, "._-+="); {
	case a.Local == "" || len(a.Local) > mail.MaxLocal:
		return Account{}, fmt.Errorf("%q: an account name has 1 to %d characters", a.String(), mail.MaxLocal)
	case !ok:
		return Account{}, fmt.Errorf("%q: an account name has letters a to z, digits and . _ - + = only", a.String())
	case name[0] == '.':
		return Account{}, fmt.Errorf("%q: an account name does not begin with a dot", a.String())
	default:
		domain, err := ParseDomain(a.Domain)
		return Account{name, domain}, err
	}
}

// ParseDomain returns the name of a local Domain in lower case, or says what is wrong
// with it. A name with other than ASCII letters is given in its xn-- form.
func ParseDomain(s string) (string, error) {
	name, ok := lower(s, ".-_")
	switch {
	case !ok:
		return "", fmt.Errorf("%q: a local domain has letters a to z, digits and . - _ only", s)
	case s == "" || len(s) > mail.MaxDomain:
		return "", fmt.Errorf("%q: a local domain has 1 to %d characters", s, mail.MaxDomain)
	case name[0] == '.' || name[len(name)-1] == '.' || strings.Contains(name, ".."):
		return "", fmt.Errorf("%q: a dot too many in a local domain", s)
	}
	return name, nil
}

// lower returns s in lower case, if it has ASCII letters, digits and others only. It does
// not fold first and look then: the Kelvin sign folds to a k.
func lower(s, others string) (string, bool) {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(others, c) >= 0) {
			return "", false
		}
	}
	return strings.ToLower(s), true
}

// A Directory is all Accounts. Its methods are safe for concurrent use.
type Directory struct {
	fs      disk.FS
	domains func() []string

	change sync.Mutex // one Create or Delete at a time
	mu     sync.RWMutex
	known  map[Account]bool // these are there; what is not in it may be
}

// New returns the Directory below the base directory. The function returns the
// names of the local Domains in lower case, as they are now.
func New(fsys disk.FS, domains func() []string) *Directory {
	return &Directory{fs: fsys, domains: domains, known: map[Account]bool{}}
}

// IsLocal reports whether a domain, in whatever case, is one of ours.
func (d *Directory) IsLocal(domain string) bool {
	name, err := ParseDomain(domain)
	return err == nil && slices.Contains(d.domains(), name)
}

// Find returns the Account that an address belongs to, in whatever case:
// that of user+detail is user+detail, if there is one, else user. It returns
// ErrNoAccount if there is none; another error says that this could not be found out.
func (d *Directory) Find(a mail.Address) (Account, error) {
	acct, err := ParseAccount(a)
	if err != nil || !d.IsLocal(acct.Domain) {
		return Account{}, ErrNoAccount
	}
	there, err := d.there(acct)
	if user, _, ok := strings.Cut(acct.Name, "+"); !there && err == nil && ok && user != "" {
		acct.Name = user
		there, err = d.there(acct)
	}
	switch {
	case err != nil:
		return Account{}, fmt.Errorf("account %s: %w", acct, err)
	case !there:
		return Account{}, ErrNoAccount
	}
	return acct, nil
}

func (d *Directory) there(a Account) (bool, error) {
	d.mu.RLock()
	known := d.known[a]
	d.mu.RUnlock()
	if known {
		return true, nil
	}
	d.mu.Lock() // while looking, too: Delete must not come in between
	defer d.mu.Unlock()
	is, err := isDir(d.fs, a.dir())
	if is {
		d.known[a] = true
	}
	return is, err
}

// isDir reports whether name is a directory. A disk opens none, and says so.
func isDir(fsys disk.FS, name string) (bool, error) {
	f, err := fsys.Open(name)
	switch {
	case errors.Is(err, disk.ErrNotRegular):
		return true, nil
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	}
	return false, f.Close()
}

// List returns the Accounts of a Domain, or of all local Domains if it is empty,
// sorted by Domain and name.
func (d *Directory) List(domain string) ([]Account, error) {
	domains := slices.Sorted(slices.Values(d.domains()))
	if domain != "" {
		name, err := ParseDomain(domain)
		if err != nil || !slices.Contains(domains, name) {
			return nil, fmt.Errorf("%q is not a local domain", domain)
		}
		domains = []string{name}
	}
	var all []Account
	for _, domain := range domains {
		names, err := d.fs.List(path.Join(root, domain))
		if err != nil {
			return nil, fmt.Errorf("list accounts: %w", err)
		}
		for _, name := range names {
			a, err := ParseAccount(mail.Address{Local: name, Domain: domain})
			if err != nil || a.Name != name {
				continue // not ours
			}
			is, err := isDir(d.fs, a.dir())
			if err != nil {
				return nil, fmt.Errorf("list accounts: %w", err)
			}
			if is {
				all = append(all, a)
			}
		}
	}
	return all, nil
}

// Create makes the Account with exactly this address. When it returns nil the
// Account and its Maildir survive power loss. It returns ErrExist if it is there, and
// that survives, too. After another error it may be there or not, but it is never half made.
func (d *Directory) Create(a mail.Address) (Account, error) {
	acct, err := ParseAccount(a)
	if err != nil {
		return Account{}, err
	}
	if !d.IsLocal(acct.Domain) {
		return Account{}, fmt.Errorf("%s: %q is not a local domain: add it to the domains of Settings/local.toml",
			acct, acct.Domain)
	}
	d.change.Lock()
	defer d.change.Unlock()
	is, err := isDir(d.fs, acct.dir())
	switch {
	case err != nil:
	case is: // its process may have died before it was durable
		if err = d.furnish(acct); err == nil {
			return Account{}, fmt.Errorf("%s: %w", acct, ErrExist)
		}
	default:
		err = d.build(acct)
	}
	if err != nil {
		return Account{}, fmt.Errorf("create account %s: %w", acct, err)
	}
	return acct, nil
}

// build makes the Account's directory under another name, durably, before it gets its own:
// no delivery finds it while it may still be taken away, and no crash leaves half of it.
func (d *Directory) build(a Account) error {
	making := path.Join(root, a.Domain, ".new-"+a.Name) // no Account's name begins with a dot
	if err := removeTree(d.fs, making); err != nil {    // left by a crash
		return err
	}
	err := fill(d.fs, making)
	if err == nil {
		err = d.fs.Rename(making, a.dir())
	}
	if err != nil {
		return errors.Join(err, removeTree(d.fs, making))
	}
	return syncUp(d.fs, path.Dir(a.dir()))
}

// furnish makes what is missing of an Account's directories, and all their names durable.
func (d *Directory) furnish(a Account) error {
	if err := fill(d.fs, a.dir()); err != nil {
		return err
	}
	return syncUp(d.fs, path.Dir(a.dir()))
}

// fill makes what is missing of the Maildir in a directory, durably but for that one's name.
func fill(fsys disk.FS, dir string) error {
	for _, name := range maildir {
		if err := fsys.Mkdir(path.Join(dir, "Maildir", name)); err != nil {
			return err
		}
	}
	if err := fsys.SyncDir(path.Join(dir, "Maildir")); err != nil {
		return err
	}
	return fsys.SyncDir(dir)
}

// syncUp makes the names in a directory durable, its own name, and those above it.
func syncUp(fsys disk.FS, dir string) error {
	for ; ; dir = path.Dir(dir) {
		if err := fsys.SyncDir(dir); err != nil || dir == "." {
			return err
		}
	}
}

// Repair makes what is missing of the Maildir of an Account, durably. It returns
// ErrNoAccount if the Account is gone.
func (d *Directory) Repair(a Account) error {
	d.change.Lock()
	defer d.change.Unlock()
	if err := d.still(a); err != nil {
		return err
	}
	if err := d.furnish(a); err != nil {
		return fmt.Errorf("account %s: repair: %w", a, err)
	}
	return nil
}

// still returns ErrNoAccount if the Account is gone. It needs change.
func (d *Directory) still(a Account) error {
	is, err := isDir(d.fs, a.dir())
	switch {
	case err != nil:
		return fmt.Errorf("account %s: %w", a, err)
	case !is:
		d.forget(a)
		return ErrNoAccount
	}
	return nil
}

func (d *Directory) forget(a Account) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.known, a)
}
