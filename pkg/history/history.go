// Package history is what becomes of a settings directory: it puts files in place of others,
// as one change that is whole or not there, and remembers each change, by whom it was, and
// what the files were after it. What is in the files is the affair of others.
package history

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"cgq/pkg/disk"
	"cgq/pkg/settings"
)

// The history is the directory .history beside the files:
//
//	000017.json   a change: its number, when, by whom, why, what, and all files as they
//	              were after it, by the hash of their bytes
//	<hash>.text   the bytes of a file (SHA-256), written once however many changes have it
//	pending.json  a change that is decided and perhaps not done: the same as 000018.json
//	              will be, and the hashes before it
//
// A change counts from the instant at which pending.json is durable: whoever finds it, as
// a start does, does what is left of it. A file that has neither the bytes before the change
// nor those behind it has been edited by hand since, and stays.
const (
	historyDir  = ".history"
	pendingFile = "pending.json"
	textSuffix  = ".text"
	entrySuffix = ".json"

	maxEntries = 100
	maxHistory = 256 << 20 // bytes of all texts together
)

// An Entry is one change of the settings.
type Entry struct {
	Number  int                   `json:"number"` // from 1
	At      time.Time             `json:"at"`
	By      string                `json:"by"`  // the user; empty: nobody knows, a file was edited
	UID     uint32                `json:"uid"` // of By
	How     string                `json:"how"` // set, edit, rollback to 3, by hand …
	Why     string                `json:"why,omitempty"`
	Changes []settings.Difference `json:"changes,omitempty"`
	Files   map[string]string     `json:"files"` // the hash of each file after it
}

// A pending is an entry that is decided.
type pending struct {
	Entry
	Before map[string]string `json:"before"`
}

// ErrChanged says that a file is no longer what an edit began with: somebody else has
// written it. Nothing was changed.
var ErrChanged = errors.New("changed meanwhile")

// An exchanger can swap two names in one step, so that a file of somebody else that comes
// in between is seen, and not lost.
type exchanger interface{ Exchange(a, b string) error }

// A mimic can make a file one of the same users as another: what they may do with it must not
// change because somebody edits it through us.
type mimic interface{ Mimic(name, like string) error }

// A Store is a settings directory with its history. One at a time uses it.
type Store struct {
	fs  disk.FS
	dir string
}

// New returns the store of a directory. Nothing happens yet.
func New(fsys disk.FS, dir string) Store { return Store{fsys, dir} }

// readText reads a file of any length: it is one that was a file of settings.
func readText(fsys disk.FS, name string) (string, error) {
	b, err := disk.ReadFile(fsys, name)
	return string(b), err
}

// publish writes a file of the history, durably.
func (s Store) publish(name, text string) error {
	return settings.Replace(s.fs, path.Join(s.dir, historyDir), name, text)
}

func (s Store) past(name string) string { return path.Join(s.dir, historyDir, name) }

// Commit puts the files next in place of base, which are those that the directory has, and
// makes an entry of it. When it returns nil that survives power loss; at any time, and after
// power loss, what there is is what there was or, once [Store.Recover] was called, the whole
// change. The error matches [ErrChanged] if the directory has other files than base.
func (s Store) Commit(base, next settings.Files, e Entry) (Entry, error) {
	e, err := s.prepare(next, e)
	if err != nil {
		return e, fmt.Errorf("history of the settings: %w", err)
	}
	p := pending{e, hashes(base)}
	text, err := json.MarshalIndent(p, "", "\t")
	if err == nil {
		err = s.publish(pendingFile, string(text))
	}
	if err != nil {
		return e, fmt.Errorf("history of the settings: %w", err)
	}
	changed := next.Changed(base)
	for i, name := range changed {
		if err := s.replace(name, base, next); err != nil {
			return e, s.undo(e, changed[:i], base, next, fmt.Errorf("settings: %s: %w", path.Join(s.dir, name), err))
		}
	}
	if err := s.finish(e); err != nil {
		return e, s.undo(e, changed, base, next, fmt.Errorf("history of the settings: %w", err))
	}
	_ = s.prune() // the change is made, whatever becomes of older ones
	return e, nil
}

// undo puts back what a change has done that cannot be made whole.
func (s Store) undo(e Entry, done []string, base, next settings.Files, err error) error {
	for _, name := range done {
		err = errors.Join(err, s.replace(name, next, base))
	}
	return errors.Join(err, s.remove(s.past(entryName(e.Number))), s.remove(s.past(pendingFile)))
}

// Note makes an entry of what is there already, because a person has edited it.
func (s Store) Note(now settings.Files, e Entry) (Entry, error) {
	e, err := s.prepare(now, e)
	if err == nil {
		var text []byte
		if text, err = json.MarshalIndent(e, "", "\t"); err == nil {
			err = s.publish(entryName(e.Number), string(text))
		}
	}
	if err != nil {
		return e, fmt.Errorf("history of the settings: %w", err)
	}
	_ = s.prune() // as above
	return e, nil
}

// prepare keeps the bytes that an entry needs, and gives it its number.
func (s Store) prepare(files settings.Files, e Entry) (Entry, error) {
	numbers, err := s.numbers()
	if err == nil {
		err = s.fs.Mkdir(path.Join(s.dir, historyDir))
	}
	if err == nil {
		err = s.fs.SyncDir(s.dir)
	}
	if err != nil {
		return e, err
	}
	if e.Number = 1; len(numbers) > 0 {
		e.Number = numbers[len(numbers)-1] + 1
	}
	e.Files = hashes(files)
	for name, h := range e.Files {
		if f, err := s.fs.Open(s.past(h + textSuffix)); err == nil {
			f.Close()
			continue // it was published whole
		}
		text, _ := files.Text(name)
		if err := s.publish(h+textSuffix, text); err != nil {
			return e, err
		}
	}
	return e, nil
}

func hashes(f settings.Files) map[string]string {
	all := map[string]string{}
	for _, name := range f.Names() {
		text, _ := f.Text(name)
		all[name] = hash(text)
	}
	return all
}

// hash names the bytes of a file.
func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func entryName(number int) string { return fmt.Sprintf("%06d%s", number, entrySuffix) }

// replace puts one file in place of another, durably, if that is still there.
func (s Store) replace(name string, base, next settings.Files) error {
	file := path.Join(s.dir, name)
	was, had := base.Text(name)
	text, has := next.Text(name)
	is, err := readText(s.fs, file)
	switch there := err == nil; {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	case there != had || is != was:
		return ErrChanged
	case !has:
		return s.remove(file)
	case !had:
		return s.create(file, text)
	}
	swap, ok := s.fs.(exchanger)
	if !ok {
		return settings.Replace(s.fs, s.dir, name, text)
	}
	tmp := file + ".tmp"
	if err := s.write(tmp, text); err != nil {
		return err
	}
	if m, ok := s.fs.(mimic); ok {
		_ = m.Mimic(tmp, file) // where that cannot be it stays our own alone
	}
	err = swap.Exchange(tmp, file)
	if errors.Is(err, errors.ErrUnsupported) {
		if err = s.fs.Rename(tmp, file); err == nil {
			return s.fs.SyncDir(s.dir)
		}
	}
	if err != nil {
		_ = s.fs.Remove(tmp)
		return err
	}
	if is, err = readText(s.fs, tmp); err == nil && is != was {
		if err = swap.Exchange(tmp, file); err == nil {
			err = ErrChanged
		}
	}
	return errors.Join(err, s.remove(tmp))
}

// create makes a file, if there is none.
func (s Store) create(file, text string) error {
	tmp := file + ".tmp"
	err := s.write(tmp, text)
	if err == nil {
		err = s.fs.Link(tmp, file)
	}
	if errors.Is(err, fs.ErrExist) {
		err = ErrChanged
	}
	return errors.Join(err, s.remove(tmp))
}

// write writes a file, whose name is not durable yet.
func (s Store) write(name, text string) error {
	f, err := s.fs.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err = f.WriteAt([]byte(text), 0); err == nil {
		err = f.Datasync()
	}
	if err != nil {
		_ = s.fs.Remove(name) // the error to tell is the first
	}
	return err
}

// remove takes a name away, durably, if it is there.
func (s Store) remove(name string) error {
	if err := s.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return s.fs.SyncDir(path.Dir(name))
}

// finish makes an entry of the pending one.
func (s Store) finish(e Entry) error {
	if err := s.fs.Rename(s.past(pendingFile), s.past(entryName(e.Number))); err != nil {
		return err
	}
	return s.fs.SyncDir(path.Join(s.dir, historyDir))
}

// Pending says whether a crash has cut a change short.
func (s Store) Pending() bool {
	f, err := s.fs.Open(s.past(pendingFile))
	if err != nil {
		return false
	}
	f.Close()
	return true
}

// Recover does what is left of a change that a crash has cut short; done: there was one.
func (s Store) Recover() (done bool, err error) {
	text, err := readText(s.fs, s.past(pendingFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	var p pending
	if err == nil {
		err = json.Unmarshal([]byte(text), &p)
	}
	if err != nil {
		return false, fmt.Errorf("settings: %s: %w", s.past(pendingFile), err)
	}
	now, err := settings.ReadFiles(s.fs, s.dir)
	if err != nil {
		return false, err
	}
	next, err := s.Files(p.Entry)
	if err != nil {
		return false, err
	}
	for _, name := range next.Changed(now) {
		is, there := now.Text(name)
		before, had := p.Before[name]
		if there != had || there && hash(is) != before {
			continue // somebody has edited it since, or made it
		}
		if err := s.replace(name, now, next); err != nil {
			return false, fmt.Errorf("settings: %s: %w", path.Join(s.dir, name), err)
		}
	}
	return true, s.finish(p.Entry)
}

// numbers are those of the entries, in order.
func (s Store) numbers() (all []int, err error) {
	names, err := s.fs.List(path.Join(s.dir, historyDir))
	for _, name := range names {
		digits, ok := strings.CutSuffix(name, entrySuffix)
		if n, err := strconv.Atoi(digits); ok && err == nil {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return all, err
}

// Entries are the changes that are remembered, the latest last. One that is damaged is there
// without its files, and says so in How: it costs nobody the others.
func (s Store) Entries() (all []Entry, err error) {
	numbers, err := s.numbers()
	if err != nil {
		return nil, fmt.Errorf("history of the settings: %w", err)
	}
	for _, n := range numbers {
		text, err := readText(s.fs, s.past(entryName(n)))
		var e Entry
		if err == nil {
			err = json.Unmarshal([]byte(text), &e)
		}
		if err == nil && (e.Number != n || e.Files == nil) {
			err = errors.New("it is none")
		}
		if err != nil {
			e = Entry{Number: n, How: "damaged: " + err.Error()}
		}
		all = append(all, e)
	}
	return all, nil
}

// Last is the latest change; none: there is no history yet.
func (s Store) Last() (e Entry, none bool, err error) {
	all, err := s.Entries()
	if err != nil || len(all) == 0 {
		return e, err == nil, err
	}
	return all[len(all)-1], false, nil
}

// Is says whether files are what an entry has left.
func (e Entry) Is(files settings.Files) bool {
	return files.Whole() && maps.Equal(hashes(files), e.Files)
}

// Files are the files as a change has left them.
func (s Store) Files(e Entry) (settings.Files, error) {
	f := settings.Files{}
	if e.Files == nil {
		return f, fmt.Errorf("settings: change %d: %s", e.Number, e.How)
	}
	for name, h := range e.Files {
		text, err := readText(s.fs, s.past(h+textSuffix))
		if err == nil && hash(text) != h {
			err = errors.New("damaged")
		}
		if err != nil {
			return f, fmt.Errorf("settings: %s after change %d: %w", name, e.Number, err)
		}
		f = f.With(name, text)
	}
	return f, nil
}

// prune forgets what is too old or too much. What it cannot remove is tried again with
// the next change.
func (s Store) prune() error {
	all, err := s.Entries()
	if err != nil {
		return err
	}
	needed, bytes := map[string]bool{}, int64(0)
	for i := len(all) - 1; i >= 0; i-- {
		for _, h := range all[i].Files {
			if !needed[h] {
				bytes += s.size(h)
			}
		}
		if i < len(all)-1 && (len(all)-i > maxEntries || bytes > maxHistory) {
			for _, e := range all[:i+1] {
				if err := s.fs.Remove(s.past(entryName(e.Number))); err != nil {
					return fmt.Errorf("history of the settings: %w", err)
				}
			}
			break
		}
		for _, h := range all[i].Files {
			needed[h] = true
		}
	}
	names, err := s.fs.List(path.Join(s.dir, historyDir))
	if err != nil {
		return fmt.Errorf("history of the settings: %w", err)
	}
	for _, name := range names {
		h, isText := strings.CutSuffix(name, textSuffix)
		if isText && !needed[h] || strings.HasSuffix(name, ".tmp") {
			_ = s.fs.Remove(s.past(name))
		}
	}
	return nil
}

// size is how many bytes a text has.
func (s Store) size(h string) int64 {
	f, err := s.fs.Open(s.past(h + textSuffix))
	if err != nil {
		return 0
	}
	defer f.Close()
	n, err := f.Size()
	if err != nil {
		return 0
	}
	return n
}
