package directory_test

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"cgq/pkg/directory"
	"cgq/pkg/disk"
	"cgq/pkg/mail"
)

func local() []string { return []string{"example.com", "example.org"} }

// base returns the Directory in an empty base directory, and where that is.
func base(t *testing.T) (*directory.Directory, *disk.OS, string) {
	t.Helper()
	dir := t.TempDir()
	fsys, err := disk.OpenOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fsys.Close() })
	return directory.New(fsys, local), fsys, dir
}

func address(s string) mail.Address {
	user, domain, _ := strings.Cut(s, "@")
	return mail.Address{Local: user, Domain: domain}
}

func create(t *testing.T, d *directory.Directory, addresses ...string) {
	t.Helper()
	for _, a := range addresses {
		if _, err := d.Create(address(a)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestParseAccount(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"ann@example.com", "ann@example.com"},
		{"Ann.B_c-d+e=f9@Example.COM", "ann.b_c-d+e=f9@example.com"},
		{"a@xn--bcher-kva.example", "a@xn--bcher-kva.example"},
		{strings.Repeat("a", 64) + "@e", strings.Repeat("a", 64) + "@e"},
	} {
		got, err := directory.ParseAccount(address(tt.in))
		if err != nil || got.String() != tt.want || got.Address() != address(tt.want) {
			t.Errorf("ParseAccount(%s) = %v, %v; want %s", tt.in, got, err, tt.want)
		}
	}
	for _, tt := range []struct{ in, why string }{
		{"@example.com", "has 1 to 64 characters"},
		{strings.Repeat("a", 65) + "@example.com", "has 1 to 64 characters"},
		{".ann@example.com", "does not begin with a dot"},
		{"..@example.com", "does not begin with a dot"},
		{"a/b@example.com", "letters a to z"},
		{"a\x00b@example.com", "letters a to z"},
		{"a b@example.com", "letters a to z"},
		{"änn@example.com", "letters a to z"},
		{"\u212Aate@example.com", "letters a to z"}, // the Kelvin sign, which folds to k
		{"ann@", "has 1 to 255 characters"},
		{"ann@..", "a dot too many"},
		{"ann@.example.com", "a dot too many"},
		{"ann@example.com.", "a dot too many"},
		{"ann@a/../b", "letters a to z"},
		{"ann@[127.0.0.1]", "letters a to z"},
		{"ann@bücher.example", "letters a to z"},
		{"ann@\u212A.example", "letters a to z"},
		{"ann@" + strings.Repeat("a", 256), "has 1 to 255 characters"},
	} {
		if got, err := directory.ParseAccount(address(tt.in)); err == nil || !strings.Contains(err.Error(), tt.why) {
			t.Errorf("ParseAccount(%q) = %v, %v; want an error with %q", tt.in, got, err, tt.why)
		}
	}
}

func TestFind(t *testing.T) {
	d, _, dir := base(t)
	create(t, d, "ann@example.com", "bob+list@example.com", "bob@example.com")
	if err := os.MkdirAll(filepath.Join(dir, "Domains/example.org/byhand"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "Domains/example.com/file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time from memory
		for _, tt := range []struct{ in, want string }{
			{"ann@example.com", "ann@example.com"},
			{"ANN@Example.Com", "ann@example.com"},
			{"ann+detail@example.com", "ann@example.com"},
			{"ann+a+b@example.com", "ann@example.com"},
			{"bob+list@example.com", "bob+list@example.com"},
			{"bob+other@example.com", "bob@example.com"},
			{"byhand@example.org", "byhand@example.org"},
			{"carl@example.com", ""},
			{"ann@example.org", ""},
			{"ann@example.net", ""},
			{"+ann@example.com", ""},
			{"file@example.com", ""},
			{"ann/Maildir@example.com", ""},
			{"..@example.com", ""},
			{"änn@example.com", ""},
			{"@example.com", ""},
		} {
			got, err := d.Find(address(tt.in))
			if tt.want == "" && !errors.Is(err, directory.ErrNoAccount) {
				t.Errorf("Find(%s) = %v, %v; want ErrNoAccount", tt.in, got, err)
			}
			if tt.want != "" && (err != nil || got.String() != tt.want) {
				t.Errorf("Find(%s) = %v, %v; want %s", tt.in, got, err, tt.want)
			}
		}
	}
}

func TestIsLocal(t *testing.T) {
	d, _, _ := base(t)
	for domain, want := range map[string]bool{
		"example.com": true, "EXAMPLE.org": true, "example.net": false, "": false, "sub.example.com": false,
	} {
		if got := d.IsLocal(domain); got != want {
			t.Errorf("IsLocal(%q) = %v, want %v", domain, got, want)
		}
	}
}

// A sickDisk fails to open anything.
type sickDisk struct{ disk.FS }

func (sickDisk) Open(string) (disk.File, error) { return nil, syscall.EIO }

// A disk that cannot be read must not make an Account unknown: its mail would bounce.
func TestFaultIsNotUnknown(t *testing.T) {
	_, fsys, _ := base(t)
	d := directory.New(sickDisk{fsys}, local)
	_, err := d.Find(address("ann@example.com"))
	if !errors.Is(err, syscall.EIO) || errors.Is(err, directory.ErrNoAccount) {
		t.Errorf("Find = %v, want EIO", err)
	}
	if n, err := d.Stored(address("ann@example.com")); !errors.Is(err, syscall.EIO) {
		t.Errorf("Stored = %d, %v; want EIO", n, err)
	}
	if err := d.Repair(directory.Account{Name: "ann", Domain: "example.com"}); !errors.Is(err, syscall.EIO) {
		t.Errorf("Repair = %v, want EIO", err)
	}
	if _, err := d.Create(address("ann@example.com")); !errors.Is(err, syscall.EIO) {
		t.Errorf("Create = %v, want EIO", err)
	}
	if err := d.Delete(address("ann@example.com"), true); !errors.Is(err, syscall.EIO) {
		t.Errorf("Delete = %v, want EIO", err)
	}
}

func TestCreate(t *testing.T) {
	d, _, dir := base(t)
	a, err := d.Create(address("Ann@Example.com"))
	if err != nil || a.String() != "ann@example.com" || a.Maildir() != "Domains/example.com/ann/Maildir" {
		t.Fatalf("Create = %v (%s), %v", a, a.Maildir(), err)
	}
	for _, sub := range []string{"tmp", "new", "cur"} {
		if st, err := os.Stat(filepath.Join(dir, a.Maildir(), sub)); err != nil || st.Mode() != os.ModeDir|0o700 {
			t.Errorf("%s: %v, %v; want a directory of mode 0700", sub, st, err)
		}
	}
	if _, err := d.Create(address("ann@example.com")); !errors.Is(err, directory.ErrExist) {
		t.Errorf("Create again = %v, want ErrExist", err)
	}
	const want = `"example.net" is not a local domain: add it`
	if _, err := d.Create(address("ann@example.net")); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Create in another's domain = %v", err)
	}
	if _, err := d.Create(address("änn@example.com")); err == nil || !strings.Contains(err.Error(), "letters a to z") {
		t.Errorf("Create of a name that cannot be = %v", err)
	}
}

// A diary notes what makes names and what makes them durable.
type diary struct {
	disk.FS
	unsynced map[string]bool // directories with new names
	full     string          // Mkdir of what ends so fails
}

func (d *diary) Mkdir(name string) error {
	if d.full != "" && strings.HasSuffix(name, d.full) {
		return syscall.ENOSPC
	}
	for p := name; p != "."; p = path.Dir(p) {
		d.unsynced[path.Dir(p)] = true
	}
	return d.FS.Mkdir(name)
}

func (d *diary) SyncDir(name string) error {
	delete(d.unsynced, name)
	return d.FS.SyncDir(name)
}

func TestCreateIsDurable(t *testing.T) {
	_, fsys, _ := base(t)
	notes := &diary{FS: fsys, unsynced: map[string]bool{}}
	d := directory.New(notes, local)
	create(t, d, "ann@example.com")
	if len(notes.unsynced) > 0 {
		t.Errorf("Create left names that may be lost in %v", notes.unsynced)
	}
}

func TestCreateLeavesNothingHalfMade(t *testing.T) {
	_, fsys, dir := base(t)
	d := directory.New(&diary{FS: fsys, unsynced: map[string]bool{}, full: "new"}, local)
	if _, err := d.Create(address("ann@example.com")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Create = %v, want ENOSPC", err)
	}
	if _, err := d.Find(address("ann@example.com")); !errors.Is(err, directory.ErrNoAccount) {
		t.Errorf("Find = %v, want ErrNoAccount", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "Domains/example.com/*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestList(t *testing.T) {
	d, _, dir := base(t)
	create(t, d, "zoe@example.com", "ann@example.org", "bob@example.com")
	for _, stray := range []string{".deleted-carl", "UPPER", "a b"} {
		if err := os.Mkdir(filepath.Join(dir, "Domains/example.com", stray), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "Domains/example.com/readme"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for domain, want := range map[string]string{
		"":            "[bob@example.com zoe@example.com ann@example.org]",
		"Example.ORG": "[ann@example.org]",
	} {
		if got, err := d.List(domain); err != nil || fmt.Sprint(got) != want {
			t.Errorf("List(%q) = %v, %v; want %s", domain, got, err, want)
		}
	}
	if got, err := d.List("example.net"); err == nil {
		t.Errorf("List of another's domain = %v, want an error", got)
	}
}

func put(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDelete(t *testing.T) {
	for _, tt := range []struct {
		name  string
		holds string
		mail  bool
	}{
		{"empty", "", false},
		{"a file of the user's program", "Domains/example.com/ann/Maildir/dovecot-uidlist", false},
		{"a temp file", "Domains/example.com/ann/Maildir/tmp/1", false},
		{"new mail", "Domains/example.com/ann/Maildir/new/1", true},
		{"old mail", "Domains/example.com/ann/Maildir/cur/1:2,S", true},
		{"mail in a folder", "Domains/example.com/ann/Maildir/.Sent/cur/1:2,S", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, _, dir := base(t)
			create(t, d, "ann@example.com")
			put(t, dir, "Domains/example.com/.deleted-ann/Maildir/new/remains of a crash")
			if tt.holds != "" {
				put(t, dir, tt.holds)
			}
			if _, err := d.Find(address("ann@example.com")); err != nil {
				t.Fatal(err)
			}
			err := d.Delete(address("Ann@example.com"), false)
			if tt.mail {
				if n, err := d.Stored(address("ANN@example.com")); n != 1 || err != nil {
					t.Errorf("Stored = %d, %v; want 1", n, err)
				}
				if !errors.Is(err, directory.ErrHoldsMail) {
					t.Errorf("Delete = %v, want ErrHoldsMail", err)
				}
				if _, err := os.Stat(filepath.Join(dir, tt.holds)); err != nil {
					t.Errorf("the mail is not there any more: %v", err)
				}
				err = d.Delete(address("ann@example.com"), true)
			}
			if err != nil {
				t.Errorf("Delete = %v", err)
			}
			if _, err := d.Find(address("ann@example.com")); !errors.Is(err, directory.ErrNoAccount) {
				t.Errorf("Find after Delete = %v, want ErrNoAccount", err)
			}
			if left, _ := os.ReadDir(filepath.Join(dir, "Domains/example.com")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			if n, err := d.Stored(address("ann@example.com")); !errors.Is(err, directory.ErrNoAccount) {
				t.Errorf("Stored after Delete = %d, %v; want ErrNoAccount", n, err)
			}
			if err := d.Delete(address("ann@example.com"), true); !errors.Is(err, directory.ErrNoAccount) {
				t.Errorf("Delete again = %v, want ErrNoAccount", err)
			}
		})
	}
}

// A lateDelivery puts a message into new when the Account is about to be renamed.
type lateDelivery struct {
	disk.FS
	put func()
}

func (l *lateDelivery) Rename(old, name string) error {
	if l.put != nil {
		l.put()
		l.put = nil
	}
	return l.FS.Rename(old, name)
}

func TestDeleteLosesNoLateMail(t *testing.T) {
	_, fsys, dir := base(t)
	const late = "Domains/example.com/ann/Maildir/new/late"
	create(t, directory.New(fsys, local), "ann@example.com")
	d := directory.New(&lateDelivery{fsys, func() { put(t, dir, late) }}, local)
	if err := d.Delete(address("ann@example.com"), false); !errors.Is(err, directory.ErrHoldsMail) {
		t.Errorf("Delete = %v, want ErrHoldsMail", err)
	}
	if _, err := os.Stat(filepath.Join(dir, late)); err != nil {
		t.Errorf("the mail is not there any more: %v", err)
	}
}

// Delete follows no link out of the Account.
func TestDeleteFollowsNoLink(t *testing.T) {
	d, _, dir := base(t)
	create(t, d, "ann@example.com", "bob@example.com")
	put(t, dir, "Domains/example.com/bob/Maildir/new/1")
	if err := os.Symlink("../bob", filepath.Join(dir, "Domains/example.com/ann/link")); err != nil {
		t.Fatal(err)
	}
	if err := d.Delete(address("ann@example.com"), true); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "Domains/example.com/bob/Maildir/new/1")); err != nil {
		t.Errorf("another's mail: %v", err)
	}
}

func TestRepair(t *testing.T) {
	d, _, dir := base(t)
	create(t, d, "ann@example.com")
	ann, err := d.Find(address("ann@example.com"))
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, ann.Maildir()+"/cur/kept")
	if err := os.Remove(filepath.Join(dir, ann.Maildir(), "new")); err != nil {
		t.Fatal(err)
	}
	if err := d.Repair(ann); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"new", "cur/kept"} {
		if _, err := os.Stat(filepath.Join(dir, ann.Maildir(), name)); err != nil {
			t.Error(err)
		}
	}
	if err := os.RemoveAll(filepath.Join(dir, "Domains/example.com/ann")); err != nil { // behind our back
		t.Fatal(err)
	}
	if err := d.Repair(ann); !errors.Is(err, directory.ErrNoAccount) {
		t.Errorf("Repair of what is gone = %v, want ErrNoAccount", err)
	}
	if _, err := d.Find(ann.Address()); !errors.Is(err, directory.ErrNoAccount) {
		t.Errorf("Find of what is gone = %v, want ErrNoAccount", err)
	}
}

func BenchmarkFind(b *testing.B) {
	dir := b.TempDir()
	fsys, err := disk.OpenOS(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer fsys.Close()
	d := directory.New(fsys, local)
	if _, err := d.Create(address("ann@example.com")); err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"ann@example.com", "unknown@example.com"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				_, _ = d.Find(address(name))
			}
		})
	}
}
