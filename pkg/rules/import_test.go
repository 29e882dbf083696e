package rules

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"cgq/pkg/settings"
)

func TestImport(t *testing.T) {
	text, err := os.ReadFile("testdata/Rules.settings")
	if err != nil {
		t.Fatal(err)
	}
	f, err := Import(text)
	want := &File{Lists: map[string][]string{"Friends": {}}, Rules: []Rule{
		{"SIGN DKIM", 6, [][]string{{"Source", "in", "trusted,authenticated"}, {"Header Field", "is not", "Dkim-Signature:*"}, {"Any Route", "is", "SMTP*"}},
			[][]string{{"ExternalFilter", "SIGN"}, {"Stop Processing"}}},
		{`night "shift"`, 5, [][]string{{"Subject", "is", "*urgent*"}, {"Human Generated"}, {"Time Of Day", "in", "22:00-06:00"}},
			[][]string{{"Reply with", "+Subject: Re: ^S\n\nNobody is here.\nCome back."}, {"Tag Subject", "[night]"}}},
		{"known", 2, [][]string{{"From", "in", "#Friends"}}, [][]string{{"Stop Processing"}}},
		{"#Redirect", 0, nil, [][]string{{"Mirror to", "a@example.com"}, {"Discard"}}},
		{"known (2)", 1, nil, [][]string{{"Discard"}}},
	}}
	if !reflect.DeepEqual(f, want) {
		t.Errorf("got  %+v\nwant %+v", f, want)
	}
	const problems = `Rule "#Vacation": left out: action 2: "Remember 'From' in" cannot be used here: it is of an Account, and a server-wide Rule is run before any Account is known
Rule "known": taken, but the list Friends is empty: fill it
Rule 7, "too high": left out: "11" is no priority; there are 9, the highest, to 1, and inactive`
	if err == nil || err.Error() != problems {
		t.Errorf("problems\n%v\nwant\n%s", err, problems)
	}
	if err := f.Validate(); err != nil {
		t.Errorf("what was taken is not right: %v", err)
	}
}

func TestWhatCannotBeImported(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{`((1,"a",(),((Discard)))`, "line 1: the text ends too early"},
		{"(\n(1,\"a\n", "line 2: a quote that is not closed"},
		{")", "line 1: a ) that closes nothing"},
		{"rules", `line 1: "rules" is no Rule`},
		{strings.Repeat("(", 100), "arrays in arrays"},
		{`((1,"a\999"))`, `\999 is no character`},
	} {
		f, err := Import([]byte(tt.text))
		if f != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, %v, want %s", tt.text, f, err, tt.want)
		}
	}
	for _, tt := range []struct{ text, want string }{
		{`((1,a))`, `Rule 1, "a": left out: it is not (priority, name`},
		{`(("x",a,(),()))`, `left out: "x" is no priority`},
		{`((1,a,x,()))`, `conditions: "x" is no array`},
		{`((1,a,(),(((a,b)))))`, `actions: an array is too deep`},
		{`((1,a,(()),()))`, `conditions: an empty element`},
		{`((1,a,(),()))`, `Rule "a": left out: it has no action`},
		{`(1,a,((Weather,is,x)),((Discard)))`, `Rule "a": left out: condition 1: there is no condition "Weather"`},
	} {
		f, err := Import([]byte(tt.text))
		if f == nil || len(f.Rules) != 0 || err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, %v, want %s", tt.text, f, err, tt.want)
		}
	}
	if f, err := Import([]byte(" ;\n")); err != nil || len(f.Rules) != 0 {
		t.Errorf("nothing: %v, %v", f, err)
	}
}

// read reads a file as the daemon does.
func read(t testing.TB, text string) *File {
	t.Helper()
	f := &File{Lists: map[string][]string{}}
	if err := settings.Decode("rules.toml", []byte(text), f); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return f
}

func TestAFileIsReadAsItWasWritten(t *testing.T) {
	text, err := os.ReadFile("testdata/Rules.settings")
	if err != nil {
		t.Fatal(err)
	}
	f, _ := Import(text)
	f.Lists = map[string][]string{"a": {"x@y", "*@z"}, "ö": {}}
	f.Rules[0].Name = "\\ \"ü\"\u202e\u007e"
	for i := range f.Rules {
		if f.Rules[i].Conditions == nil {
			f.Rules[i].Conditions = [][]string{}
		}
	}
	f.Rules[2].Conditions[0][2] = "#ö"
	if got := read(t, f.TOML()); !reflect.DeepEqual(got, f) {
		t.Errorf("got  %+v\nwant %+v", got, f)
	}
	example := Example()
	if got := read(t, example.TOML()); !reflect.DeepEqual(*got, example) {
		t.Errorf("got  %+v\nwant %+v", *got, example)
	}
}

func TestWhatIsWrongInAFileHasItsLine(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"[[rule]]\nname = \"a\"\npriority = 5\nactions = [[\"Discard\"]]\n\n[[rule]]\nname = \"b\"\npriority = \"2\"\nactions = [[\"Discrad\"]]\n",
			`rules.toml:9: rule[2].actions: Rule "b": action 1: there is no action "Discrad"; did you mean "Discard"?`},
		{"[[rule]]\npriority = 5\n", `rules.toml: rule[1].name: Rule "": a Rule needs a name`},
		{"[[rule]]\nname = \"a\"\npriority = \"high\"\n", `rules.toml:3: rule.priority: "high" is no priority`},
		{"[[rule]]\nname = \"a\"\npriority = 11\n", `rules.toml:3: rule.priority: "11" is no priority`},
		{"[[rule]]\nname = \"a\"\nprio = 1\n", `rules.toml:3: rule.prio: unknown key`},
		{"[[rule]]\nname = \"a\"\nconditions = [\"From\"]\n", `rules.toml:3: rule.conditions: want a list in brackets`},
		{"[[rules]]\nname = \"a\"\n", `rules.toml:1: rules: unknown key; did you mean rule?`},
		{"[lists]\na = 5\n", `rules.toml:2: lists.a: want a list in brackets`},
	} {
		err := settings.Decode("rules.toml", []byte(tt.text), &File{})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
	f := &File{}
	if err := settings.Decode("rules.toml", []byte("[[rule]]\nname=\"a\"\npriority=7\nactions=[[\"Discard\"]]\n"), f); err != nil || f.Rules[0].Priority != 7 {
		t.Errorf("a number: %v, %v", f, err)
	}
}

func FuzzImport(f *testing.F) {
	text, _ := os.ReadFile("testdata/Rules.settings")
	f.Add(text)
	f.Add([]byte(`((1,"a",((From,is,"\*\e\\")),((Discard))))`))
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := Import(text)
		if file == nil {
			if err == nil {
				t.Fatal("nothing, and no reason")
			}
			return
		}
		if err := file.Validate(); err != nil {
			t.Fatalf("what was taken is not right: %v", err)
		}
		back := read(t, file.TOML())
		if len(back.Rules) != len(file.Rules) {
			t.Fatalf("%d Rules, want %d", len(back.Rules), len(file.Rules))
		}
	})
}

func FuzzCompile(f *testing.F) {
	f.Add("From", "is", "*@x", "Execute", `[FILE] x "y"`)
	f.Add("Header Field", "in", "X: *,#Friends", "Add Header", "X: y\n z")
	f.Add("Time Of Day", "in", "22:00-06:00", "Reply with", "[koi8-r]\n+Subject: ^S\n\n^N")
	f.Add("Current Date", "less than", "1 Jan 2026", "React with", "+To: ^F\n\nx")
	f.Add("Security", "in", "signed", "Tag Subject", "ä")
	messages := make([]*Message, 0, 4)
	for _, name := range []string{"plain", "evil", "broken", "utf8"} {
		messages = append(messages, eml(f, name))
	}
	f.Fuzz(func(t *testing.T, condition, operator, parameter, action, param string) {
		s, err := Compile(oneRule([][]string{{condition, operator, parameter}}, []string{action, param}))
		if err != nil {
			if why := err.Error(); strings.ContainsAny(why, "\r\x00\x1b") {
				t.Fatalf("the error carries what it complains of: %q", why)
			}
			return
		}
		for _, m := range messages {
			n := 0
			for a := range s.Run(m) {
				n++
				head := string(a.Edit(m.Header))
				if strings.Count(head, "\n\n") > 1 || strings.ContainsAny(head, "\x00") {
					t.Fatalf("%q in %q", a.Param, head)
				}
			}
			if d := s.Explain(m); (d[0].State == Met) != (n > 0) {
				t.Fatalf("Run has %d actions, Explain says %s", n, d[0].State)
			}
		}
	})
}
