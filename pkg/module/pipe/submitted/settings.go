package submitted

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"cgq/pkg/mail"
	"cgq/pkg/settings"
)

// Settings are those of the table submitted; [Source.Use] has them count.
type Settings struct {
	Enabled    bool          `toml:"enabled" doc:"whether mail is taken from files"`
	Directory  string        `toml:"directory" doc:"where programs put files with the extension .sub, below the base directory, or anywhere if it begins with / (chapter: Submitted)"`
	Owners     []string      `toml:"owners" doc:"whose files are taken, by user names or numbers; those of others get the extension .bad; empty: those of the user that cgqd is, and of root"`
	ReturnPath string        `toml:"return_path" doc:"the return path of a file without the field Return-Path; \"<>\" is the null one; empty: the address in its Sender or From, or the postmaster of the main domain"`
	MaxSize    settings.Size `toml:"max_size" doc:"the largest file that is taken, 1K to 2G"`
	Channels   int           `toml:"channels" doc:"how many files of a directory are submitted at the same time, 1 to 100 (chapter: Processors)"`
	Foreign    []Foreign     `toml:"foreign" doc:"other directories that are watched in the same way, such as those of another server, each with a table of its own:"`
}

// A Foreign is a directory of somebody else.
type Foreign struct {
	Directory  string   `toml:"directory" doc:"begins with /"`
	Source     string   `toml:"source" doc:"the Submit Address tag of its messages; empty: PIPE"`
	ReturnPath string   `toml:"return_path" doc:"as above"`
	Force      bool     `toml:"force_return_path" doc:"takes return_path though the file has a Return-Path"`
	Account    string   `toml:"account" doc:"the Account that its messages are from, as if it had authenticated itself; empty: none"`
	Owners     []string `toml:"owners" doc:"as above"`
}

// Defaults are the settings of a new server.
func Defaults() Settings {
	return Settings{Enabled: true, Directory: "Submitted", Owners: []string{}, MaxSize: 50 * settings.MiB, Channels: 20}
}

// Validate names the first key that cannot be used.
func (s *Settings) Validate() error {
	if err := ours(s.Directory); err != nil {
		return fmt.Errorf("directory: %w", err)
	}
	if s.MaxSize < settings.KiB || s.MaxSize > 2*settings.GiB {
		return fmt.Errorf("max_size: %s is not between 1K and 2G", s.MaxSize)
	}
	if s.Channels < 1 || s.Channels > 100 {
		return fmt.Errorf("channels: %d is not between 1 and 100", s.Channels)
	}
	if _, err := ids(s.Owners); err != nil {
		return fmt.Errorf("owners: %w", err)
	}
	if _, err := returnPathOf(s.ReturnPath); err != nil {
		return fmt.Errorf("return_path: %w", err)
	}
	seen := []string{filepath.Clean(s.Directory)}
	for i, f := range s.Foreign {
		if err := f.validate(seen); err != nil {
			return fmt.Errorf("foreign[%d].%w", i+1, err)
		}
		seen = append(seen, filepath.Clean(f.Directory))
	}
	return nil
}

// reserved are the directories below the base directory that have another use.
var reserved = []string{"Queue", "Settings", "SystemLogs", "Domains", registerFile}

// ours says why a name cannot be that of the directory Submitted.
func ours(dir string) error {
	top, _, _ := strings.Cut(filepath.Clean(dir), "/")
	switch {
	case dir == "":
		return errors.New("it is empty")
	case !filepath.IsAbs(dir) && !filepath.IsLocal(dir), filepath.Clean(dir) == ".":
		return fmt.Errorf("%q is not below the base directory", dir)
	case slices.Contains(reserved, top):
		return fmt.Errorf("%q has another use", dir)
	}
	return nil
}

func (f *Foreign) validate(seen []string) error {
	_, known := mail.ParseSource(f.Source)
	_, wrong := mail.ParseAddress(f.Account)
	switch {
	case !filepath.IsAbs(f.Directory):
		return fmt.Errorf("directory: %q does not begin with /", f.Directory)
	case slices.Contains(seen, filepath.Clean(f.Directory)):
		return fmt.Errorf("directory: %q is there twice", f.Directory)
	case f.Source != "" && !known:
		return fmt.Errorf("source: %q is no Submit Address tag, such as PIPE", f.Source)
	case f.Force && f.ReturnPath == "":
		return errors.New("force_return_path: there is no return_path to take")
	case f.Account != "" && wrong != nil:
		return fmt.Errorf("account: %w", wrong)
	}
	if _, err := returnPathOf(f.ReturnPath); err != nil {
		return fmt.Errorf("return_path: %w", err)
	}
	if _, err := ids(f.Owners); err != nil {
		return fmt.Errorf("owners: %w", err)
	}
	return nil
}

// returnPathOf is a return path of the settings; nil: none is set.
func returnPathOf(s string) (*mail.Address, error) {
	if s == "" {
		return nil, nil
	}
	a, err := mail.ParsePath(s)
	return &a, err
}

// ids are the numbers of users; those of nobody: this process's, and root's.
func ids(names []string) (map[uint32]bool, error) {
	all := map[uint32]bool{}
	for _, name := range names {
		number := name
		if u, err := user.Lookup(name); err == nil {
			number = u.Uid
		}
		id, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			return nil, settings.Absent(fmt.Errorf("there is no user %q", name))
		}
		all[uint32(id)] = true
	}
	if len(names) == 0 {
		all[0], all[uint32(os.Geteuid())] = true, true
	}
	return all, nil
}

// mappings are the directories, after Validate has found nothing wrong.
func (s *Settings) mappings() []mapping {
	of := func(dir string, source mail.Source, returnPath string, owners []string) mapping {
		m := mapping{path: filepath.Clean(dir), source: source, owners: owners, maxSize: int64(s.MaxSize), channels: s.Channels}
		m.returnPath, _ = returnPathOf(returnPath)
		return m
	}
	all := []mapping{of(s.Directory, mail.PIPE, s.ReturnPath, s.Owners)}
	for _, f := range s.Foreign {
		source, known := mail.ParseSource(f.Source)
		if !known {
			source = mail.PIPE
		}
		m := of(f.Directory, source, f.ReturnPath, f.Owners)
		m.force, m.account = f.Force, f.Account
		all = append(all, m)
	}
	return all
}
