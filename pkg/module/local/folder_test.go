package local_test

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"path"
	"strings"
	"testing"

	"cgq/pkg/directory"
	"cgq/pkg/disk"
	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/module/local"
)

func direct(mailbox string) mail.Address {
	return mail.Address{Local: mailbox + "#ann", Domain: "example.com"}
}

func TestClaimOfMailboxesAndUnifiedAccounts(t *testing.T) {
	s := newSetup(t, slog.New(slog.DiscardHandler), ann)
	for _, tt := range []struct{ local, domain, want string }{ // the queue, or the error
		{"Junk#ann", "Example.com", "ann@example.com"},
		{"Lists.Go#ANN", "example.com", "ann@example.com"},
		{"My Mail#ann+x", "example.com", "ann@example.com"},
		{"inbox#ann", "example.com", "ann@example.com"},
		{"Junk#carl", "example.com", "5.1.1 account unknown"},
		{"Junk#ann", "example.org", "5.1.1 account unknown"},
		{"Junk#", "example.com", "5.1.1 account unknown"},
		{"a#b#ann", "example.com", "5.1.1 account unknown"},
		{"#ann", "example.com", "5.1.3 not a name of a mailbox"},
		{"..#ann", "example.com", "5.1.3 not a name of a mailbox"},
		{".x#ann", "example.com", "5.1.3 not a name of a mailbox"},
		{"x.#ann", "example.com", "5.1.3 not a name of a mailbox"},
		{"x..y#ann", "example.com", "5.1.3 not a name of a mailbox"},
		{"x/../y#ann", "example.com", "5.1.3 not a name of a mailbox"},
		{"x/y#ann", "example.com", "5.1.3 not a name of a mailbox"},
		{" x#ann", "example.com", "5.1.3 not a name of a mailbox"},
		{"&AOk-#ann", "example.com", "5.1.3 not a name of a mailbox"},
		{"é#ann", "example.com", "5.1.3 not a name of a mailbox"},
		{"whoever", "ann.local", "ann@example.com"},
		{"x/y#z", "ANN.Local", "ann@example.com"},
		{"whoever", "ann+x.local", "ann@example.com"},
		{"whoever", "carl.local", "5.1.1 account unknown"},
		{"whoever", "../ann.local", "5.1.1 account unknown"},
		{"ann", "local", module.ErrNotMine.Error()},
	} {
		for _, final := range []bool{false, true} {
			r, err := s.Claim(t.Context(), mail.Address{Local: tt.local, Domain: tt.domain}, final)
			got := r.Queue
			if err != nil {
				got = err.Error()
			}
			if got != tt.want || r.Relay || err == nil && r.Address.Local != tt.local {
				t.Errorf("Claim(%s @ %s) = %+v, %v; want %s", tt.local, tt.domain, r, err, tt.want)
			}
		}
	}
}

func TestStoredInAMailbox(t *testing.T) {
	s := newSetup(t, slog.New(slog.DiscardHandler), ann)
	to := []mail.Address{direct("Lists.Go"), direct("INBOX"), ann, {Local: "x#y", Domain: "ann.local"}, direct("../../bob")}
	q := queue(false, to...)
	s.Transfer(t.Context(), q)
	q.Check(t)
	for i, r := range q.Results()[4711] {
		want := mail.Delivered
		if i == len(to)-1 {
			want = mail.Failed
		}
		if r.Action != want {
			t.Errorf("%s: %v", to[i], r)
		}
	}
	if n := len(s.files(t, newDir+"*")); n != 3 {
		t.Errorf("%d files in the inbox, want 3", n)
	}
	if n := len(s.files(t, "Domains/example.com/ann/Maildir/.Lists.Go/new/*")); n != 1 {
		t.Errorf("%d files in the folder, want 1", n)
	}
	if n, err := s.dir.Stored(ann); n != 4 || err != nil {
		t.Errorf("Stored = %d, %v; want all 4", n, err)
	}
}

// Strangers do not fill her mailbox list.
func TestMailMakesMailboxesUpToALimit(t *testing.T) {
	s := newSetup(t, slog.New(slog.DiscardHandler), ann)
	for i := range 100 {
		if _, err := s.dir.Folder(directory.Account{Name: "ann", Domain: "example.com"}, "f"+strings.Repeat("x", i/10)+string(rune('0'+i%10))); err != nil {
			t.Fatal(err)
		}
	}
	q := queue(false, direct("more"))
	s.Transfer(t.Context(), q)
	if r := result(t, q); r.Action != mail.Delivered || len(s.files(t, newDir+"*")) != 1 {
		t.Errorf("%v, %d in the inbox; want it there", r, len(s.files(t, newDir+"*")))
	}
	if _, err := s.dir.Folder(directory.Account{Name: "carl", Domain: "example.com"}, "x"); !errors.Is(err, directory.ErrNoAccount) {
		t.Errorf("a folder of nobody: %v", err)
	}
}

// A blackout is a disk whose power goes at a step of the delivery, not before.
func blackout(t *testing.T, step int) (*crashdisk.Tree, *directory.Directory) {
	t.Helper()
	d := crashdisk.NewTree(-1)
	dir := directory.New(d, func() []string { return []string{"example.com"} })
	if _, err := dir.Create(ann); err != nil {
		t.Fatal(err)
	}
	if step >= 0 {
		d.PowerFor(step)
	}
	return d, dir
}

func into(t *testing.T, d disk.FS, dir *directory.Directory, repeated bool) bool {
	q := queue(repeated, direct("Lists.Go"))
	local.New(d, dir, "mx1", mainDomain, slog.New(slog.DiscardHandler)).Transfer(t.Context(), q)
	return result(t, q).Action == mail.Delivered
}

// What was said to be in a new mailbox is there after power loss, whole, and once.
func TestOneCopyInANewMailboxAfterPowerLoss(t *testing.T) {
	d, dir := blackout(t, -1)
	before := d.Steps()
	into(t, d, dir, false)
	steps := d.Steps() - before
	if steps < 12 {
		t.Fatalf("a delivery has %d steps; this test does not see them", steps)
	}
	for step := range steps + 1 {
		for seed := range uint64(20) {
			d, dir := blackout(t, step)
			said := into(t, d, dir, false)
			d = d.Restart(rand.New(rand.NewPCG(seed, uint64(step))))
			if n := whole(d); said && n != 1 {
				t.Fatalf("step %d, seed %d: said to be delivered, and %d whole copies are there", step, seed, n)
			}
			dir = directory.New(d, func() []string { return []string{"example.com"} })
			if !into(t, d, dir, true) || whole(d) != 1 {
				t.Fatalf("step %d, seed %d: repeated, %d whole copies", step, seed, whole(d))
			}
		}
	}
}

func whole(d *crashdisk.Tree) (n int) {
	for name, text := range d.Files("") {
		if path.Base(path.Dir(name)) == "new" && strings.Contains(name, "/Maildir/.Lists.Go/") && strings.HasSuffix(text, "\n\nbody\n") {
			n++
		}
	}
	return n
}
