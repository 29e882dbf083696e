package admin

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path"
	"slices"
	"strings"

	"cgq/pkg/control"
	"cgq/pkg/history"
	"cgq/pkg/near"
	"cgq/pkg/serverlog"
	"cgq/pkg/settings"
)

// Settings is what the requests about settings need of the daemon.
type Settings struct {
	Live   func() LiveSettings
	Files  func() (settings.Files, error) // as they are on the disk
	Change func(context.Context, SettingsOrder) (control.SettingsChanged, error)
	Past   func(func(history.Store) error) error // the history, which nobody changes meanwhile
}

// LiveSettings are those that are applied.
type LiveSettings struct {
	Standard []settings.Section // with the defaults
	Sections []settings.Section // with the values; in the same order
	Files    settings.Files
	Wrong    settings.Problems // why the files are not applied as they are on the disk
	Later    []string          // keys that take effect at the next start
}

// A SettingsOrder is a change of the files of settings that somebody asks for.
type SettingsOrder struct {
	Who      control.Actor
	How, Why string
	Whole    string // the file that is replaced, whatever is in it
	Back     bool   // files that are gone come back as they were
	DryRun   bool
	// Edit makes other files of those that there are. It may be called again, with others.
	Edit func(settings.Files) (settings.Files, error)
}

func (s *Server) settingsMux(m *control.Mux) {
	control.HandleRows(m, control.SettingsList, s.settingsList)
	control.Handle(m, control.SettingsSet, s.settingsSet)
	control.Handle(m, control.SettingsFile, s.settingsFile)
	control.Handle(m, control.SettingsReplace, s.settingsReplace)
	control.HandleRows(m, control.SettingsHistory, s.settingsHistory)
	control.Handle(m, control.SettingsDiff, s.settingsDiff)
	control.Handle(m, control.SettingsRollback, s.settingsRollback)
}

// rows are all keys.
func (l LiveSettings) rows() (all []control.SettingRow) {
	for i, standard := range l.Standard {
		file := standard.Name + ".toml"
		text, _ := l.Files.Text(file)
		version := settings.Version(text)
		wrong := l.wrong(file)
		for _, k := range standard.Keys(l.Sections[i].Value) {
			key := standard.Name + "." + k.Key
			all = append(all, control.SettingRow{Key: key, Value: k.Veil(), Default: k.Default, Changed: k.Changed,
				Restart: l.waits(key), Type: k.Type, Unit: k.Unit, Range: k.Range, Values: k.Values, Chapter: k.Chapter,
				File: file, Version: version, Wrong: wrong, Doc: k.Doc})
		}
	}
	return all
}

// wrong is why a file is not applied: what is wrong with it, or with another, since all are or none.
func (l LiveSettings) wrong(file string) string {
	if l.Wrong.Absent() {
		return "" // they count
	}
	for _, p := range l.Wrong {
		if path.Base(p.File) == file {
			return p.Error()
		}
	}
	if len(l.Wrong) > 0 {
		return l.Wrong[0].Error()
	}
	return ""
}

// waits says whether a key, or the table that it is in, takes effect at the next start.
func (l LiveSettings) waits(key string) bool {
	return slices.ContainsFunc(l.Later, func(later string) bool { return key == later || strings.HasPrefix(key, later+".") })
}

func (s *Server) settingsList(_ context.Context, _ control.Actor, in control.SettingsQuery) iter.Seq2[control.SettingRow, error] {
	return func(yield func(control.SettingRow, error) bool) {
		rows := s.Settings.Live().rows()
		for _, key := range in.Keys {
			if !slices.ContainsFunc(rows, func(r control.SettingRow) bool { return r.Key == key }) {
				yield(control.SettingRow{}, noSuchKey(key, rows))
				return
			}
		}
		for _, r := range rows {
			if matches(in, r) && !yield(r, nil) {
				return
			}
		}
	}
}

// matches says whether a key is wanted.
func matches(in control.SettingsQuery, r control.SettingRow) bool {
	below := func(table string) bool { return r.Key == table || strings.HasPrefix(r.Key, table+".") }
	if len(in.Keys) > 0 && !slices.Contains(in.Keys, r.Key) || len(in.Below) > 0 && !slices.ContainsFunc(in.Below, below) {
		return false
	}
	piece := strings.ToLower(in.Match)
	return slices.ContainsFunc([]string{r.Key, r.Chapter, r.Doc}, func(s string) bool { return strings.Contains(strings.ToLower(s), piece) })
}

// noSuchKey names what is near.
func noSuchKey(key string, rows []control.SettingRow) error {
	best, least := "", 4
	for _, r := range rows {
		_, name, _ := cutLast(r.Key)
		_, wanted, _ := cutLast(key)
		if d := near.Distance(key, r.Key); d < least {
			best, least = r.Key, d
		} else if best == "" && name == wanted {
			best = r.Key
		}
	}
	within := slices.IndexFunc(rows, func(r control.SettingRow) bool { return strings.Contains(r.Key, strings.ToLower(key)) })
	hint := "cgq settings list shows all"
	switch {
	case best != "":
		hint = "did you mean " + best + "?"
	case within >= 0 && key != "":
		hint = "cgq settings list " + key + " shows those with that in them, such as " + rows[within].Key
	}
	return control.Errorf(control.KindNoSuchKey, hint, "no setting %q", key)
}

func cutLast(key string) (before, after string, found bool) {
	if i := strings.LastIndexByte(key, '.'); i >= 0 {
		return key[:i], key[i+1:], true
	}
	return "", key, false
}

func (s *Server) settingsSet(ctx context.Context, who control.Actor, in control.SettingsOrder) (control.SettingsChanged, error) {
	edits, err := s.edits(in)
	if err != nil {
		return control.SettingsChanged{}, err
	}
	if len(edits) > 1 && in.Version != "" {
		return control.SettingsChanged{}, control.Errorf(control.KindBadRequest, "change one section at a time", "a version is that of one file")
	}
	order := SettingsOrder{Who: who, How: "set", Why: in.Why, DryRun: in.DryRun, Edit: func(files settings.Files) (settings.Files, error) {
		var wrong settings.Problems
		for i := range edits {
			next, err := edits[i].apply(files, in.Version)
			problems, ok := errors.AsType[settings.Problems](err)
			if err != nil && !ok {
				return files, err
			}
			wrong, files = append(wrong, problems...), next
		}
		if len(wrong) > 0 {
			return files, control.Errorf(control.KindInvalid, "nothing was changed", "%s", wrong.Show(func(file string) string {
				text, _ := files.Text(path.Base(file))
				return text
			}))
		}
		return files, nil
	}}
	return s.changeSettings(ctx, order)
}

// sectionEdits are the edits of one section.
type sectionEdits struct {
	section settings.Section
	edits   []settings.Edit
}

// edits puts what is asked for in order, a section at a time.
func (s *Server) edits(in control.SettingsOrder) (all []sectionEdits, err error) {
	live := s.Settings.Live()
	add := func(key, value string, unset bool) error {
		name, rest, err := settings.SplitKey(key)
		if err != nil {
			return control.Errorf(control.KindBadRequest, "", "%v", err)
		}
		i := slices.IndexFunc(live.Standard, func(section settings.Section) bool { return section.Name == name })
		if i < 0 {
			return noSuchKey(key, live.rows())
		}
		if err := live.Standard[i].Has(rest); err != nil {
			return control.Errorf(control.KindNoSuchKey, "cgq settings list shows all", "%s.%v", name, err)
		}
		n := slices.IndexFunc(all, func(e sectionEdits) bool { return e.section.Name == name })
		if n < 0 {
			n, all = len(all), append(all, sectionEdits{section: live.Standard[i]})
		}
		if slices.ContainsFunc(all[n].edits, func(e settings.Edit) bool { return e.Key == rest }) {
			return control.Errorf(control.KindBadRequest, "give each once", "%s is there twice", key)
		}
		all[n].edits = append(all[n].edits, settings.Edit{Key: rest, Value: value, Unset: unset})
		return nil
	}
	for _, a := range in.Set {
		if err := add(a.Key, a.Value, false); err != nil {
			return nil, err
		}
	}
	for _, key := range in.Unset {
		if err := add(key, "", true); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// apply edits the file of the section, if it has the version still; empty: any. Beside
// [settings.Problems] are the files that they are shown in.
func (e sectionEdits) apply(files settings.Files, version string) (settings.Files, error) {
	name := e.section.Name + ".toml"
	text, there := files.Text(name)
	if err := hasVersion(name, text, there, version); version != "" && err != nil {
		return files, err
	}
	next, err := e.section.Edit([]byte(text), e.edits...)
	if problems, ok := errors.AsType[settings.Problems](err); ok {
		for i := range problems {
			problems[i].File = path.Join("Settings", problems[i].File)
		}
	}
	if string(next) == text {
		return files, err
	}
	return files.With(name, string(next)), err
}

func hasVersion(name, text string, there bool, version string) error {
	is := ""
	if there {
		is = settings.Version(text)
	}
	if is == version {
		return nil
	}
	return control.Errorf(control.KindConflict, "look at it again; nothing was changed",
		"Settings/%s was changed by somebody else meanwhile", name)
}

// changeSettings has a change done, and puts it on record.
func (s *Server) changeSettings(ctx context.Context, o SettingsOrder) (control.SettingsChanged, error) {
	o.Edit = s.guarded(o.Who, o.Edit)
	out, err := s.Settings.Change(ctx, o)
	if err != nil || out.Number == 0 {
		return out, err
	}
	attrs := []any{"change", out.Number, "how", o.How, "files", strings.Join(out.Files, " "), "uid", o.Who.UID, "pid", o.Who.PID}
	if o.Why != "" {
		attrs = append(attrs, "why", o.Why)
	}
	s.Audit.Log(ctx, serverlog.Major, "the settings were changed by "+o.Who.Name, attrs...)
	for _, c := range out.Changes {
		s.Audit.Log(ctx, serverlog.Major, fmt.Sprintf("setting %s: %s -> %s", c.Key, c.Before, c.After), "change", out.Number, "by", o.Who.Name)
	}
	return out, nil
}

// accessFile says who may do what.
const accessFile = "access.toml"

// guarded lets nobody give rights who has not all of them: he would give himself the rest.
func (s *Server) guarded(who control.Actor, edit func(settings.Files) (settings.Files, error)) func(settings.Files) (settings.Files, error) {
	return func(files settings.Files) (settings.Files, error) {
		next, err := edit(files)
		all := !slices.ContainsFunc(control.Rights(), func(r control.Right) bool { return !who.Has(r) })
		if err == nil && !all && slices.Contains(next.Changed(files), accessFile) {
			s.Refused(who, "Settings/"+accessFile, control.Right("all"))
			err = control.Errorf(control.KindNoRight, "nothing was changed", "who changes Settings/%s has to have all rights; user %s has not", accessFile, who.Name)
		}
		return next, err
	}
}

// fileName is the file that is meant by queue, queue.toml or router.txt.
func (s *Server) fileName(name string) (string, error) {
	for _, section := range s.Settings.Live().Standard {
		if name == section.Name || name == section.Name+".toml" {
			return section.Name + ".toml", nil
		}
	}
	files, err := s.Settings.Files()
	if err != nil {
		return "", err
	}
	for _, there := range files.Names() {
		if there == name || there == name+".txt" || there == name+".toml" {
			return there, nil
		}
	}
	return "", control.Errorf(control.KindNoSuchKey, "there are "+strings.Join(s.settingsNames(files), ", "), "no file of settings %q", name)
}

func (s *Server) settingsNames(files settings.Files) []string {
	names := files.Names()
	for _, section := range s.Settings.Live().Standard {
		names = append(names, section.Name+".toml")
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (s *Server) settingsFile(_ context.Context, _ control.Actor, in control.SettingsFileName) (control.SettingsText, error) {
	out := control.SettingsText{}
	name, err := s.fileName(in.Name)
	if err != nil {
		return out, err
	}
	files, err := s.Settings.Files()
	if err != nil {
		return out, err
	}
	out.Name = name
	if text, there := files.Text(name); there {
		out.Text, out.Version = text, settings.Version(text)
	} else {
		out.Text = s.template(name)
	}
	return out, nil
}

// template is what a file that is not there would have: the defaults, explained.
func (s *Server) template(name string) string {
	for _, section := range s.Settings.Live().Standard {
		if section.Name+".toml" != name {
			continue
		}
		if text, err := section.Document(); err == nil {
			return text
		}
	}
	return ""
}

func (s *Server) settingsReplace(ctx context.Context, who control.Actor, in control.SettingsText) (control.SettingsChanged, error) {
	name, err := s.fileName(in.Name)
	if err != nil {
		return control.SettingsChanged{}, err
	}
	return s.changeSettings(ctx, SettingsOrder{Who: who, How: "edit", Why: in.Why, Whole: name, DryRun: in.DryRun,
		Edit: func(files settings.Files) (settings.Files, error) {
			text, there := files.Text(name)
			if err := hasVersion(name, text, there, in.Version); err != nil {
				return files, err
			}
			return files.With(name, in.Text), nil
		}})
}

func (s *Server) settingsHistory(context.Context, control.Actor, control.Nothing) iter.Seq2[control.SettingsChange, error] {
	return func(yield func(control.SettingsChange, error) bool) {
		all, err := s.entries()
		if err != nil {
			yield(control.SettingsChange{}, err)
			return
		}
		for _, e := range slices.Backward(all) {
			row := control.SettingsChange{Number: e.Number, At: e.At, By: e.By, How: e.How, Why: e.Why, Changes: []control.ChangedValue{}}
			for _, d := range e.Changes {
				row.Changes = append(row.Changes, control.ChangedValue(d))
			}
			for name := range e.Files {
				row.Files = append(row.Files, name)
			}
			slices.Sort(row.Files)
			if !yield(row, nil) {
				return
			}
		}
	}
}

func (s *Server) entries() (all []history.Entry, err error) {
	err = s.Settings.Past(func(past history.Store) error {
		all, err = past.Entries()
		return err
	})
	return all, err
}

// after are the files after a change.
func (s *Server) after(number int) (files settings.Files, err error) {
	err = s.Settings.Past(func(past history.Store) error {
		all, err := past.Entries()
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(e history.Entry) bool { return e.Number == number })
		if i < 0 {
			return control.Errorf(control.KindNoSuchChange, "cgq settings history shows those that are remembered", "no change %d", number)
		}
		files, err = past.Files(all[i])
		return err
	})
	return files, err
}

func (s *Server) settingsDiff(_ context.Context, _ control.Actor, in control.SettingsRange) (control.SettingsDifference, error) {
	out := control.SettingsDifference{Files: []string{}}
	if in.From == 0 {
		all, err := s.entries()
		if err != nil {
			return out, err
		}
		if len(all) < 2 {
			return out, control.Errorf(control.KindNoSuchChange, "", "the settings have not been changed yet")
		}
		in.From = all[len(all)-2].Number
	}
	before, err := s.after(in.From)
	if err != nil {
		return out, err
	}
	after, to := settings.Files{}, "now"
	if in.To > 0 {
		to = fmt.Sprint("change ", in.To)
		after, err = s.after(in.To)
	} else {
		after, err = s.Settings.Files()
	}
	if err != nil {
		return out, err
	}
	for _, name := range after.Changed(before) {
		was, _ := before.Text(name)
		is, _ := after.Text(name)
		out.Files = append(out.Files, name)
		out.Text += history.Diff(fmt.Sprintf("Settings/%s (change %d)", name, in.From), fmt.Sprintf("Settings/%s (%s)", name, to), was, is)
	}
	return out, nil
}

func (s *Server) settingsRollback(ctx context.Context, who control.Actor, in control.SettingsReturn) (control.SettingsChanged, error) {
	files, err := s.after(in.Number)
	if err != nil {
		return control.SettingsChanged{}, err
	}
	return s.changeSettings(ctx, SettingsOrder{Who: who, How: fmt.Sprint("rollback to ", in.Number), Why: in.Why, Back: true, DryRun: in.DryRun,
		Edit: func(settings.Files) (settings.Files, error) { return files, nil }})
}
