package admin_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"cgq/pkg/admin"
	"cgq/pkg/control"
	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/history"
	"cgq/pkg/serverlog"
	"cgq/pkg/settings"
)

// box is a section.
type box struct {
	Size  int      `toml:"size" doc:"how large it is; 1 to 9 (chapter: Box Size)"`
	Words []string `toml:"words" values:"a|b" doc:"what stands on it"`
	Locks []lock   `toml:"lock" doc:"its locks"`
}

type lock struct {
	Name     string `toml:"name" doc:"of the lock"`
	Password string `toml:"password" doc:"that opens it"`
}

func (b *box) Validate() error {
	if b.Size < 1 || b.Size > 9 {
		return fmt.Errorf("size: %d is not in 1 to 9", b.Size)
	}
	return nil
}

// cupboard is a daemon as far as settings go.
type cupboard struct {
	*house
	fs     *crashdisk.Tree
	live   *box
	files  settings.Files
	store  history.Store
	rights []control.Right
}

func newCupboard(t *testing.T, text string) *cupboard {
	t.Helper()
	h, _ := empty(t)
	c := shelf(t, text)
	c.house = h
	s := &admin.Server{Log: h.log, Audit: h.log.Logger("AUDIT"), Settings: c.face(t),
		Access: admin.Access{Rights: func(control.Actor) []control.Right { return c.rights }}}
	h.serve(t, s.Mux(h.log.Logger("ADMIN")))
	return c
}

// shelf is a cupboard that serves nobody.
func shelf(t *testing.T, text string) *cupboard {
	t.Helper()
	c := &cupboard{fs: crashdisk.NewTree(-1), rights: control.Rights()}
	c.store = history.New(c.fs, "S")
	if err := c.fs.Mkdir("S"); err != nil {
		t.Fatal(err)
	}
	if err := settings.Replace(c.fs, "S", "box.toml", text); err != nil {
		t.Fatal(err)
	}
	c.load(t)
	if _, err := c.store.Note(c.files, history.Entry{How: "by hand"}); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *cupboard) face(t *testing.T) admin.Settings {
	return admin.Settings{
		Live: func() admin.LiveSettings {
			return admin.LiveSettings{Standard: []settings.Section{{Name: "box", Value: &box{Size: 5}}},
				Sections: []settings.Section{{Name: "box", Value: c.live}}, Files: c.files, Later: []string{"box.words"}}
		},
		Files: func() (settings.Files, error) { return settings.ReadFiles(c.fs, "S") },
		Past:  func(use func(history.Store) error) error { return use(c.store) },
		Change: func(_ context.Context, o admin.SettingsOrder) (out control.SettingsChanged, err error) {
			next, err := o.Edit(c.files)
			if err != nil {
				return out, err
			}
			is := &box{Size: 5}
			text, _ := next.Text("box.toml")
			if err := settings.Decode("S/box.toml", []byte(text), is); err != nil {
				return out, control.Errorf(control.KindInvalid, "", "%v", err)
			}
			section := settings.Section{Name: "box", Value: &box{Size: 5}}
			for _, d := range section.Compare(c.live, is) {
				out.Changes = append(out.Changes, control.ChangedValue{Key: "box." + d.Key, Before: d.Before, After: d.After})
			}
			if o.DryRun {
				return out, nil
			}
			e, err := c.store.Commit(c.files, next, history.Entry{By: o.Who.Name, How: o.How, Why: o.Why})
			out.Number, out.Files = e.Number, next.Changed(c.files)
			c.load(t)
			return out, err
		}}
}

func (c *cupboard) load(t *testing.T) {
	t.Helper()
	files, err := settings.ReadFiles(c.fs, "S")
	if err != nil {
		t.Fatal(err)
	}
	c.files, c.live = files, &box{Size: 5}
	text, _ := files.Text("box.toml")
	if err := settings.Decode("box.toml", []byte(text), c.live); err != nil {
		t.Fatal(err)
	}
}

func (c *cupboard) text() string {
	text, _ := c.files.Text("box.toml")
	return text
}

const boxText = "# box\nsize = 7 # big\n[[lock]]\nname = 'front'\npassword = 'sesame'\n"

func TestSettingsList(t *testing.T) {
	c := newCupboard(t, boxText)
	list := func(q control.SettingsQuery) (keys []string, all []control.SettingRow, err error) {
		for r, err := range control.SettingsList.Do(t.Context(), c.client, q) {
			if err != nil {
				return keys, all, err
			}
			keys, all = append(keys, r.Key+"="+r.Value), append(all, r)
		}
		return keys, all, nil
	}
	for _, tt := range []struct {
		q    control.SettingsQuery
		want string
	}{
		{control.SettingsQuery{}, "box.size=7 box.words=[] box.lock[1].name=front box.lock[1].password=******"},
		{control.SettingsQuery{Match: "BOX siz"}, "box.size=7"},
		{control.SettingsQuery{Match: "opens"}, "box.lock[1].password=******"},
		{control.SettingsQuery{Keys: []string{"box.words"}}, "box.words=[]"},
		{control.SettingsQuery{Below: []string{"box"}, Match: "name"}, "box.lock[1].name=front"},
		{control.SettingsQuery{Below: []string{"bo"}}, ""},
	} {
		if got, _, err := list(tt.q); err != nil || strings.Join(got, " ") != tt.want {
			t.Errorf("%+v: %q, %v, want %q", tt.q, got, err, tt.want)
		}
	}
	_, all, _ := list(control.SettingsQuery{})
	if r := all[0]; r.Default != "5" || !r.Changed || r.Range != "1 to 9" || r.Chapter != "Box Size" || r.Type != "whole number" || r.Doc != "how large it is; 1 to 9" ||
		r.File != "box.toml" || r.Version != settings.Version(boxText) || r.Restart {
		t.Errorf("%+v", r)
	}
	if r := all[1]; !r.Restart || !slices.Equal(r.Values, []string{"a", "b"}) || r.Changed {
		t.Errorf("%+v", r)
	}
	if _, _, err := list(control.SettingsQuery{Keys: []string{"box.sice"}}); kind(err) != control.KindNoSuchKey || !strings.Contains(err.Error(), "did you mean box.size?") {
		t.Errorf("%v", err)
	}
}

func TestSettingsSet(t *testing.T) {
	c := newCupboard(t, boxText)
	set := func(o control.SettingsOrder) (control.SettingsChanged, error) {
		return control.SettingsSet.Do(t.Context(), c.client, o)
	}
	to := func(assignments ...string) (list []control.Assignment) {
		for _, s := range assignments {
			key, value, _ := strings.Cut(s, "=")
			list = append(list, control.Assignment{Key: key, Value: value})
		}
		return list
	}
	for _, tt := range []struct {
		o    control.SettingsOrder
		kind control.Kind
		says string
	}{
		{control.SettingsOrder{}, control.KindBadRequest, "no key"},
		{control.SettingsOrder{Set: to("size=1")}, control.KindBadRequest, "begins with the section"},
		{control.SettingsOrder{Set: to("box.size=1", "box.size=2")}, control.KindBadRequest, "twice"},
		{control.SettingsOrder{Set: to("bx.size=1")}, control.KindNoSuchKey, "did you mean box.size?"},
		{control.SettingsOrder{Set: to("box.size=1", "box.sise=1")}, control.KindNoSuchKey, "box.sise: unknown key; did you mean size?"},
		{control.SettingsOrder{Unset: []string{"box.sise"}}, control.KindNoSuchKey, "box.sise"},
		{control.SettingsOrder{Set: to("box.size=x", "box.words=a", "box.lock[9].name=y")}, control.KindInvalid, "Settings/box.toml:2: size: \"x\" is not a whole number\n    size = \"x\" # big\n           ^\nSettings/box.toml: lock[9].name: there is no lock[9]"},
		{control.SettingsOrder{Set: to("box.words=a", "box.size=10")}, control.KindInvalid, "S/box.toml:2: size: 10 is not in 1 to 9"},
		{control.SettingsOrder{Set: to("box.size=1"), Version: "0123"}, control.KindConflict, "changed by somebody else"},
		{control.SettingsOrder{Set: to("box.size=1"), Why: strings.Repeat("x", 1000)}, control.KindBadRequest, "be brief"},
	} {
		if out, err := set(tt.o); kind(err) != tt.kind || !strings.Contains(err.Error(), tt.says) || c.text() != boxText {
			t.Errorf("%+v: %+v, %v", tt.o, out, err)
		}
	}
	out, err := set(control.SettingsOrder{Set: to("box.size=8"), DryRun: true, Version: settings.Version(boxText)})
	if err != nil || out.Number != 0 || len(out.Changes) != 1 || c.text() != boxText {
		t.Errorf("%+v, %v", out, err)
	}
	out, err = set(control.SettingsOrder{Set: to("box.lock[1].password=open", "box.size=8"), Unset: []string{"box.lock[1].name"}, Why: "new lock"})
	const want = "# box\nsize = 8 # big\n[[lock]]\npassword = \"open\"\n"
	if err != nil || out.Number != 2 || c.text() != want {
		t.Errorf("%+v, %v: %q", out, err, c.text())
	}
	text := audit(t, c.house)
	for _, line := range []string{"the settings were changed by ", "why=new lock", "setting box.size: 7 -> 8", "setting box.lock[1].password: ****** -> ******"} {
		if !strings.Contains(text, line) {
			t.Errorf("no %q in the audit:\n%s", line, text)
		}
	}
	if strings.Contains(text, "sesame") {
		t.Errorf("a secret in the audit:\n%s", text)
	}
}

// audit is what the log has of AUDIT.
func audit(t *testing.T, h *house) string {
	t.Helper()
	var b strings.Builder
	for l, err := range h.log.Tail(t.Context(), serverlog.Query{Last: 100, Components: []string{"AUDIT"}}) {
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(l.String() + "\n")
	}
	return b.String()
}

func TestSettingsFilesAndHistory(t *testing.T) {
	c := newCupboard(t, boxText)
	ctx := t.Context()
	file, err := control.SettingsFile.Do(ctx, c.client, control.SettingsFileName{Name: "box"})
	if err != nil || file.Name != "box.toml" || file.Text != boxText || file.Version != settings.Version(boxText) {
		t.Fatalf("%+v, %v", file, err)
	}
	if _, err := control.SettingsFile.Do(ctx, c.client, control.SettingsFileName{Name: "../box"}); kind(err) != control.KindNoSuchKey {
		t.Errorf("%v", err)
	}
	file.Text, file.Why = "size = 1\n", "smaller"
	if out, err := control.SettingsReplace.Do(ctx, c.client, file); err != nil || out.Number != 2 || c.text() != "size = 1\n" {
		t.Errorf("%+v, %v", out, err)
	}
	if _, err := control.SettingsReplace.Do(ctx, c.client, file); kind(err) != control.KindConflict {
		t.Errorf("the version is an old one: %v", err)
	}
	var rows []string
	for r, err := range control.SettingsHistory.Do(ctx, c.client, control.Nothing{}) {
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, fmt.Sprint(r.Number, r.How, r.Why, r.Files))
	}
	if got := strings.Join(rows, " "); got != "2 edit smaller [box.toml] 1 by hand  [box.toml]" && got != "2editsmaller[box.toml] 1by hand[box.toml]" {
		t.Errorf("%s", got)
	}
	diff, err := control.SettingsDiff.Do(ctx, c.client, control.SettingsRange{})
	if err != nil || !strings.HasPrefix(diff.Text, "--- Settings/box.toml (change 1)\n+++ Settings/box.toml (now)\n@@ -1,5 +1,1 @@\n-# box\n") {
		t.Errorf("%+v, %v", diff, err)
	}
	if diff, err := control.SettingsDiff.Do(ctx, c.client, control.SettingsRange{From: 2}); err != nil || diff.Text != "" {
		t.Errorf("%+v, %v", diff, err)
	}
	if _, err := control.SettingsDiff.Do(ctx, c.client, control.SettingsRange{From: 1, To: 9}); kind(err) != control.KindNoSuchChange {
		t.Errorf("%v", err)
	}
	out, err := control.SettingsRollback.Do(ctx, c.client, control.SettingsReturn{Number: 1})
	if err != nil || out.Number != 3 || c.text() != boxText {
		t.Errorf("%+v, %v", out, err)
	}
	if _, err := control.SettingsRollback.Do(ctx, c.client, control.SettingsReturn{Number: 9}); kind(err) != control.KindNoSuchChange {
		t.Errorf("%v", err)
	}
	if _, err := control.SettingsRollback.Do(ctx, c.client, control.SettingsReturn{}); kind(err) != control.KindBadRequest {
		t.Errorf("%v", err)
	}
}

// Who has the right settings gives nobody rights with it.
func TestRightsAreGivenByWhoHasAll(t *testing.T) {
	c := newCupboard(t, boxText)
	if err := settings.Replace(c.fs, "S", "access.toml", "# nobody\n"); err != nil {
		t.Fatal(err)
	}
	c.load(t)
	file, err := control.SettingsFile.Do(t.Context(), c.client, control.SettingsFileName{Name: "access"})
	if err != nil {
		t.Fatal(err)
	}
	file.Text = "# me\n"
	c.rights = []control.Right{control.Settings, control.Monitor}
	if _, err := control.SettingsReplace.Do(t.Context(), c.client, file); kind(err) != control.KindNoRight {
		t.Errorf("with the right settings: %v", err)
	}
	if _, err := control.SettingsRollback.Do(t.Context(), c.client, control.SettingsReturn{Number: 1}); kind(err) != control.KindNoRight {
		t.Errorf("rolled back with the right settings: %v", err)
	}
	if text, _ := c.files.Text("access.toml"); text != "# nobody\n" {
		t.Errorf("it is %q", text)
	}
	c.rights = control.Rights()
	if out, err := control.SettingsReplace.Do(t.Context(), c.client, file); err != nil || out.Number == 0 {
		t.Errorf("with all rights: %+v, %v", out, err)
	}
}
