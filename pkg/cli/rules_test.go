package cli

import (
	"context"
	"encoding/json"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cgq/pkg/control"
)

// ruled is what a daemon knows of Rules, and what it was asked.
type ruled struct {
	rules    []control.RuleRow
	report   control.RulesReport
	imported control.RulesImported
	tested   control.RulesQuery
	brought  control.RulesText
}

func fullRules() ruled {
	spam := [][]string{{"Header Field", "is", "X-Spam: yes*"}, {"Human Generated"}}
	return ruled{
		rules: []control.RuleRow{
			{Name: "spam", Priority: "9", Conditions: spam, Actions: [][]string{{"Tag Subject", "[spam]"}, {"Stop Processing"}}},
			{Name: "all", Priority: "inactive", Conditions: [][]string{}, Actions: [][]string{{"Mirror to", "archive@example.com"}}},
		},
		report: control.RulesReport{From: "bob@example.org", Source: "SMTP",
			Recipients: []control.RuleRoute{{Address: "x@example.com", Route: "SMTP(example.com)x@example.com"},
				{Address: "gone@example.com", Refused: "no such account " + hostile}},
			Rules: []control.RuleVerdict{
				{Name: "spam", Priority: "9", State: "not met", Conditions: []control.ConditionTest{
					{Condition: spam[0], Holds: true, Value: "X-Spam: yes " + hostile}, {Condition: spam[1], Value: "it has List-Id"}},
					Actions: [][]string{}},
				{Name: "answer", Priority: "5", State: "met", Conditions: []control.ConditionTest{}, Actions: [][]string{{"Reply with", "+Subject: ^S\n\nhi"}, {"Discard"}}},
				{Name: "late", Priority: "1", State: "not reached", Conditions: []control.ConditionTest{}, Actions: [][]string{}},
				{Name: "off", Priority: "inactive", State: "inactive", Conditions: []control.ConditionTest{}, Actions: [][]string{}},
			},
			Actions: []control.RuleAction{{Rule: "answer", Action: []string{"Reply with", "+Subject: ^S\n\nhi"}, Note: "not answered: it has List-Id"},
				{Rule: "answer", Action: []string{"Discard"}}},
			Ended: true},
		imported: control.RulesImported{Text: "[[rule]]\nname = \"a\"\n", Rules: 1, Problems: []string{`Rule "b": left out: ` + hostile}},
	}
}

func (d *daemon) handleRules(m *control.Mux) {
	control.HandleRows(m, control.RulesList, func(context.Context, control.Actor, control.Nothing) iter.Seq2[control.RuleRow, error] {
		return stream(d.rules, d.err)
	})
	control.Handle(m, control.RulesShow, func(_ context.Context, _ control.Actor, in control.RuleName) (control.RuleFile, error) {
		if in.Name != "" && in.Name != "spam" {
			return control.RuleFile{}, control.Errorf(control.KindNoSuchRule, "", "no Rule %q", in.Name)
		}
		return control.RuleFile{Rules: d.rules[:1], Lists: map[string][]string{}, Text: "[[rule]]\nname = \"spam\"\n# \x1b[2J\n"}, d.err
	})
	control.Handle(m, control.RulesTest, func(_ context.Context, _ control.Actor, in control.RulesQuery) (control.RulesReport, error) {
		d.tested = in
		return d.report, d.err
	})
	control.Handle(m, control.RulesImport, func(_ context.Context, _ control.Actor, in control.RulesText) (control.RulesImported, error) {
		d.brought = in
		out := d.imported
		out.Written = in.Write && len(out.Problems) == 0
		return out, d.err
	})
}

func TestRulesTestSendsTheHeaderAlone(t *testing.T) {
	d := full()
	base := d.serve(t)
	dir := t.TempDir()
	message, file := filepath.Join(dir, "m.eml"), filepath.Join(dir, "r.toml")
	for name, text := range map[string]string{message: "A: b\r\n\r\nbody\r\n", file: "[[rule]]\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got := cgq(t, base, nil, "rules", "test", "--message", message, "--rules", file, "--from", "<>", "--to", "a@b", "--to", "c@d",
		"--source", "pipe", "--ip", "192.0.2.1", "--auth", "ann@example.com", "--client")
	if got.status != exitDone {
		t.Fatal(got)
	}
	q := d.tested
	if string(q.Header) != "A: b\r\n\r\n" || q.Size != 14 || q.From != "<>" || strings.Join(q.To, " ") != "a@b c@d" || q.Source != "pipe" ||
		q.IP != "192.0.2.1" || q.Auth != "ann@example.com" || !q.Client || string(q.Rules) != "[[rule]]\n" || q.File != file {
		t.Errorf("asked %+v", q)
	}
	got = cgq(t, base, func(a *app) { a.in = strings.NewReader("only: a header") }, "rules", "test", "--message", "-")
	if got.status != exitDone || string(d.tested.Header) != "only: a header" || d.tested.Rules != nil {
		t.Errorf("%+v, asked %+v", got, d.tested)
	}
}

func TestHowRulesCommandsEnd(t *testing.T) {
	for _, tt := range []struct {
		args   []string
		status int
		errOut string
	}{
		{[]string{"rules", "show", "none"}, exitFailed, `no Rule "none"`},
		{[]string{"rules", "show", "none", "--fail-empty"}, exitEmpty, `no Rule "none"`},
		{[]string{"rules", "show", ""}, exitUsage, "the name is empty"},
		{[]string{"rules", "test"}, exitUsage, "--message is missing"},
		{[]string{"rules", "test", "--message", "-", "--rules", "-"}, exitUsage, "not both"},
		{[]string{"rules", "test", "--message", "-"}, exitFailed, "- is empty"},
		{[]string{"rules", "test", "--message", "testdata/none"}, exitFailed, "no such file"},
		{[]string{"rules", "test", "--message", "testdata/rules.eml", "--columns", "name"}, exitUsage, "--columns needs"},
		{[]string{"rules", "import", "-", "--write"}, exitPartly, "nothing was written"},
		{[]string{"rules", "import", "-", "-o", "csv"}, exitUsage, "no form but"},
		{[]string{"rules"}, exitUsage, "a command is missing"},
	} {
		if got := cgq(t, full().serve(t), nil, tt.args...); got.status != tt.status || !strings.Contains(got.errOut, tt.errOut) {
			t.Errorf("%q: %+v, want %d, %s", tt.args, got, tt.status, tt.errOut)
		}
	}
}

func TestRulesImport(t *testing.T) {
	d := full()
	base := d.serve(t)
	got := cgq(t, base, func(a *app) { a.in = strings.NewReader("((1,a))") }, "rules", "import", "-", "-o", "json")
	var out control.RulesImported
	if err := json.Unmarshal([]byte(got.out), &out); err != nil || out.Rules != 1 || got.status != exitPartly || string(d.brought.Text) != "((1,a))" {
		t.Errorf("%+v, %v", got, err)
	}
	d.imported.Problems = nil
	got = cgq(t, base, nil, "rules", "import", "-", "--write")
	if got.status != exitDone || !d.brought.Write || got.out != "1 Rule live; the old ones are in Settings/rules.toml.old\n" {
		t.Errorf("%+v", got)
	}
}
