// Package access says who may do what: the section access of the settings gives rights
// to users and groups of the machine. root and the user that the daemon runs as have all
// rights, whatever it says.
//
// It asks the operating system for names when the settings are read, and for the groups
// of a caller when he calls. It does not know what a right is needed for: that is said
// where a request is declared (control).
package access

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"cgq/pkg/control"
	"cgq/pkg/settings"
)

// Everybody is the user that is every user of the machine.
const Everybody = "*"

// AllRights is the right that is all of them.
const AllRights = "all"

// Settings is the section access.
type Settings struct {
	Grants []Grant `toml:"grant" doc:"what is granted to whom"`
}

// A Grant gives rights. Who is in several has the rights of all.
type Grant struct {
	Users  []string `toml:"users" doc:"names of users, or their numbers; \"*\" is everybody on this machine"`
	Groups []string `toml:"groups" doc:"names of groups, or their numbers"`
	Rights []string `toml:"rights" doc:"monitor, release, reject, view, settings, submit, or all"`
}

// Validate names what cannot be used, such as a user that there is not.
func (s *Settings) Validate() error {
	_, err := Compile(s, System())
	return err
}

// Document is the file of a new server: nothing is granted, and how it is done.
func (s *Settings) Document() (string, error) { return document, nil }

const document = `# Settings of cgqd: access. Who may use cgq, besides root and the user that cgqd runs as.
# "cgqd check" says what is wrong here; a running cgqd notices that it is edited; "cgq whoami" shows the result.
#
# Rights: monitor  see the Queue, the logs, statistics        reject    reject and drop mail, the trash
#         release  release queues and messages, holds         settings  change settings, Rules, Accounts, routes
#         view     read messages, backups                     submit    submit messages
#         all      everything
#
# None includes another: who is to release what he sees has both.
#
#   [[grant]]
#   users = ["ann"]                  # "*" is everybody on this machine
#   groups = ["mailops"]
#   rights = ["monitor", "release"]
#
# While something is granted, the base directory lets others through to control.sock (mode 0711).
`

// A Table is settings with their names looked up. It does not change.
type Table struct{ grants []grant }

type grant struct {
	everybody bool
	uids      map[uint32]string // with their names
	gids      map[uint32]string
	rights    []control.Right
}

// Compile looks names up. Its error names every key that cannot be used. If that is because
// of users and groups alone that there are not ([settings.ErrAbsent]), the Table is what is
// granted to the others.
func Compile(s *Settings, names Names) (*Table, error) {
	t := new(Table)
	var wrong []error
	for i, g := range s.Grants {
		c := grant{uids: map[uint32]string{}, gids: map[uint32]string{}}
		at := func(key string, err error) {
			if err != nil {
				wrong = append(wrong, fmt.Errorf("grant[%d].%s: %w", i+1, key, err))
			}
		}
		for _, name := range g.Users {
			if name == Everybody {
				c.everybody = true
				continue
			}
			uid, err := number(name, names.User)
			if err == nil {
				c.uids[uid] = name
			}
			at("users", absent(err))
		}
		for _, name := range g.Groups {
			gid, err := number(name, names.Group)
			if err == nil {
				c.gids[gid] = name
			}
			at("groups", absent(err))
		}
		var err error
		c.rights, err = rights(g.Rights)
		at("rights", err)
		if len(g.Users)+len(g.Groups) == 0 {
			at("users", errors.New("it is granted to nobody: name users or groups"))
		}
		t.grants = append(t.grants, c)
	}
	for _, err := range wrong {
		if !errors.Is(err, settings.ErrAbsent) {
			return nil, errors.Join(wrong...)
		}
	}
	return t, errors.Join(wrong...)
}

// absent marks what may be otherwise tomorrow.
func absent(err error) error {
	if err == nil {
		return nil
	}
	return settings.Absent(err)
}

// number is the number that a name has, or is.
func number(name string, look func(string) (uint32, error)) (uint32, error) {
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		return uint32(n), nil
	}
	return look(name)
}

// rights reads the names of rights.
func rights(names []string) (all []control.Right, err error) {
	if len(names) == 0 {
		return nil, errors.New("nothing is granted: name rights")
	}
	for _, name := range names {
		switch {
		case name == AllRights:
			return control.Rights(), nil
		case !slices.Contains(control.Rights(), control.Right(name)):
			return nil, fmt.Errorf("%q is no right; there are %v and all", name, control.Rights())
		}
	}
	for _, r := range control.Rights() { // in order, each once
		if slices.Contains(names, string(r)) {
			all = append(all, r)
		}
	}
	return all, nil
}

// Others reports whether anything is granted to those who have not everything anyway.
func (t *Table) Others() bool { return len(t.grants) > 0 }

// granted is what a user with these groups has, each with what gives it to him.
func (t *Table) granted(uid uint32, gids []uint32) (all []control.Granted) {
	for i, g := range t.grants {
		by := ""
		if name, ok := g.uids[uid]; ok {
			by = "user " + name
		}
		for _, gid := range gids {
			if name, ok := g.gids[gid]; ok && by == "" {
				by = "group " + name
			}
		}
		if by == "" && g.everybody {
			by = "everybody"
		}
		if by != "" {
			all = append(all, control.Granted{By: fmt.Sprintf("grant %d of access.toml: %s", i+1, by), Rights: slices.Clone(g.rights)})
		}
	}
	return all
}
