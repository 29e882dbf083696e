package bounce_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"cgq/pkg/bounce"
	"cgq/pkg/mail"
	"cgq/pkg/settings"
)

// A sample is a reply with the class that it should have.
type sample struct {
	class bounce.Class
	reply string
}

// samples are those of testdata/replies.tsv.
func samples(t testing.TB) (all []sample) {
	t.Helper()
	text, err := os.ReadFile("testdata/replies.tsv")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if class, reply, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t"); ok {
			all = append(all, sample{bounce.Class(class), reply})
		}
	}
	return all
}

func TestRepliesHaveTheirClass(t *testing.T) {
	all := samples(t)
	if len(all) < 120 {
		t.Errorf("%d samples only", len(all))
	}
	seen := map[bounce.Class]bool{}
	for _, s := range all {
		seen[s.class] = true
		if got := bounce.Default().ClassOf(s.reply); got != s.class {
			t.Errorf("%s, want %s: %s", got, s.class, s.reply)
		}
	}
	for _, c := range bounce.Classes() {
		if !seen[c] {
			t.Errorf("no sample of %s", c)
		}
	}
}

func TestClassOfResults(t *testing.T) {
	for _, tt := range []struct {
		name string
		r    mail.Result
		want bounce.Class
	}{
		{"delivered", mail.Result{Action: mail.Delivered, Status: mail.Status{2, 0, 0}, Text: "mailbox full"}, ""},
		{"relayed", mail.Result{Action: mail.Relayed, Code: 250, Text: "relayed via mx.spamhaus.org"}, ""},
		{"discarded", mail.Result{Action: mail.Discarded, Status: mail.Status{2, 0, 0}, Text: "discarded"}, ""},
		{"nothing has happened", mail.Result{}, ""},
		{"an action that is none", mail.Result{Action: 77, Text: "user unknown"}, ""},
		{"status alone", mail.Result{Action: mail.Failed, Status: mail.Status{5, 2, 2}}, bounce.Full},
		{"code alone", mail.Result{Action: mail.Failed, Code: 550}, bounce.Other},
		{"ours, 4.4.1", mail.Result{Status: mail.Status{4, 4, 1}, Text: "stopped"}, bounce.Connection},
		{"ours, 4.3.0", mail.Result{Status: mail.Status{4, 3, 0}, Text: "a filter of this server is down"}, bounce.System},
		{"a Rule's own words", mail.Result{Action: mail.Failed, Status: mail.Status{5, 7, 1}, Text: "we do not like this"}, bounce.Policy},
		{"expired", mail.Result{Action: mail.Failed, Status: mail.Status{4, 4, 7}, Code: 452, Text: "delivery time expired; the last error was: disk full"}, bounce.Expired},
		{"status in the text", mail.Result{Action: mail.Failed, Code: 554, Status: mail.Status{5}, Text: "sorry (#5.2.2)"}, bounce.Full},
		{"the status of the reply counts more", mail.Result{Action: mail.Failed, Code: 554, Status: mail.Status{5, 7, 1}, Text: "sorry (#5.2.2)"}, bounce.Policy},
		{"far behind in the text", mail.Result{Action: mail.Failed, Code: 554, Text: strings.Repeat("x", 2<<10) + " mailbox full"}, bounce.Other},
		{"in the middle of it", mail.Result{Action: mail.Failed, Code: 554, Text: strings.Repeat("x ", 900) + "Mailbox \t FULL"}, bounce.Full},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := bounce.Default().Class(tt.r); got != tt.want {
				t.Errorf("Class(%+v) = %q, want %q", tt.r, got, tt.want)
			}
		})
	}
}

func TestOwnRulesComeFirst(t *testing.T) {
	own, err := bounce.Parse("own.toml", []byte(`
[[rule]]
class = "reputation"
code = ["55x"]
status = ["5.*.1", "x.2.2"]
text = ["House Rules", " ban "]

[[rule]]
class = "rate"
match = '\bquota of \d+ a day'
`))
	if err != nil {
		t.Fatal(err)
	}
	both := own.Before(bounce.Default())
	for reply, want := range map[string]bounce.Class{
		"550 5.1.1 see our house  rules: user unknown":  bounce.Reputation,
		"550 5.2.2 mailbox full: you have a (ban)":      bounce.Reputation,
		"550 5.1.1 urban user unknown":                  bounce.UnknownAddress, // no word
		"450 4.2.2 our house rules: mailbox full":       bounce.Full,           // another code
		"550 5.3.0 our house rules: mailbox full":       bounce.Full,           // another status
		"our house rules: mailbox full":                 bounce.Full,           // no code
		"550 Quota of 100 a day exceeded, mailbox full": bounce.Rate,
	} {
		if got := both.ClassOf(reply); got != want {
			t.Errorf("%s, want %s: %s", got, want, reply)
		}
	}
	if got := own.ClassOf("550 user unknown"); got != bounce.Other {
		t.Errorf("without the built-in rules %s", got)
	}
	none, err := bounce.Parse("own.toml", nil)
	if err != nil || none.Before(bounce.Default()) != bounce.Default() {
		t.Errorf("a file without rules: %v", err)
	}
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"unknown key", "[[rule]]\nclass = \"full\"\ntxt = [\"x\"]", "f.toml:3: rule.txt: unknown key"},
		{"unknown table", "[[rules]]\nclass = \"full\"", "f.toml:1: rules: unknown key"},
		{"unknown class", "\n[[rule]]\nclass = \"Full\"\ntext = [\"full\"]", `f.toml:3: rule[1].class: "Full" is no class; there are unknown-address, disabled, full`},
		{"no class", "[[rule]]\ntext = [\"full\"]", `f.toml: rule[1].class: "" is no class`},
		{"no condition", "[[rule]]\nclass = \"full\"\ncode = [\"5xx\"]\n[[rule]]\nclass = \"full\"", "f.toml:5: rule[2].class: the rule would fit everything; say what of, with code, status, text or match"},
		{"empty list", "[[rule]]\nclass = \"full\"\ntext = []", "f.toml:2: rule[1].class: a list of the rule has 0 elements"},
		{"no list", "[[rule]]\nclass = \"full\"\ncode = \"550\"", "f.toml:3: rule.code: want"},
		{"code of success", "[[rule]]\nclass = \"full\"\ncode = [\"250\"]", `f.toml:3: rule[1].code: "250" is no reply code of a failure; write it as 550, 55x or 5xx`},
		{"code x5x", "[[rule]]\nclass = \"full\"\ncode = [\"5x0\"]", `rule[1].code: "5x0" is no reply code`},
		{"long code", "[[rule]]\nclass = \"full\"\ncode = [\"5500\"]", `rule[1].code: "5500" is no reply code`},
		{"signed code", "[[rule]]\nclass = \"full\"\ncode = [\"5+1\"]", `rule[1].code: "5+1" is no reply code`},
		{"status of success", "[[rule]]\nclass = \"full\"\nstatus = [\"2.0.0\"]", `f.toml:3: rule[1].status: "2.0.0" is no enhanced status code of a failure; write it as 5.1.1, x.2.2 or x.7.*`},
		{"short status", "[[rule]]\nclass = \"full\"\nstatus = [\"5.1\"]", `rule[1].status: "5.1" is no`},
		{"bad number", "[[rule]]\nclass = \"full\"\nstatus = [\"x.y.1\"]", `rule[1].status: "x.y.1" is no`},
		{"short phrase", "[[rule]]\nclass = \"full\"\ntext = [\" a \"]", `f.toml:3: rule[1].text: " a " is too short; 3 characters at least, or use match`},
		{"empty phrase", "[[rule]]\nclass = \"full\"\ntext = [\"\"]", `rule[1].text: "" is too short`},
		{"status in a phrase", "[[rule]]\nclass = \"full\"\ntext = [\"#5.2.2 full\"]", "has an enhanced status code in it; these are taken out of a text: use status"},
		{"address in a phrase", "[[rule]]\nclass = \"full\"\ntext = [\"ask me@example.com\"]", "has a mail address in it; these are taken out of a text"},
		{"long phrase", "[[rule]]\nclass = \"full\"\ntext = [\"" + strings.Repeat("x", 3000) + "\"]", "a phrase of 3000 bytes is never found"},
		{"bad regexp", "[[rule]]\nclass = \"full\"\nmatch = '(full'", "f.toml:3: rule[1].match: error parsing regexp: missing closing ): `(full`; write it in the syntax of RE2, in '…'"},
		{"regexp that closes ours", "[[rule]]\nclass = \"full\"\nmatch = 'a)(b'", "rule[1].match: error parsing regexp: unexpected )"},
		{"long regexp", "[[rule]]\nclass = \"full\"\nmatch = '" + strings.Repeat("x", 501) + "'", "rule[1].match: longer than 500 bytes"},
		{"too many phrases", "[[rule]]\nclass = \"full\"\ntext = [" + strings.Repeat("\"xxx\",", 201) + "]", "a list of the rule has 201 elements; there may be 1 to 200"},
		{"too many rules", strings.Repeat("[[rule]]\nclass = \"full\"\ncode = [\"5xx\"]\n", 513), "rule: 513 rules are too many; there may be 512"},
		{"no TOML", "[[rule]\n", "f.toml:1: "},
		{"too long", strings.Repeat("#\n", 1<<20), "f.toml: longer than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rs, err := bounce.Parse("f.toml", []byte(tt.text))
			if err == nil || rs != nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("%v, want %s", err, tt.want)
			}
			if all := (settings.Problems)(nil); !errors.As(err, &all) || len(all) != 1 {
				t.Errorf("not one problem: %v", err)
			}
		})
	}
}

func TestAllProblemsAreSaid(t *testing.T) {
	_, err := bounce.Parse("f.toml", []byte("[[rule]]\nclass = \"x\"\ncode = [\"1\", \"2\"]\n[[rule]]\nclass = \"y\"\nmatch = '('"))
	all := (settings.Problems)(nil)
	if !errors.As(err, &all) || len(all) != 5 {
		t.Errorf("%v; want five problems", err)
	}
}

func TestTheFileOfANewServerHasNoRules(t *testing.T) {
	text, err := (&bounce.File{}).Document()
	if err != nil {
		t.Fatal(err)
	}
	if rs, err := bounce.Parse("f.toml", []byte(text)); err != nil || rs.Before(bounce.Default()) != bounce.Default() {
		t.Errorf("it is not without rules: %v", err)
	}
	_, example, found := strings.Cut(text, "# [[rule]]\n")
	rs, err := bounce.Parse("f.toml", []byte("[[rule]]\n"+strings.ReplaceAll(example, "# ", "")))
	if !found || err != nil || rs.ClassOf("550 our own blocklist") != bounce.Reputation {
		t.Errorf("its example: %v", err)
	}
}

// The documentation has all classes, in their order.
func TestTheClassesAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	var got []bounce.Class
	_, section, _ := strings.Cut(string(text), "\n## Bounce classes\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for line := range strings.Lines(section) {
		if name, ok := strings.CutPrefix(line, "| `"); ok {
			name, _, _ = strings.Cut(name, "`")
			got = append(got, bounce.Class(name))
		}
	}
	if !slices.Equal(got, bounce.Classes()) {
		t.Errorf("docs/operating.md has %v, want %v", got, bounce.Classes())
	}
}

func FuzzClass(f *testing.F) {
	for _, s := range samples(f) {
		f.Add(s.reply, uint8(mail.Failed), 550, uint16(5), uint16(1), uint16(1))
	}
	f.Fuzz(func(t *testing.T, text string, action uint8, code int, a, b, c uint16) {
		r := mail.Result{Action: mail.Action(action), Code: code, Status: mail.Status{a, b, c}, Text: text}
		got := bounce.Default().Class(r)
		if got != "" && !slices.Contains(bounce.Classes(), got) {
			t.Errorf("Class(%+v) = %q", r, got)
		}
		if of := bounce.Default().ClassOf(text); text != "" && !slices.Contains(bounce.Classes(), of) {
			t.Errorf("ClassOf(%q) = %q", text, of)
		}
		if code >= 400 && code < 600 && r.Action == mail.Failed && a >= 4 && a <= 5 && b < 1000 && c < 1000 {
			if of := bounce.Default().ClassOf(r.String()); of != got {
				t.Errorf("ClassOf(%q) = %q, Class = %q", r.String(), of, got)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("[[rule]]\nclass = \"full\"\ncode = [\"5xx\"]\nstatus = [\"x.2.*\"]\ntext = [\" full \"]\nmatch = 'f.ll'", "mailbox full")
	f.Fuzz(func(t *testing.T, text, reply string) {
		rs, err := bounce.Parse("f.toml", []byte(text))
		if err != nil {
			return
		}
		if c := rs.Before(bounce.Default()).ClassOf(reply); reply != "" && !slices.Contains(bounce.Classes(), c) {
			t.Errorf("ClassOf(%q) = %q", reply, c)
		}
	})
}

// The classes of replies that are all different.
func BenchmarkClass(b *testing.B) {
	all := samples(b)
	results := make([]mail.Result, len(all))
	for i, s := range all {
		results[i] = mail.Result{Action: mail.Failed, Code: 550, Status: mail.Status{5}, Text: s.reply}
	}
	rs := bounce.Default()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		rs.Class(results[i%len(results)])
	}
}

// That of the longest text that is looked at, and the most hostile one.
func BenchmarkClassHostile(b *testing.B) {
	r := mail.Result{Action: mail.Failed, Code: 550, Text: strings.Repeat("ip blocked 1.2.3.4 ip ", 400)}
	rs := bounce.Default()
	b.ReportAllocs()
	for b.Loop() {
		rs.Class(r)
	}
}
