package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"cgq/pkg/admin"
	"cgq/pkg/control"
	"cgq/pkg/history"
	"cgq/pkg/serverlog"
	"cgq/pkg/settings"
)

// Who changes settings has s.reloading. There are three who do: a person who edits a file
// (rescan, reload), a person who asks (change), and a start. What is loaded is always the
// bytes that were read, in one piece: s.config has them beside what was made of them.

// reload reads the settings again, because somebody wants it; if anything is wrong with
// them, all stay as they are.
func (s *server) reload() {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	if err := s.reread(); err != nil {
		s.refuse(err)
	}
}

// refuse leaves all as it is, and says why.
func (s *server) refuse(err error) {
	problems := settings.Problems{{File: settingsDir, Why: err.Error()}}
	_ = errors.As(err, &problems)
	problems = slices.Clone(problems)
	for i := range problems {
		problems[i].Absent = false // the old ones count, whatever it is
	}
	s.wrong.Store(&problems)
	s.system.Error("settings not reread, the old ones stay: " + err.Error())
}

// problems are what is wrong with the files as they are now, or else what the settings that
// count do without.
func (s *server) problems() settings.Problems {
	if p := s.wrong.Load(); p != nil {
		return *p
	}
	return s.config.Load().lacks
}

// reread is reload for who has the lock; its error changes nothing.
func (s *server) reread() error {
	c, err := load(s.fs)
	if err != nil {
		return err
	}
	return s.adopt(c, "by hand")
}

// rescan looks whether somebody has edited a file. What is wrong is said once.
func (s *server) rescan() {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	files, err := settings.ReadFiles(s.fs, settingsDir)
	if err == nil && files.Same(s.config.Load().files) {
		s.refused = ""
		s.wrong.Store(nil)
		if len(s.config.Load().lacks) == 0 {
			return
		}
		if c, err := loadFiles(files); err == nil { // now it is there
			_ = s.adopt(c, "by hand") // the addresses are the same
		}
		return
	}
	version := files.Version()
	if err != nil {
		version = err.Error()
	}
	if version == s.refused {
		return
	}
	var c *config
	if err == nil {
		c, err = s.loadEdited(files)
	}
	if err == nil {
		err = s.adopt(c, "by hand")
	}
	if err != nil {
		s.refused = version
		s.refuse(err)
	}
}

// loadEdited is loadFiles of what somebody has edited. A file that is gone is a problem: who
// takes it away may be about to put another into its place, as editors do, and the defaults,
// such as no local Domain, would cost mail until then.
func (s *server) loadEdited(files settings.Files) (*config, error) {
	c, err := loadFiles(files)
	for _, name := range files.Gone(s.config.Load().files) {
		err = also(err, settings.Problems{{File: filepath.Join(settingsDir, name),
			Why: "it is gone; what it said still counts, until it is back, or SIGHUP or a start takes the defaults"}})
	}
	return c, err
}

// adopt applies what was found in the files, and remembers it, unless an address in them
// cannot be listened on.
func (s *server) adopt(c *config, how string) error {
	old := s.config.Load()
	r, err := s.rehang(c)
	if err != nil {
		return err
	}
	s.take(c, old, r)
	s.remember(c, old, how)
	return nil
}

// later names what of a configuration that counts from now on waits for the next start,
// after another one.
func (s *server) later(c, old *config) []string {
	all := c.later(old)
	if !s.doors.are(c.SMTP.Receive.Listen) {
		all = append(all, filepath.Join(settingsDir, "smtp.toml")+": "+keyListen)
	}
	return all
}

// take applies a configuration. It returns the keys that wait for the next start.
func (s *server) take(c, old *config, r *rehanging) (later []string) {
	r.done()
	later = s.later(c, old)
	s.refused = ""
	s.wrong.Store(nil)
	s.use(c)
	s.system.Log(context.Background(), serverlog.Major, "settings reread", "files", strings.Join(c.files.Changed(old.files), " "))
	for _, key := range later {
		s.system.Warn(key + " takes effect at the next start")
	}
	return later
}

// remember makes an entry in the history of what is applied, if it is not the last one. A
// history that cannot be written keeps nobody from editing a file.
func (s *server) remember(c, old *config, how string) {
	last, none, err := s.past().Last()
	if err == nil && (none || !last.Is(c.files)) {
		e := history.Entry{At: time.Now(), How: how}
		if old != nil {
			e.Changes = c.compare(old)
		}
		_, err = s.past().Note(c.files, e)
	}
	if err != nil {
		s.system.Error("the history of the settings is not whole: " + err.Error())
	}
}

// past is the settings directory with its history.
func (s *server) past() history.Store { return history.New(s.fs.FS, settingsDir) }

// compare lists the keys that another configuration has otherwise; of a file that has no
// keys it has the number of lines.
func (c *config) compare(old *config) (all []settings.Difference) {
	was, is := old.sections(), c.sections()
	for i, section := range defaults().sections() {
		for _, d := range section.Compare(was[i].Value, is[i].Value) {
			d.Key = section.Name + "." + d.Key
			all = append(all, d)
		}
	}
	for _, name := range c.files.Changed(old.files) {
		if strings.HasSuffix(name, ".toml") {
			continue
		}
		before, _ := old.files.Text(name)
		after, _ := c.files.Text(name)
		all = append(all, settings.Difference{Key: name, Before: lines(before), After: lines(after)})
	}
	return all[:min(len(all), control.MaxChanges)]
}

func lines(text string) string {
	if n := strings.Count(text, "\n"); n != 1 {
		return fmt.Sprintf("%d lines", n)
	}
	return "1 line"
}

// tries is how often a change begins anew because somebody edits the same files.
const tries = 5

// change does what somebody asks for: it reads the files, has them edited, checks all
// settings as they would be, writes them, and applies them. Whatever is wrong, nothing has
// changed. A file that was edited by hand and is not applied yet is applied first, or, if
// it is wrong, nothing is done: it is never written over.
func (s *server) change(ctx context.Context, o admin.SettingsOrder) (out control.SettingsChanged, err error) {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	for range tries {
		out, err = s.tryChange(ctx, o)
		if !errors.Is(err, history.ErrChanged) {
			return out, err
		}
	}
	return out, control.Errorf(control.KindConflict, "look at them and try again; nothing was changed", "somebody is writing the settings just now: %v", err)
}

func (s *server) tryChange(ctx context.Context, o admin.SettingsOrder) (out control.SettingsChanged, err error) {
	now, err := s.settled(ctx)
	if err != nil {
		return out, err
	}
	old := s.config.Load()
	if !now.Same(old.files) {
		c, err := s.loadEdited(now)
		switch {
		case err == nil && !o.DryRun:
			if err := s.adopt(c, "by hand"); err != nil {
				return out, control.Errorf(control.KindConflict, "correct that first; nothing was changed",
					"the files were edited by hand, and are not in order:\n%s", shown(err, now))
			}
			fallthrough
		case err == nil:
			old = c
		case !only(err, o.Whole) && !(o.Back && s.misses(now, err)):
			return out, control.Errorf(control.KindConflict, "correct that first; nothing was changed",
				"the files were edited by hand, and are not in order:\n%s", shown(err, now))
		}
	}
	next, err := o.Edit(now)
	if err != nil {
		return out, err
	}
	c, err := loadFiles(next)
	if err != nil {
		return out, control.Errorf(control.KindInvalid, "nothing was changed", "%s", shown(err, next))
	}
	out = control.SettingsChanged{Changes: []control.ChangedValue{}, Files: next.Changed(now), Later: keys(c.later(old))}
	differences := c.compare(old)
	for _, d := range differences {
		out.Changes = append(out.Changes, control.ChangedValue(d))
	}
	if out.Files == nil {
		out.Files = []string{}
	}
	if len(out.Files) == 1 {
		text, _ := next.Text(out.Files[0])
		out.Version = settings.Version(text)
	}
	if o.DryRun || len(out.Files) == 0 {
		return out, nil
	}
	r, err := s.rehang(c)
	if err != nil {
		return out, control.Errorf(control.KindInvalid, "nothing was changed", "%s", shown(err, next))
	}
	e, err := s.past().Commit(now, next, history.Entry{At: time.Now(), By: o.Who.Name, UID: o.Who.UID, How: o.How, Why: o.Why, Changes: differences})
	if err != nil {
		r.undo()
	}
	if errors.Is(err, history.ErrChanged) {
		return out, err
	}
	if err != nil {
		return out, fmt.Errorf("nothing was changed: %w", err)
	}
	out.Number = e.Number
	out.Later = keys(s.take(c, old, r))
	return out, nil
}

// settled reads the files. When they are not those that are applied somebody may be writing
// just now: then it waits until nobody does.
func (s *server) settled(ctx context.Context) (settings.Files, error) {
	files, err := settings.ReadFiles(s.fs, settingsDir)
	for range 10 {
		if err != nil || files.Same(s.config.Load().files) {
			break
		}
		select {
		case <-ctx.Done():
			return files, ctx.Err()
		case <-time.After(quiet):
		}
		again, err := settings.ReadFiles(s.fs, settingsDir)
		if err != nil || again.Same(files) {
			return again, err
		}
		files = again
	}
	return files, err
}

// shown is what is wrong with files, with their lines.
func shown(err error, files settings.Files) string {
	var problems settings.Problems
	if !errors.As(err, &problems) {
		return err.Error()
	}
	return problems.Show(func(file string) string {
		text, _ := files.Text(filepath.Base(file))
		return text
	})
}

// only says whether all problems are in one file, which has no directory; empty: none is.
func only(err error, file string) bool {
	var problems settings.Problems
	return file != "" && errors.As(err, &problems) &&
		!slices.ContainsFunc(problems, func(p settings.Problem) bool { return filepath.Base(p.File) != file })
}

// misses says whether nothing is wrong with files but that some are gone.
func (s *server) misses(files settings.Files, err error) bool {
	var problems settings.Problems
	return errors.As(err, &problems) && len(problems) == len(files.Gone(s.config.Load().files))
}

// keys are those that take effect later as cgq writes them: smtp.receive.listen.
func keys(later []string) []string {
	all := make([]string, len(later))
	for i, text := range later {
		file, key, _ := strings.Cut(text, ": ")
		all[i] = strings.TrimSuffix(filepath.Base(file), ".toml") + "." + key
	}
	return all
}

// face is what the requests about settings need.
func (s *server) settingsFace() admin.Settings {
	return admin.Settings{
		Live: func() admin.LiveSettings {
			c := s.config.Load()
			return admin.LiveSettings{Standard: defaults().sections(), Sections: c.sections(), Files: c.files, Wrong: s.problems(), Later: keys(s.later(c, s.started))}
		},
		Files:  func() (settings.Files, error) { return settings.ReadFiles(s.fs, settingsDir) },
		Change: s.change,
		Past: func(use func(history.Store) error) error {
			s.reloading.Lock()
			defer s.reloading.Unlock()
			return use(s.past())
		},
	}
}

// recovered does what is left of a change of the settings that a crash has cut short,
// before they are read. If somebody else runs there, that is his affair.
func recovered(base string, store history.Store) error {
	if !store.Pending() {
		return nil
	}
	release, err := lock(base, nil)
	if err != nil {
		return nil // the start will say it, too
	}
	defer release()
	if _, err := store.Recover(); err != nil || os.Geteuid() != 0 {
		return err
	}
	dir := filepath.Join(base, settingsDir)
	st, err := os.Stat(dir)
	if err != nil {
		return err
	}
	owner, ok := st.Sys().(*syscall.Stat_t) // whom root is about to become has to read it
	return filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		if err == nil && ok {
			err = os.Lchown(name, int(owner.Uid), int(owner.Gid))
		}
		return err
	})
}
