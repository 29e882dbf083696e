package server

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"cgq/pkg/admin"
	"cgq/pkg/control"
	"cgq/pkg/settings"
)

var update = flag.Bool("update", false, "write the files that are made from the code")

// The reference is made of the code: who changes a doc makes it again.
func TestTheReferenceIsUpToDate(t *testing.T) {
	for name, want := range map[string]string{"settings.md": reference(), "man/cgqd-settings.5": settingsPage()} {
		file := filepath.Join("../../docs", name)
		if *update {
			if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != want {
			t.Errorf("%s is not what the code says (%v): make docs", file, err)
		}
	}
}

// Every key says what it does, and a value that is listed can be used.
func TestEveryKeyIsDocumented(t *testing.T) {
	sections := defaults().sections()
	for i, s := range sections {
		if s.Doc == "" {
			t.Errorf("section %s has no Doc", s.Name)
		}
		for _, k := range s.Schema() {
			if k.Doc == "" {
				t.Errorf("%s.%s has no doc", s.Name, k.Key)
			}
			for _, value := range k.Values {
				if strings.ContainsAny(k.Key, "[N") {
					continue
				}
				text, err := s.Edit(nil, settings.Edit{Key: k.Key, Value: value})
				if err == nil {
					err = settings.Decode(s.Name+".toml", text, defaults().sections()[i].Value)
				}
				if err != nil {
					t.Errorf("%s.%s = %s: %v", s.Name, k.Key, value, err)
				}
			}
		}
	}
}

// What is shown of the defaults sets the defaults.
func TestDefaultsCanBeSet(t *testing.T) {
	for i, s := range defaults().sections() {
		document, err := s.Document()
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range s.Keys(s.Value) {
			text, err := s.Edit([]byte(document), settings.Edit{Key: k.Key, Value: k.Value})
			value := defaults().sections()[i].Value
			if err == nil {
				err = settings.Decode(s.Name+".toml", text, value)
			}
			if changed := s.Compare(s.Value, value); err != nil || len(changed) > 0 {
				t.Errorf("%s.%s = %s: %v, %v", s.Name, k.Key, k.Value, err, changed)
			}
		}
	}
}

// setting is an order to set one key.
func setting(name, key, value string) admin.SettingsOrder {
	return admin.SettingsOrder{Who: control.Actor{Name: "ann", UID: 7}, How: "set", Edit: func(files settings.Files) (settings.Files, error) {
		for _, s := range defaults().sections() {
			if s.Name == name {
				text, _ := files.Text(name + ".toml")
				next, err := s.Edit([]byte(text), settings.Edit{Key: key, Value: value})
				return files.With(name+".toml", string(next)), err
			}
		}
		return files, errors.New("no section")
	}}
}

func (s *server) delay() time.Duration { return s.config.Load().Queue.Dequeuer.ReportingDelay.D() }

func TestAChangeIsAppliedAndRemembered(t *testing.T) {
	s, file := ruledServer(t)
	queue := filepath.Join(filepath.Dir(file), "queue.toml")
	before, _ := os.ReadFile(queue)
	dry := setting("queue", "dequeuer.reporting_delay", "2h")
	dry.DryRun = true
	out, err := s.change(t.Context(), dry)
	if now, _ := os.ReadFile(queue); err != nil || out.Number != 0 || len(out.Changes) != 1 || string(now) != string(before) || s.delay() != time.Minute {
		t.Fatalf("dry run: %+v, %v", out, err)
	}
	out, err = s.change(t.Context(), setting("queue", "dequeuer.reporting_delay", "2h"))
	want := []control.ChangedValue{{Key: "queue.dequeuer.reporting_delay", Before: "1m", After: "2h"}}
	if err != nil || !reflect.DeepEqual(out.Changes, want) || s.delay() != 2*time.Hour || len(out.Later) != 0 {
		t.Fatalf("%+v, %v, %s", out, err, s.delay())
	}
	now, _ := os.ReadFile(queue)
	if got := strings.Replace(string(now), `reporting_delay = "2h"`, `reporting_delay = "1m"`, 1); got != string(before) {
		t.Errorf("the file is\n%s", now)
	}
	if out, err = s.change(t.Context(), setting("queue", "journal.durable", "false")); err != nil || len(out.Later) != 1 || out.Later[0] != "queue.journal.durable" {
		t.Errorf("%+v, %v", out, err)
	}
	all, err := s.past().Entries()
	if err != nil || len(all) != 2 || all[0].By != "ann" || all[0].UID != 7 || all[0].Changes[0].After != "2h" {
		t.Errorf("%+v, %v", all, err)
	}
	if out, err = s.change(t.Context(), setting("queue", "journal.durable", "false")); err != nil || out.Number != 0 || len(out.Files) != 0 {
		t.Errorf("nothing is different: %+v, %v", out, err)
	}
}

func TestWrongValuesChangeNothing(t *testing.T) {
	s, file := ruledServer(t)
	queue := filepath.Join(filepath.Dir(file), "queue.toml")
	before, _ := os.ReadFile(queue)
	_, err := s.change(t.Context(), setting("queue", "dequeuer.reporting_delay", "25h"))
	e, ok := errors.AsType[*control.Error](err)
	if now, _ := os.ReadFile(queue); !ok || e.Kind != control.KindInvalid || string(now) != string(before) || s.delay() != time.Minute {
		t.Fatalf("%v, %s", err, s.delay())
	}
	lines := strings.Split(e.Text, "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "Settings/queue.toml:") || !strings.Contains(lines[0], ": dequeuer.reporting_delay: 1d1h is not between") ||
		lines[1] != `    reporting_delay = "25h"` || lines[2] != "                      ^" {
		t.Errorf("it says\n%s", e.Text)
	}
}

// Whoever edits by hand loses nothing to who changes by request, and the other way round.
func TestEditsByHandAndChangesMeet(t *testing.T) {
	s, file := ruledServer(t)
	dir := filepath.Dir(file)
	queue := filepath.Join(dir, "queue.toml")
	text, _ := os.ReadFile(queue)
	write(t, queue, "# by hand\n"+strings.Replace(string(text), "hop_counter_limit = ", "hop_counter_limit = 9 # ", 1))
	if _, err := s.change(t.Context(), setting("queue", "dequeuer.reporting_delay", "2h")); err != nil {
		t.Fatal(err)
	}
	now, _ := os.ReadFile(queue)
	if s.delay() != 2*time.Hour || s.config.Load().Queue.Enqueuer.HopCounterLimit != 9 || !strings.HasPrefix(string(now), "# by hand\n") {
		t.Fatalf("one of them is lost:\n%s", now)
	}
	all, err := s.past().Entries()
	if err != nil || len(all) != 2 || all[0].How != "by hand" || all[0].By != "" || all[0].Changes[0].Key != "queue.enqueuer.hop_counter_limit" {
		t.Errorf("%+v, %v", all, err)
	}
	// one that is wrong is not written over, not even by a change of another file
	write(t, queue, string(now)+"x = 1\n")
	for _, o := range []admin.SettingsOrder{setting("queue", "dequeuer.reporting_delay", "3h"), setting("log", "level", "4")} {
		_, err := s.change(t.Context(), o)
		e, ok := errors.AsType[*control.Error](err)
		if is, _ := os.ReadFile(queue); !ok || e.Kind != control.KindConflict || string(is) != string(now)+"x = 1\n" || s.delay() != 2*time.Hour {
			t.Errorf("%v", err)
		}
	}
	// which the whole file may replace that somebody else has looked at
	o := admin.SettingsOrder{Who: control.Actor{Name: "ann"}, How: "edit", Whole: "queue.toml",
		Edit: func(f settings.Files) (settings.Files, error) { return f.With("queue.toml", string(now)), nil }}
	if _, err := s.change(t.Context(), o); err != nil {
		t.Error(err)
	}
	// somebody who writes again and again is not written over
	ctx := context.Background()
	n := 0
	o = setting("log", "level", "4")
	edit := o.Edit
	o.Edit = func(f settings.Files) (settings.Files, error) {
		n++
		write(t, filepath.Join(dir, "log.toml"), strings.Repeat("#\n", n)+"level = \"2\"\n")
		return edit(f)
	}
	_, err = s.change(ctx, o)
	if e, ok := errors.AsType[*control.Error](err); !ok || e.Kind != control.KindConflict || n != tries {
		t.Errorf("%d tries, %v", n, err)
	}
	if is, _ := os.ReadFile(filepath.Join(dir, "log.toml")); !strings.Contains(string(is), `level = "2"`) {
		t.Errorf("log.toml is %s", is)
	}
}

func TestEditsByHandAreNoticed(t *testing.T) {
	s, file := ruledServer(t)
	s.base = filepath.Dir(filepath.Dir(file))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { s.watch(ctx); close(ended) }()
	defer func() { stop(); <-ended }()
	queue := filepath.Join(filepath.Dir(file), "queue.toml")
	text, _ := os.ReadFile(queue)
	edit := func(delay string) {
		tmp := filepath.Join(filepath.Dir(file), "queue.toml~")
		write(t, tmp, strings.Replace(string(text), `reporting_delay = "1m"`, `reporting_delay = "`+delay+`"`, 1))
		if err := os.Rename(tmp, queue); err != nil { // as editors do
			t.Fatal(err)
		}
	}
	until := func(want time.Duration) {
		t.Helper()
		for begin := time.Now(); s.delay() != want; time.Sleep(5 * time.Millisecond) {
			if time.Since(begin) > 20*time.Second {
				t.Fatalf("it is %s, not %s", s.delay(), want)
			}
			if want == time.Hour {
				edit("1h") // whenever it begins to watch
				time.Sleep(500 * time.Millisecond)
			}
		}
	}
	edit("1h")
	until(time.Hour)
	edit("25h") // wrong
	s.rescan()
	if s.delay() != time.Hour {
		t.Error("a wrong value is applied")
	}
	edit("3h") // the second time: an editor has replaced the file
	until(3 * time.Hour)
}

// What is wrong in a file is said as long as it is.
func TestWrongFilesAreTold(t *testing.T) {
	s, file := ruledServer(t)
	queue := filepath.Join(filepath.Dir(file), "queue.toml")
	text, _ := os.ReadFile(queue)
	s.started = s.config.Load()
	face := s.settingsFace()
	says := func(want string) {
		t.Helper()
		health, live := s.problems().Error(), face.Live().Wrong.Error()
		if health != live || want == "" && health != "" || !strings.HasPrefix(health, want) {
			t.Errorf("it says %q and %q, want %q", health, live, want)
		}
	}
	says("")
	write(t, queue, "x = 1\n"+string(text))
	s.rescan()
	s.rescan()
	says("Settings/queue.toml:1: x: unknown key")
	write(t, queue, "y = 1\n"+string(text))
	s.reload()
	says("Settings/queue.toml:1: y: unknown key")
	write(t, queue, string(text)) // as it was
	s.rescan()
	says("")
	write(t, queue, "x = 1\n"+string(text))
	s.rescan()
	write(t, queue, "# y\n"+string(text))
	s.reload()
	says("")
}

// Who moves a file away for a moment, as editors do, does not get the defaults.
func TestAFileThatIsGoneStillCounts(t *testing.T) {
	s, file := ruledServer(t)
	local := filepath.Join(filepath.Dir(file), "local.toml")
	text, _ := os.ReadFile(local)
	s.remember(s.config.Load(), nil, "found at the start")
	gone := func() {
		t.Helper()
		if err := os.Remove(local); err != nil {
			t.Fatal(err)
		}
		s.rescan()
		if d := s.config.Load().Local.Domains; len(d) != 1 || len(s.problems()) != 1 || s.problems()[0].File != "Settings/local.toml" {
			t.Fatalf("domains %q, %v", d, s.problems())
		}
	}
	gone()
	for _, o := range []admin.SettingsOrder{setting("local", "channels", "7"), setting("log", "level", "4")} {
		_, err := s.change(t.Context(), o)
		if e, ok := errors.AsType[*control.Error](err); !ok || e.Kind != control.KindConflict || !strings.Contains(e.Text, "local.toml: it is gone") {
			t.Errorf("%v", err)
		}
	}
	write(t, local, string(text))
	s.rescan()
	if len(s.problems()) > 0 {
		t.Error(s.problems())
	}
	gone()
	was := s.config.Load().files
	back := admin.SettingsOrder{How: "rollback to 1", Back: true, Edit: func(settings.Files) (settings.Files, error) { return was, nil }}
	if out, err := s.change(t.Context(), back); err != nil || out.Number == 0 {
		t.Errorf("%+v, %v", out, err)
	}
	if now, err := os.ReadFile(local); err != nil || string(now) != string(text) || len(s.problems()) > 0 {
		t.Errorf("%v, %v", err, s.problems())
	}
	gone()
	s.reload() // somebody means it
	if d := s.config.Load().Local.Domains; len(d) != 0 || len(s.problems()) > 0 {
		t.Errorf("domains %q, %v", d, s.problems())
	}
}

// What the machine lacked at the start is looked for again, and counts when it is there.
func TestWhatWasLackingIsFound(t *testing.T) {
	s, _ := ruledServer(t)
	gone := settings.Problems{{File: "Settings/access.toml", Why: "there is no user", Absent: true}}
	s.config.Load().lacks = gone
	if p := s.problems(); len(p) != 1 || !p.Absent() {
		t.Errorf("it lacks %v", p)
	}
	s.refuse(gone) // SIGHUP, and he is still not there
	if p := s.problems(); len(p) != 1 || p.Absent() {
		t.Errorf("what is refused is no lack, the old settings count: %v", p)
	}
	s.rescan()
	if p := s.problems(); len(p) > 0 {
		t.Errorf("it still lacks %v", p)
	}
}
