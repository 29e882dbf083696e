package cli

import (
	"context"
	"iter"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"cgq/pkg/control"
)

// adjusted is what a daemon knows of settings, and what it was asked.
type adjusted struct {
	settings []control.SettingRow
	history  []control.SettingsChange
	outcomes []error // of replacements, in their order; then they are done
	query    control.SettingsQuery
	set      []control.SettingsOrder
	replaced []control.SettingsText
	ranges   []control.SettingsRange
	returned []control.SettingsReturn
}

func fullSettings() adjusted {
	return adjusted{
		settings: []control.SettingRow{
			{Key: "queue.dequeuer.reporting_delay", Value: "1h", Default: "1m", Changed: true, Type: "length of time", Unit: "s, m, h, d, w",
				Range: "0s to 24h", Chapter: "Reporting Delay", File: "queue.toml", Version: "0123456789abcdef", Doc: "how long a report waits"},
			{Key: "queue.dequeuer.on_failure_return", Value: "headers by default", Default: "headers by default", Type: "text",
				Values: []string{"headers by default", "always body"}, Chapter: "On Failure, Return", File: "queue.toml", Version: "0123456789abcdef", Doc: "how much goes back"},
			{Key: "smtp.receive.listen", Value: hostile, Default: "127.0.0.1:2525", Changed: true, Restart: true, Type: "list of texts", File: "smtp.toml", Doc: "addresses"},
		},
		history: []control.SettingsChange{
			{Number: 17, At: now.Add(-time.Minute), By: "ann", How: "set", Why: hostile, Files: []string{"queue.toml"},
				Changes: []control.ChangedValue{{Key: "queue.dequeuer.reporting_delay", Before: "1m", After: "1h"}}},
			{Number: 16, At: now.Add(-time.Hour), How: "by hand", Changes: []control.ChangedValue{}, Files: []string{"queue.toml"}},
		},
	}
}

func (d *daemon) handleSettings(m *control.Mux) {
	changed := control.SettingsChanged{Number: 18, Changes: []control.ChangedValue{{Key: "queue.dequeuer.reporting_delay", Before: "1m", After: "1h"}}, Files: []string{"queue.toml"}, Later: []string{"smtp.receive.listen"}}
	control.HandleRows(m, control.SettingsList, func(_ context.Context, _ control.Actor, in control.SettingsQuery) iter.Seq2[control.SettingRow, error] {
		d.query = in
		var rows []control.SettingRow
		for _, r := range d.settings {
			if (len(in.Keys) == 0 || in.Keys[0] == r.Key) && (len(in.Below) == 0 || strings.HasPrefix(r.Key, in.Below[0]+".")) {
				rows = append(rows, r)
			}
		}
		if len(rows) == 0 && len(in.Keys) > 0 {
			return stream(rows, control.Errorf(control.KindNoSuchKey, "did you mean x?", "no setting %q", in.Keys[0]))
		}
		return stream(rows, d.err)
	})
	control.Handle(m, control.SettingsSet, func(_ context.Context, _ control.Actor, in control.SettingsOrder) (control.SettingsChanged, error) {
		d.set = append(d.set, in)
		return changed, d.err
	})
	control.Handle(m, control.SettingsFile, func(_ context.Context, _ control.Actor, in control.SettingsFileName) (control.SettingsText, error) {
		if in.Name == "rules" {
			return control.SettingsText{Name: "rules.toml", Version: "v2"}, d.err
		}
		name, known := map[string]string{"queue": "queue.toml", "smtp": "smtp.toml", "router.txt": "router.txt"}[in.Name]
		if !known {
			return control.SettingsText{}, control.Errorf(control.KindNoSuchKey, "there are queue.toml", "no file of settings %q", in.Name)
		}
		return control.SettingsText{Name: name, Text: "# a\n", Version: "v1"}, d.err
	})
	control.Handle(m, control.SettingsReplace, func(_ context.Context, _ control.Actor, in control.SettingsText) (control.SettingsChanged, error) {
		d.replaced = append(d.replaced, in)
		if n := len(d.replaced); n <= len(d.outcomes) {
			return changed, d.outcomes[n-1]
		}
		return changed, d.err
	})
	control.HandleRows(m, control.SettingsHistory, func(context.Context, control.Actor, control.Nothing) iter.Seq2[control.SettingsChange, error] {
		return stream(d.history, d.err)
	})
	control.Handle(m, control.SettingsDiff, func(_ context.Context, _ control.Actor, in control.SettingsRange) (control.SettingsDifference, error) {
		d.ranges = append(d.ranges, in)
		return control.SettingsDifference{Text: "--- a\n+++ b\n@@ -1,1 +1,1 @@\n-x\n+" + strings.ReplaceAll(hostile, "\n", "") + "\n", Files: []string{"queue.toml"}}, d.err
	})
	control.Handle(m, control.SettingsRollback, func(_ context.Context, _ control.Actor, in control.SettingsReturn) (control.SettingsChanged, error) {
		d.returned = append(d.returned, in)
		return changed, d.err
	})
}

func TestSettingsCommandsAsk(t *testing.T) {
	d := full()
	base := d.serve(t)
	for _, line := range []string{"settings set queue.dequeuer.reporting_delay=2h queue.a=b=c -m why --dry-run", "settings unset queue.x queue.y",
		"dequeuer set reporting_delay=3h", "settings diff", "settings diff 3", "settings diff 3 4", "settings rollback 16 -m no", "settings list delay"} {
		if got := cgq(t, base, nil, strings.Fields(line)...); got.status != exitDone {
			t.Errorf("%s: %+v", line, got)
		}
	}
	for _, args := range [][]string{{"enqueuer", "set", "Hop Counter Limit=30"}, {"dequeuer", "set", "On Failure, Return=always body", "Send Return-Receipts to=nobody"}} {
		if got := cgq(t, base, nil, args...); got.status != exitDone {
			t.Error(got)
		}
	}
	for _, line := range []string{"settings set queue.x=1 -o csv --columns nothing", "settings rollback 16 --columns nothing"} {
		if got := cgq(t, base, nil, strings.Fields(line)...); got.status != exitUsage || len(d.returned) > 1 {
			t.Errorf("%s: %+v", line, got)
		}
	}
	got := cgq(t, base, func(a *app) { a.in = strings.NewReader("[[rule]]\n") }, "rules", "set", "-", "-m", "why")
	if sent := d.replaced; got.status != exitDone || len(sent) != 1 || sent[0] != (control.SettingsText{Name: "rules.toml", Text: "[[rule]]\n", Version: "v2", Why: "why"}) {
		t.Errorf("%+v, sent %+v", got, sent)
	}
	want := []control.SettingsOrder{
		{Set: []control.Assignment{{Key: "queue.dequeuer.reporting_delay", Value: "2h"}, {Key: "queue.a", Value: "b=c"}}, Why: "why", DryRun: true},
		{Unset: []string{"queue.x", "queue.y"}},
		{Set: []control.Assignment{{Key: "queue.dequeuer.reporting_delay", Value: "3h"}}},
		{Set: []control.Assignment{{Key: "queue.enqueuer.hop_counter_limit", Value: "30"}}},
		{Set: []control.Assignment{{Key: "queue.dequeuer.on_failure_return", Value: "always body"}, {Key: "queue.dequeuer.send_return_receipts_to", Value: "nobody"}}},
	}
	if len(d.set) != len(want) {
		t.Fatalf("asked %+v", d.set)
	}
	for i, o := range want {
		if got := d.set[i]; strings.Join(got.Unset, " ") != strings.Join(o.Unset, " ") || got.Why != o.Why || got.DryRun != o.DryRun ||
			!slices.Equal(got.Set, o.Set) {
			t.Errorf("asked %+v, want %+v", got, o)
		}
	}
	if len(d.ranges) != 3 || d.ranges[1].From != 3 || d.ranges[2].To != 4 || d.returned[0].Number != 16 || d.returned[0].Why != "no" || d.query.Match != "delay" {
		t.Errorf("%+v %+v %+v", d.ranges, d.returned, d.query)
	}
}

func TestHowSettingsCommandsEnd(t *testing.T) {
	t.Setenv("VISUAL", "")
	t.Setenv("EDITOR", "true")
	fail := func(kind control.Kind) func(*daemon) {
		return func(d *daemon) {
			d.err = control.Errorf(kind, "nothing was changed", "Settings/queue.toml:3: dequeuer.x: no\n    x = \x1b[2J\n        ^")
		}
	}
	const set = "settings set queue.dequeuer.reporting_delay=1h"
	runExitCases(t, []exitCase{
		{"no value", "settings set a", nil, exitUsage, `"a" is not KEY=VALUE`},
		{"no key", "settings set", nil, exitUsage, "settings set KEY=VALUE"},
		{"no such key", "settings get a.b", nil, exitFailed, `no setting "a.b"; did you mean x?`},
		{"no such key, and that matters", "settings get a.b --fail-empty", nil, exitEmpty, `no setting "a.b"`},
		{"not a number", "settings rollback x", nil, exitUsage, "not the number of a change"},
		{"no such file", "settings edit smpt", nil, exitFailed, "no file of settings"},
		{"a form that there is none of", "settings diff -o csv", nil, exitUsage, "leave out -o"},
		{"wrong", set, fail(control.KindInvalid), exitFailed, "cgq: Settings/queue.toml:3: dequeuer.x: no\n    x = \\x1b[2J\n        ^\nnothing was changed\n"},
		{"conflict", set, fail(control.KindConflict), exitFailed, "nothing was changed"},
		{"cannot be understood", set, fail(control.KindBadRequest), exitUsage, "nothing was changed"},
		{"no right", set, func(d *daemon) { d.rights = []control.Right{control.Monitor} }, exitNoRight, `"settings"`},
		{"panel without a command", "dequeuer", nil, exitUsage, "a command is missing"},
	})
}

// editor makes an editor that does each of the edits in turn.
func editor(t *testing.T, edits ...string) {
	t.Helper()
	dir := t.TempDir()
	script := "n=$(cat " + dir + "/n 2>/dev/null || echo 0)\necho $((n+1)) > " + dir + "/n\ncase $n in\n"
	for i, e := range edits {
		script += string(rune('0'+i)) + ") " + e + ";;\n"
	}
	file := filepath.Join(dir, "editor")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+script+"esac\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("VISUAL", "")
	t.Setenv("EDITOR", "sh "+file)
	t.Setenv("TMPDIR", dir)
}

func TestSettingsEdit(t *testing.T) {
	invalid := control.Errorf(control.KindInvalid, "nothing was changed", "Settings/queue.toml:1: x: unknown key\n    x = 1\n    ^")
	conflict := control.Errorf(control.KindConflict, "look at it again", "changed by somebody else")
	answers := func(s string) func(*app) {
		return func(a *app) { a.interactive, a.in = true, strings.NewReader(s) }
	}
	for _, tt := range []struct {
		name     string
		edits    []string
		outcomes []error
		set      func(*app)
		status   int
		sent     string // the last text
		says     string
		kept     bool
	}{
		{"applied", []string{`echo "b = 1" >> "$1"`}, nil, nil, exitDone, "# a\nb = 1\n", "", false},
		{"unchanged", []string{`:`}, nil, nil, exitDone, "", "nothing was changed", false},
		{"the editor fails", []string{`exit 3`}, nil, nil, exitFailed, "", "exit status 3", true},
		{"wrong, nobody there", []string{`echo "x = 1" > "$1"`}, []error{invalid}, nil, exitFailed, "x = 1\n", "queue.toml:1: x", true},
		{"wrong, and again", []string{`echo "x = 1" > "$1"`, `grep -q x "$1" && echo "y = 1" > "$1"`}, []error{invalid}, answers("\n"), exitDone, "y = 1\n", "Edit it again?", false},
		{"wrong twice, then given up", []string{`echo "x = 1" > "$1"`, `echo "y = 1" > "$1"`}, []error{invalid, invalid}, answers("y\nn\n"), exitFailed, "y = 1\n", "nothing was changed", true},
		{"changed meanwhile", []string{`echo "x = 1" > "$1"`}, []error{conflict}, answers(""), exitFailed, "x = 1\n", "changed by somebody else", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			editor(t, tt.edits...)
			d := full()
			d.outcomes = tt.outcomes
			got := cgq(t, d.serve(t), tt.set, "settings", "edit", "-m", "because")
			if got.status != tt.status || !strings.Contains(got.errOut, tt.says) {
				t.Errorf("%+v, want %d, %s", got, tt.status, tt.says)
			}
			if n := len(d.replaced); tt.sent != "" && (n == 0 || d.replaced[n-1].Text != tt.sent || d.replaced[n-1].Version != "v1" || d.replaced[n-1].Why != "because") {
				t.Errorf("sent %+v", d.replaced)
			}
			draft := regexp.MustCompile(`the draft is kept: (.*)`).FindStringSubmatch(got.errOut)
			if (draft != nil) != tt.kept {
				t.Fatalf("kept %q: %s", draft, got.errOut)
			}
			if left, _ := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "cgq-settings-*", "*")); len(left) > 0 != tt.kept || tt.kept && left[0] != draft[1] {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

func TestNobodyIsThereToEdit(t *testing.T) {
	t.Setenv("VISUAL", "")
	t.Setenv("EDITOR", "")
	if got := cgq(t, full().serve(t), nil, "settings", "edit"); got.status != exitUsage || !strings.Contains(got.errOut, "$EDITOR") {
		t.Error(got)
	}
}

func TestSettingsComplete(t *testing.T) {
	base := full().serve(t)
	for line, want := range map[string]string{
		"settings get queue.dequeuer.r":                     "queue.dequeuer.reporting_delay\t1h\n:4\n",
		"settings set queue.dequeuer.r":                     "queue.dequeuer.reporting_delay=\t1h\n:6\n",
		"settings set queue.dequeuer.on_failure_return=alw": "queue.dequeuer.on_failure_return=always body\n:4\n",
		"dequeuer set rep":                                  "reporting_delay=\t1h\n:6\n",
		"dequeuer set reporting_delay=":                     "reporting_delay=1h\nreporting_delay=1m\n:4\n",
		"settings edit q":                                   "queue\n:4\n",
		"settings edit ro":                                  "router.txt\n:4\n",
		"settings rollback 1":                               "16\tby hand, by hand\n17\tann, set\n:4\n",
	} {
		if got := cgq(t, base, nil, append([]string{"__complete"}, strings.Fields(line)...)...); got.out != want {
			t.Errorf("%q completes to %q, want %q", line, got.out, want)
		}
	}
}
