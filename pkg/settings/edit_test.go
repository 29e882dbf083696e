package settings_test

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"cgq/pkg/settings"
)

// A ruleset is a section with an array of tables.
type ruleset struct {
	Name  string         `toml:"name" doc:"a name"`
	Limit map[string]int `toml:"limits"`
	Rules []struct {
		Name  string     `toml:"name"`
		Acts  [][]string `toml:"acts"`
		Inner struct {
			Deep int `toml:"deep"`
		} `toml:"inner"`
	} `toml:"rule"`
}

func TestEdit(t *testing.T) {
	for _, tt := range []struct{ name, text, key, value, want string }{
		{"a value", "# c\nname = \"a\" # why\n", "name", "b", "# c\nname = \"b\" # why\n"},
		{"a value with CRLF", "name = 'a'\r\n# c\r\n", "name", "b", "name = \"b\"\r\n# c\r\n"},
		{"without an end of line", "name = 'a'", "name", "b", "name = \"b\""},
		{"a list with comments", "limits = { a = 1 }\n[[rule]]\n  acts = [ # one\n    ['x'], # two\n  ] # three\n", "rule[1].acts", "[['y']]",
			"limits = { a = 1 }\n[[rule]]\n  # one\n  # two\n  acts = [['y']] # three\n"},
		{"the second of two", "[[rule]]\nname = 'a'\n[[rule]]\nname = 'b'\n", "rule[2].name", "c", "[[rule]]\nname = 'a'\n[[rule]]\nname = \"c\"\n"},
		{"a third", "[[rule]]\nname = 'a'\n\n[[rule]]\nname = 'b'\n", "rule[3].name", "c",
			"[[rule]]\nname = 'a'\n\n[[rule]]\nname = 'b'\n\n[[rule]]\nname = \"c\"\n"},
		{"a table of the first", "[[rule]]\nname = 'a'\n[[rule]]\nname = 'b'\n", "rule[1].inner.deep", "3",
			"[[rule]]\nname = 'a'\n\n[rule.inner]\ndeep = 3\n\n[[rule]]\nname = 'b'\n"},
		{"in an inline table", "limits = { a = 1, 'b c' = 2 } # x\n", `limits."b c"`, "3", "limits = { a = 1, 'b c' = 3 } # x\n"},
		{"into an inline table", "limits = { a = 1 }\n", "limits.b", "2", "limits = { a = 1, b = 2 }\n"},
		{"into an empty one", "limits = {}\n", "limits.b", "2", "limits = { b = 2 }\n"},
		{"into a table", "[limits]\na = 1\n\n# z\n", "limits.b", "2", "[limits]\na = 1\nb = 2\n\n# z\n"},
		{"beside a dotted key", "limits.a = 1\n[[rule]]\nname = 'a'\n", "limits.b", "2", "limits.a = 1\nlimits.b = 2\n[[rule]]\nname = 'a'\n"},
		{"a whole inline table", "limits = { a = 1 }", "limits", "{ b = 2 }", "limits = { b = 2 }"},
		{"no table yet", "name = 'a'", "limits.b", "2", "name = 'a'\n\n[limits]\nb = 2\n"},
		{"nothing yet", "", "name", "b", "name = \"b\"\n"},
		{"above the tables", "# head\n\n[limits]\na = 1\n", "name", "b", "# head\n\nname = \"b\"\n[limits]\na = 1\n"},
		{"behind the commented default", "# the name\n# name = \"x\"\n\n[limits]\n", "name", "b", "# the name\n# name = \"x\"\nname = \"b\"\n\n[limits]\n"},
		{"what looks so elsewhere", "[limits]\n# name = 1\n", "name", "b", "name = \"b\"\n[limits]\n# name = 1\n"},
		{"behind what is before it", "limits = {}\nname = 'a'\n", "name", "b", "limits = {}\nname = \"b\"\n"},
		{"a text in quotes", "name = 'a'\n", "name", `'b "c"'`, "name = \"b \\\"c\\\"\"\n"},
		{"a hostile text", "name = 'a'\n", "name", "b\"\n[x]\x1b", "name = \"b\\\"\\u000A[x]\\u001B\"\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := settings.Section{Name: "rules", Value: &ruleset{}}.Edit([]byte(tt.text), settings.Edit{Key: tt.key, Value: tt.value})
			if err != nil || string(got) != tt.want {
				t.Errorf("%s = %s in\n%s\ngot  %q, %v\nwant %q", tt.key, tt.value, tt.text, got, err, tt.want)
			}
		})
	}
}

func TestUnset(t *testing.T) {
	for _, tt := range []struct{ name, text, key, want string }{
		{"leaves the default", "# doc\nname = 'a'\nlimits = {}\n", "name", "# doc\n# name = \"std\"\nlimits = {}\n"},
		{"keeps the comment behind it", "name = 'a' # why\r\n", "name", "# name = \"std\"\r\n# why\r\n"},
		{"once", "# name = \"x\"\nname = 'a'\n", "name", "# name = \"x\"\n"},
		{"what is not there", "# c\n", "name", "# c\n"},
		{"what has no default", "[limits]\na = 1\nb = 2\n", "limits.a", "[limits]\nb = 2\n"},
		{"the first of an inline table", "limits = { a = 1, b = 2 }\n", "limits.a", "limits = { b = 2 }\n"},
		{"the last of an inline table", "limits = { a = 1, b = 2 }\n", "limits.b", "limits = { a = 1 }\n"},
		{"all of an inline table", "limits = { a = 1, }\n", "limits.a", "limits = {}\n"},
		{"with the comments in it", "[[rule]]\nacts = [\n# x\n]", "rule[1].acts", "[[rule]]\n# x\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := settings.Section{Name: "rules", Value: &ruleset{Name: "std"}}.Edit([]byte(tt.text), settings.Edit{Key: tt.key, Unset: true})
			if err != nil || string(got) != tt.want {
				t.Errorf("%s in\n%s\ngot  %q, %v\nwant %q", tt.key, tt.text, got, err, tt.want)
			}
		})
	}
}

func TestEditRefuses(t *testing.T) {
	value := defaults()
	demo := settings.Section{Name: "demo", Value: &value}
	rules := settings.Section{Name: "rules", Value: &ruleset{}}
	for _, tt := range []struct {
		section         settings.Section
		text, key, give string
		want            string
	}{
		{demo, "", "domian", "x", "demo.toml: domian: unknown key; did you mean domain?"},
		{demo, "", "receive.chanels", "5", "demo.toml: receive.chanels: unknown key; did you mean channels?"},
		{demo, "", "receive", "5", "demo.toml:1: receive: is a table: set the keys in it"},
		{demo, "", "domain.x", "5", "demo.toml: domain.x: unknown key: domain is not a table"},
		{demo, "", "receive.channels", "many", `demo.toml:2: receive.channels: "many" is not a whole number`},
		{demo, "", "receive.timeout", "5", `demo.toml:2: receive.timeout: "5" is not a length of time such as 90s, 5m, 2h30m, 5d or 1w`},
		{demo, "", "retry", "5m, soon", `demo.toml:1: retry: "soon" is not a length of time such as 90s, 5m, 2h30m, 5d or 1w`},
		{demo, "", "retry", "[\"5m\"] # x", `demo.toml:1: retry: "[\"5m\"] # x" is more than one value`},
		{demo, "", "retry", "[\"5m\"]\nx = 1", `demo.toml:1: retry: "[\"5m\"]\u000Ax = 1" is more than one value`},
		{demo, "", "receive.on", "maybe", `demo.toml:2: receive.on: "maybe" is not true or false`},
		{demo, "", "weight", "0x1p3", `demo.toml:1: weight: "0x1p3" is not a number`},
		{demo, "domain = = 1", "domain", "x", "demo.toml: domain: the file cannot be edited: "},
		{demo, "", "a..b", "x", `demo.toml: a..b: "a..b" is no key: a name is missing`},
		{rules, "[[rule]]\n", "rule.name", "x", "rules.toml: rule.name: unknown key: say which table, as rule[1]"},
		{rules, "[[rule]]\n", "rule[3].name", "x", "rules.toml: rule[3].name: there is no rule[3]: rule has 1"},
		{rules, "[[rule]]\n", "rule", "[]", "rules.toml: rule: is a table in line 1 of the file"},
		{rules, "[[rule]]\n", "rule[0].name", "x", "rules.toml: rule[0].name: \"rule[0].name\" is no key: in brackets"},
		{rules, "limits = 5\n", "limits.a", "1", "rules.toml: limits.a: line 1 of the file has no table there"},
	} {
		got, err := tt.section.Edit([]byte(tt.text), settings.Edit{Key: tt.key, Value: tt.give})
		var problems settings.Problems
		if !errors.As(err, &problems) || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s = %s: %q\ngot  %v\nwant %s", tt.key, tt.give, got, err, tt.want)
		}
	}
}

// What cannot be read is shown in the line in which it would stand, with a caret below.
func TestEditShowsWhatCannotBeRead(t *testing.T) {
	value := defaults()
	demo := settings.Section{Name: "demo", Value: &value}
	for _, tt := range []struct {
		name, text string
		edits      []settings.Edit
		want       string
	}{
		{"in its line", "domain = \"a\"\n[receive]\n# how many\nchannels = 5 # few\n",
			[]settings.Edit{{Key: "receive.channels", Value: "many"}},
			"demo.toml:4: receive.channels: \"many\" is not a whole number\n    channels = \"many\" # few\n               ^"},
		{"not there yet", "[receive]\n", []settings.Edit{{Key: "receive.on", Value: "perhaps"}},
			"demo.toml:2: receive.on: \"perhaps\" is not true or false\n    on = \"perhaps\"\n         ^"},
		{"behind another edit", "[receive]\nchannels = 5\n",
			[]settings.Edit{{Key: "receive.channels", Value: "many"}, {Key: "domain", Value: "b"}},
			"demo.toml:3: receive.channels: \"many\" is not a whole number\n    channels = \"many\"\n               ^"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text, err := demo.Edit([]byte(tt.text), tt.edits...)
			var problems settings.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("%v", err)
			}
			if got := problems.Show(func(string) string { return string(text) }); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

// comments are what stands behind # on a line of its own, or behind a value, in a file whose
// texts have no #.
func comments(text string) []string { return regexp.MustCompile(`#[^\r\n]*`).FindAllString(text, -1) }

// drawFile makes a file of the section demo: some of its keys, in the forms that TOML has
// for them, with comments everywhere.
func drawFile(t *rapid.T) string {
	n := 0
	eol := rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "end of line")
	note := func(s string) string {
		if rapid.IntRange(0, 2).Draw(t, "comment") > 0 {
			return s
		}
		n++
		return fmt.Sprintf("%s # comment %d", s, n)
	}
	var b strings.Builder
	line := func(s string) {
		if rapid.Bool().Draw(t, "comment above") {
			n++
			fmt.Fprintf(&b, "# comment %d%s", n, eol)
		}
		b.WriteString(rapid.SampledFrom([]string{"", "  ", "\t"}).Draw(t, "indent") + note(s) + eol)
		if rapid.IntRange(0, 3).Draw(t, "empty line") == 0 {
			b.WriteString(eol)
		}
	}
	some := func(lines ...string) {
		for _, s := range rapid.Permutation(lines).Draw(t, "order")[:rapid.IntRange(0, len(lines)).Draw(t, "how many")] {
			line(s)
		}
	}
	long := "retry = [" + note("") + eol + "\t'5m'," + note("") + eol + "\"1h\"]"
	root := []string{"domain = 'a.example'", rapid.SampledFrom([]string{`retry = ["5m"]`, long, "retry=[]"}).Draw(t, "retry"),
		"clients=[]", "weight = 0.5", "# domain = 'x'"}
	limits := rapid.SampledFrom([]string{"limits = {}", "limits = { a = 1, 'b c' = 2 }", "limits.a = 1", "[limits]"}).Draw(t, "limits")
	if !strings.HasPrefix(limits, "[") {
		root = append(root, limits)
	}
	some(root...)
	if strings.HasPrefix(limits, "[") {
		line(limits)
		some("a = 1", "'b c' = 2")
	}
	receive := []string{"max_message_size = '1M'", "timeout = \"5m\"", "channels = 7", "on = false", "# channels = 100"}
	if rapid.Bool().Draw(t, "receive") {
		line("[receive]")
		if rapid.Bool().Draw(t, "dotted") {
			receive = append(receive, "tls.cert = 'c'")
		}
		some(receive...)
	} else if rapid.Bool().Draw(t, "tls") {
		line("[ receive . tls ]")
		some(`cert = "c"`)
	}
	return b.String()
}

var demoValues = map[string][]string{
	"domain": {"x.example", `"q"`, "with space"}, "retry": {"1m, 2h", "[ '1m',\n'2h' ]", ""}, "clients": {"10.0.0.0/8", "[]"}, "weight": {"2", "0.25", "1e3"},
	"limits": {"{ z = 9 }", "{}"}, "limits.a": {"5"}, `limits."d e"`: {"6"},
	"receive.max_message_size": {"50M", "1024"}, "receive.timeout": {"1h", "90s"}, "receive.channels": {"1", "1000"}, "receive.on": {"yes", "false"},
	"receive.tls.cert": {"/etc/ssl/cert.pem", ""},
}

// An edit changes its key and nothing else: the other values, the comments and their order
// stay; and setting the same again changes no byte.
func TestAnEditChangesOneKey(t *testing.T) {
	keys := make([]string, 0, len(demoValues))
	for key := range demoValues {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	rapid.Check(t, func(t *rapid.T) {
		text := drawFile(t)
		key := rapid.SampledFrom(keys).Draw(t, "key")
		edit := settings.Edit{Key: key, Value: rapid.SampledFrom(demoValues[key]).Draw(t, "value"), Unset: rapid.IntRange(0, 4).Draw(t, "unset") == 0}
		standard := defaults()
		section := settings.Section{Name: "demo", Value: &standard}
		was := defaults()
		if err := settings.Decode("demo.toml", []byte(text), &was); err != nil {
			t.Skip(err) // such as limits twice
		}
		got, err := section.Edit([]byte(text), edit)
		if err != nil {
			if strings.Contains(err.Error(), "in the file") || strings.Contains(err.Error(), "of the file") || strings.Contains(err.Error(), "is a table") {
				return // a table in the place of a value
			}
			t.Fatalf("%+v in\n%s\n%v", edit, text, err)
		}
		is := defaults()
		if err := settings.Decode("demo.toml", got, &is); err != nil && !strings.Contains(err.Error(), "not in 1 to 1000") {
			t.Fatalf("%+v in\n%s\nis\n%s\n%v", edit, text, got, err)
		}
		before, after := values(section, &was), values(section, &is)
		top, _, _ := strings.Cut(key, ".")
		for k, v := range before {
			if k != key && !(top == "limits" && strings.HasPrefix(k, "limits")) && after[k] != v {
				t.Fatalf("%+v changed %s from %s to %s:\n%s\nis\n%s", edit, k, v, after[k], text, got)
			}
		}
		if edit.Unset && after[key] != values(section, &standard)[key] && top != "limits" {
			t.Fatalf("%s is %s after it was unset", key, after[key])
		}
		rest := comments(string(got))
		for _, c := range comments(text) {
			i := slices.Index(rest, strings.TrimRight(c, " "))
			if i < 0 {
				t.Fatalf("%+v lost the comment %q, or its place:\n%s\nis\n%s", edit, c, text, got)
			}
			rest = rest[i+1:]
		}
		if strings.Contains(text, "\r\n") && regexp.MustCompile(`[^\r]\n`).MatchString(strings.ReplaceAll(string(got), "'1m',\n'2h'", "")) {
			t.Fatalf("%+v brought another end of line: %q", edit, got)
		}
		if again, err := section.Edit(got, edit); err != nil || string(again) != string(got) {
			t.Fatalf("%+v twice: %v\n%s\nis\n%s", edit, err, got, again)
		}
	})
}

// values are the keys of a section with their values.
func values(s settings.Section, live any) map[string]string {
	all := map[string]string{}
	for _, k := range s.Keys(live) {
		all[k.Key] = k.Value
	}
	return all
}

// What literal makes of a value as it is shown is that value.
func TestWhatIsShownCanBeSet(t *testing.T) {
	value := defaults()
	section := settings.Section{Name: "demo", Value: &value}
	golden, err := os.ReadFile("testdata/demo.golden")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range section.Keys(&value) {
		got, err := section.Edit(golden, settings.Edit{Key: k.Key, Value: k.Value})
		is := defaults()
		if err == nil {
			err = settings.Decode("demo.toml", got, &is)
		}
		if err != nil || !reflect.DeepEqual(is, value) {
			t.Errorf("%s = %s: %v, %+v", k.Key, k.Value, err, is)
		}
	}
}

// Whatever the file and the key, an edit returns; what it returns can be read again.
func FuzzEdit(f *testing.F) {
	golden, err := os.ReadFile("testdata/demo.golden")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(golden), "receive.timeout", "1h", false)
	f.Add("limits = { a = 1, }\n", "limits.a", "2", true)
	f.Add("receive.tls = { # x\n }\n", "receive.tls.cert", "x", false)
	f.Add("retry = [ # x\r\n'1m' ]", "retry", "['1h']", true)
	f.Add("[[limits]]\n\"a.b\".c = {d = [{e = 1}]}", `limits."a b"[2]`, "2", false)
	f.Fuzz(func(t *testing.T, text, key, value string, unset bool) {
		standard := defaults()
		got, err := settings.Section{Name: "demo", Value: &standard}.Edit([]byte(text), settings.Edit{Key: key, Value: value, Unset: unset})
		if err != nil {
			return
		}
		is := defaults()
		if was := defaults(); settings.Decode("demo.toml", []byte(text), &was) == nil {
			if err := settings.Decode("demo.toml", got, &is); err != nil && strings.Contains(err.Error(), "unknown key") {
				t.Errorf("%s = %q in %q is %q: %v", key, value, text, got, err)
			}
		}
	})
}
