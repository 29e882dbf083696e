package access_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cgq/pkg/access"
	"cgq/pkg/control"
	"cgq/pkg/settings"
)

// A town is users and groups.
type town struct {
	users, groups map[string]uint32
	member        map[uint32][]uint32
	asked         int
	err           error
}

func newTown() *town {
	return &town{
		users:  map[string]uint32{"ann": 4001, "bob": 4002, "eve": 4003},
		groups: map[string]uint32{"mailops": 5001, "staff": 5002},
		member: map[uint32][]uint32{4001: {4001}, 4002: {4002, 5001}, 4003: {4003, 5002}},
	}
}

func (n *town) names() access.Names {
	look := func(what string, in map[string]uint32) func(string) (uint32, error) {
		return func(name string) (uint32, error) {
			if id, ok := in[name]; ok {
				return id, nil
			}
			return 0, fmt.Errorf("there is no %s %q", what, name)
		}
	}
	return access.Names{User: look("user", n.users), Group: look("group", n.groups), Groups: func(uid uint32) ([]uint32, error) {
		n.asked++
		return n.member[uid], n.err
	}}
}

func door(t *testing.T, n *town, text string) *access.Door {
	t.Helper()
	d := access.New(n.names(), slog.New(slog.DiscardHandler))
	d.Use(table(t, n, text))
	return d
}

func table(t *testing.T, n *town, text string) *access.Table {
	t.Helper()
	var g struct {
		Grants []access.Grant `toml:"grant"`
	}
	if err := settings.Decode("access.toml", []byte(text), &g); err != nil {
		t.Fatal(err)
	}
	tab, err := access.Compile(&access.Settings{Grants: g.Grants}, n.names())
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func rights(all []control.Right) string {
	s := make([]string, len(all))
	for i, r := range all {
		s[i] = string(r)
	}
	return strings.Join(s, " ")
}

const grants = `
[[grant]]
users = ["*"]
rights = ["submit"]

[[grant]]
users = ["ann", "4009"]
groups = ["mailops"]
rights = ["release", "monitor", "monitor"]

[[grant]]
groups = ["mailops", "5003"]
rights = ["view"]

[[grant]]
users = ["eve"]
rights = ["all"]
`

func TestWhoMayWhat(t *testing.T) {
	d := door(t, newTown(), grants)
	for _, tt := range []struct {
		name     string
		uid, gid uint32
		rights   string
		by       string
	}{
		{"root", 0, 0, rights(control.Rights()), "root"},
		{"ann", 4001, 4001, "monitor release submit", "grant 1 of access.toml: everybody; grant 2 of access.toml: user ann"},
		{"bob, by his groups", 4002, 4002, "monitor release view submit",
			"grant 1 of access.toml: everybody; grant 2 of access.toml: group mailops; grant 3 of access.toml: group mailops"},
		{"eve", 4003, 4003, rights(control.Rights()), "grant 1 of access.toml: everybody; grant 4 of access.toml: user eve"},
		{"a number", 4009, 1, "monitor release submit", "grant 1 of access.toml: everybody; grant 2 of access.toml: user 4009"},
		{"one who runs with a group", 4010, 5003, "view submit", "grant 1 of access.toml: everybody; grant 3 of access.toml: group 5003"},
		{"anybody", 4011, 4011, "submit", "grant 1 of access.toml: everybody"},
	} {
		who := control.Actor{UID: tt.uid, GID: tt.gid}
		var by []string
		for _, g := range d.Granted(who) {
			by = append(by, g.By)
		}
		if got := rights(d.Rights(who)); got != tt.rights || strings.Join(by, "; ") != tt.by {
			t.Errorf("%s: %q by %q, want %q by %q", tt.name, got, by, tt.rights, tt.by)
		}
	}
}

// Whatever is granted, root and the daemon's user have everything, and without a grant others nothing.
func TestTheOwnerHasEverything(t *testing.T) {
	n := newTown()
	for _, text := range []string{"", grants, "[[grant]]\nusers = ['0']\nrights = ['view']\n"} {
		d := door(t, n, text)
		for _, uid := range []uint32{0, uint32(os.Geteuid())} {
			if got := d.Rights(control.Actor{UID: uid}); !slices.Equal(got, control.Rights()) {
				t.Errorf("%d has %v", uid, got)
			}
		}
	}
	if got := door(t, n, "").Granted(control.Actor{UID: 4001, GID: 4001}); len(got) != 0 {
		t.Errorf("without a grant ann has %+v", got)
	}
	if n.asked != 0 {
		t.Errorf("the groups were looked up %d times for those who need none", n.asked)
	}
}

// Groups are looked up once in a while, and one whose groups are not known has none.
func TestGroupsAreKeptForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTown()
		d := door(t, n, grants)
		bob := control.Actor{UID: 4002, GID: 4002}
		for range 5 {
			d.Rights(bob)
		}
		if n.asked != 1 {
			t.Errorf("asked %d times", n.asked)
		}
		n.member[4002] = []uint32{4002} // he leaves the group
		time.Sleep(11 * time.Second)
		if got := rights(d.Rights(bob)); got != "submit" {
			t.Errorf("he still has %s", got)
		}
		n.member[4002], n.err = []uint32{5001}, errors.New("no answer")
		time.Sleep(11 * time.Second)
		n.member[4002] = nil
		if got := rights(d.Rights(bob)); got != "submit" {
			t.Errorf("unknown groups gave %s", got)
		}
		d.Use(table(t, n, ""))
		if got := d.Rights(bob); got != nil {
			t.Errorf("after a change of the settings he has %v", got)
		}
		for uid := range uint32(3000) { // many users are not kept for ever
			d.Rights(control.Actor{UID: 10_000 + uid})
		}
	})
}

func TestGrantsThatCannotBe(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"[[grant]]\nusers = ['nobody-of-that-name']\nrights = ['view']\n", `access.toml:2: grant[1].users: there is no user "nobody-of-that-name"`},
		{"[[grant]]\ngroups = ['nobody-of-that-name']\nrights = ['view']\n", `access.toml:2: grant[1].groups: there is no group "nobody-of-that-name"`},
		{"[[grant]]\nusers = ['0']\nrights = ['viev']\n", `access.toml:3: grant[1].rights: "viev" is no right; there are [monitor release reject view settings submit] and all`},
		{"[[grant]]\nusers = ['0']\n", `access.toml: grant[1].rights: nothing is granted: name rights`},
		{"[[grant]]\nusers = ['0']\nrights = ['all']\n[[grant]]\nrights = ['all']\n", `access.toml: grant[2].users: it is granted to nobody: name users or groups`},
		{"[[grant]]\nuser = ['0']\n", `access.toml:2: grant.user: unknown key; did you mean users?`},
	} {
		err := settings.Decode("access.toml", []byte(tt.text), new(access.Settings))
		if err == nil || err.Error() != tt.want {
			t.Errorf("%q: %v, want %s", tt.text, err, tt.want)
		}
	}
	s := new(access.Settings)
	text, err := s.Document()
	if err != nil || settings.Decode("access.toml", []byte(text), s) != nil || len(s.Grants) != 0 {
		t.Errorf("the file of a new server: %v, %+v", err, s)
	}
}

// The operating system knows its own users.
func TestSystem(t *testing.T) {
	names := access.System()
	if uid, err := names.User("root"); uid != 0 || err != nil {
		t.Errorf("root is %d, %v", uid, err)
	}
	if gids, err := names.Groups(0); err != nil || !slices.Contains(gids, 0) {
		t.Errorf("root is in %v, %v", gids, err)
	}
	if gids, err := names.Groups(4_000_000_000); err != nil || gids != nil {
		t.Errorf("nobody is in %v, %v", gids, err)
	}
}

// Users and groups that there are not have nothing, and the others what is theirs: nobody
// has what number 0 may.
func TestWhoIsNotThereHasNothing(t *testing.T) {
	n := newTown()
	tab, err := access.Compile(&access.Settings{Grants: []access.Grant{{Users: []string{"gone", "ann"}, Groups: []string{"gone"},
		Rights: []string{"all"}}}}, n.names())
	if tab == nil || !errors.Is(err, settings.ErrAbsent) || !strings.Contains(err.Error(), `grant[1].groups: there is no group "gone"`) {
		t.Fatal(tab, err)
	}
	n.member[4002] = []uint32{0}
	d := access.New(n.names(), slog.New(slog.DiscardHandler))
	d.Use(tab)
	if got := d.Rights(control.Actor{UID: 4001}); len(got) != len(control.Rights()) {
		t.Errorf("ann has %v", got)
	}
	if got := d.Rights(control.Actor{UID: 4002}); len(got) > 0 {
		t.Errorf("bob has %v", got)
	}
	if tab, err = access.Compile(&access.Settings{Grants: []access.Grant{{Users: []string{"gone"}, Rights: []string{"everything"}}}}, n.names()); tab != nil || err == nil {
		t.Errorf("%v, %v: a right that there is not is a mistake", tab, err)
	}
}
