package cli

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"cgq/pkg/control"
)

// well are items of a daemon that is well; the second and third can be made worse.
func well() []control.CheckItem {
	return []control.CheckItem{
		{Name: "daemon", State: control.VerdictOK, Text: "running"},
		{Name: "queue", State: control.VerdictOK, Value: 412, Warning: "799", Critical: "999", Text: "412 messages in the queue, whose limit is 1000"},
		{Name: "free_space", State: control.VerdictOK, Value: 1 << 30, Unit: "B", Warning: "134217728:", Critical: "67108864:", Text: "1024 MB are free, 64 MB must be"},
	}
}

func TestCheckIsANagiosPlugin(t *testing.T) {
	for name, tt := range map[string]struct {
		change func([]control.CheckItem)
		status int
	}{
		"check-ok":      {func([]control.CheckItem) {}, 0},
		"check-warning": {func(i []control.CheckItem) { i[1].State = control.VerdictWarning }, 1},
		"check-critical": {func(i []control.CheckItem) {
			i[0].State, i[0].Text = control.VerdictWarning, "the daemon is stopping"
			i[2].State, i[2].Text = control.VerdictCritical, "0 MB | "+hostile
		}, 2},
		"check-newer": {func(i []control.CheckItem) { i[1].State = "purple" }, 3},
	} {
		t.Run(name, func(t *testing.T) {
			d := full()
			d.checks = well()
			tt.change(d.checks)
			base := d.serve(t)
			got := cgq(t, base, nil, "check")
			golden(t, name, got, []string{"check"})
			line, _, _ := strings.Cut(got.out, "\n")
			if got.status != tt.status || strings.Count(line, "|") != 1 {
				t.Errorf("status %d, %q; want %d and one bar", got.status, line, tt.status)
			}
			for _, form := range []string{formJSON, formLines, formCSV, formName} {
				if got := cgq(t, base, nil, "check", "-o", form); got.status != tt.status || got.errOut != "" {
					t.Errorf("-o %s: status %d, %s; want %d", form, got.status, got.errOut, tt.status)
				}
			}
			var items []control.CheckItem
			out := cgq(t, base, nil, "check", "-o", "json").out
			if err := json.Unmarshal([]byte(out), &items); err != nil || len(items) != 3 || items[1].Value != 412 {
				t.Errorf("-o json: %v in %s", err, out)
			}
		})
	}
}

// Whatever keeps a check from being made is UNKNOWN, in a line of its own, and never the
// status of another command, which Nagios would take for CRITICAL.
func TestCheckThatCannotBeMadeIsUnknown(t *testing.T) {
	nobody := full()
	nobody.rights = nil
	sick := full()
	sick.checks, sick.err = well(), errors.New("half of it")
	slow := full()
	slow.slow = true
	for name, tt := range map[string]struct {
		base string
		args []string
		says string
	}{
		"no daemon":  {t.TempDir(), nil, "no daemon at"},
		"no right":   {nobody.serve(t), nil, "has not the right"},
		"an error":   {sick.serve(t), nil, "half of it"},
		"no answer":  {slow.serve(t), []string{"--timeout", "10ms"}, "no answer within 10ms"},
		"a flag":     {t.TempDir(), []string{"--oldest-warning", "soon"}, "soon"},
		"no flag":    {t.TempDir(), []string{"--purple"}, "--purple"},
		"argument":   {t.TempDir(), []string{"purple"}, "purple"},
		"no form":    {t.TempDir(), []string{"-o", "purple"}, "purple"},
		"thresholds": {full().serve(t), []string{"--queue-warning", "101"}, "101%"},
	} {
		t.Run(name, func(t *testing.T) {
			got := cgq(t, tt.base, nil, append([]string{"check"}, tt.args...)...)
			said := got.out
			if name == "no form" {
				said = got.errOut
			} else if !strings.HasPrefix(said, "CGQ UNKNOWN - ") || strings.Count(said, "\n") != 1 {
				t.Errorf("stdout %q, want one line", said)
			}
			if got.status != 3 || !strings.Contains(said, tt.says) {
				t.Errorf("status %d, %q; want 3 and %q", got.status, said, tt.says)
			}
			if name == "no form" {
				return
			}
			got = cgq(t, tt.base, nil, append([]string{"check", "-o", "json"}, tt.args...)...)
			if got.status != 3 || got.out != "" || !strings.Contains(got.errOut, tt.says) {
				t.Errorf("-o json: status %d, %q, %q; want nothing on stdout", got.status, got.out, got.errOut)
			}
		})
	}
}

func TestCheckSendsItsThresholds(t *testing.T) {
	d := full()
	base := d.serve(t)
	got := cgq(t, base, nil, "check", "--queue-warning", "50", "--journal-warning", "60", "--oldest-warning", "4h",
		"--oldest-critical", "24h", "--delayed-warning", "5", "--delayed-critical", "50")
	want := control.CheckQuery{QueueWarning: 50, JournalWarning: 60, OldestWarning: control.Seconds(4 * time.Hour),
		OldestCritical: control.Seconds(24 * time.Hour), DelayedWarning: 5, DelayedCritical: 50}
	if got.status != 0 || d.asked != want {
		t.Errorf("status %d, asked %+v, want %+v", got.status, d.asked, want)
	}
	if cgq(t, base, nil, "check"); d.asked != (control.CheckQuery{QueueWarning: 80, JournalWarning: 75}) {
		t.Errorf("without flags asked %+v", d.asked)
	}
}
