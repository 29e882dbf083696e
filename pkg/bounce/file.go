package bounce

import (
	_ "embed" // the built-in rules
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"cgq/pkg/mail"
	"cgq/pkg/settings"
)

//go:embed classes.toml
var builtIn []byte

// A File is what a file of rules has, such as the section bounce-classes.
type File struct {
	Rules []Rule `toml:"rule" doc:"the rules, of which the first that fits counts"`
}

// A Rule is one rule as it is written. Each key that is there must hold; of its list one
// element must.
type Rule struct {
	Class  string   `toml:"class" doc:"the class, in a word"`
	Code   []string `toml:"code" doc:"reply codes: 550, 5xx"`
	Status []string `toml:"status" doc:"enhanced status codes: 5.1.1, x.2.2, x.7.*"`
	Text   []string `toml:"text" doc:"words or phrases, in any case"`
	Match  string   `toml:"match" doc:"a regular expression (RE2), in any case"`
}

// Limits of a File.
const (
	maxRules   = 512 // rules
	maxPhrases = 200 // elements of a list
	maxMatch   = 500 // bytes of a regular expression
)

// A rule is a Rule to be asked.
type rule struct {
	class  Class
	code   []codes
	status []statuses
	text   []phrase
	match  *regexp.Regexp // nil: none
}

// holds says whether the rule fits. Said is whether one of its phrases is in the text.
func (r *rule) holds(code int, status mail.Status, text []byte, said bool) bool {
	return (r.code == nil || slices.ContainsFunc(r.code, func(c codes) bool { return c.has(code) })) &&
		(r.status == nil || slices.ContainsFunc(r.status, func(s statuses) bool { return s.has(status) })) &&
		(r.text == nil || said) && (r.match == nil || r.match.MatchString(string(text))) // a copy: what a regexp gets escapes
}

// Codes are the reply codes from the first to the last.
type codes struct{ first, last int }

func (c codes) has(code int) bool { return c.first <= code && code <= c.last }

// parseCodes reads 550, 55x or 5xx.
func parseCodes(s string) (c codes, ok bool) {
	if len(s) != 3 || s[0] != '4' && s[0] != '5' || s[1] == 'x' && s[2] != 'x' {
		return c, false
	}
	first, err := strconv.ParseUint(strings.ReplaceAll(s, "x", "0"), 10, 16)
	last, _ := strconv.ParseUint(strings.ReplaceAll(s, "x", "9"), 10, 16)
	return codes{int(first), int(last)}, err == nil
}

// Statuses are enhanced status codes; anyNumber stands for each.
type statuses [3]int

const anyNumber = -1

func (s statuses) has(status mail.Status) bool {
	for i, n := range s {
		if n != anyNumber && n != int(status[i]) {
			return false
		}
	}
	return status != mail.Status{}
}

// parseStatuses reads 5.1.1, with x or * for a number that does not matter.
func parseStatuses(s string) (all statuses, ok bool) {
	parts := strings.Split(s, ".")
	if len(parts) != len(all) {
		return all, false
	}
	for i, p := range parts {
		if p == "x" || p == "*" {
			all[i], parts[i] = anyNumber, "4"
		}
	}
	status, ok := mail.ParseStatus(strings.Join(parts, "."))
	for i := range all {
		if all[i] != anyNumber {
			all[i] = int(status[i])
		}
	}
	return all, ok && status[0] != 2
}

// parsePhrase folds a phrase; a blank at an end of it is the end of a word.
func parsePhrase(s string) (phrase, error) {
	words := strings.TrimSpace(s)
	text, status := fold(nil, words)
	switch {
	case status != mail.Status{}:
		return phrase{}, fmt.Errorf("%q has an enhanced status code in it; these are taken out of a text: use status", s)
	case strings.Contains(words, "@"):
		return phrase{}, fmt.Errorf("%q has a mail address in it; these are taken out of a text", s)
	case len(text) < shortest:
		return phrase{}, fmt.Errorf("%q is too short; %d characters at least, or use match", s, shortest)
	case len(words) > maxReply:
		return phrase{}, fmt.Errorf("a phrase of %d bytes is never found; so many of a text are looked at: %d", len(words), maxReply)
	}
	return phrase{text: string(text), begin: s[0] == ' ', end: s[len(s)-1] == ' '}, nil
}

// Parse reads rules from TOML; the file is what problems are said to be in. Its error is
// [settings.Problems], all that is wrong, with lines.
func Parse(file string, text []byte) (*Rules, error) {
	f := &File{}
	if err := settings.Decode(file, text, f); err != nil {
		return nil, err
	}
	return Compile(f)
}

// Default are the built-in rules.
func Default() *Rules { return standard() }

var standard = sync.OnceValue(func() *Rules {
	rs, err := Parse("classes.toml", builtIn)
	if err != nil {
		panic(err) // a test has read them
	}
	return rs
})

// Validate says everything that is wrong: rule[2].text, for that of the second rule, then
// what it is, and what would be right.
func (f *File) Validate() error {
	_, err := Compile(f)
	return err
}

// Compile makes Rules of a file. Its error says everything that is wrong, as
// [File.Validate] does.
func Compile(f *File) (*Rules, error) {
	if len(f.Rules) > maxRules {
		return nil, fmt.Errorf("rule: %d rules are too many; there may be %d", len(f.Rules), maxRules)
	}
	var problems []error
	all := make([]rule, 0, len(f.Rules))
	for i := range f.Rules {
		r, wrong := f.Rules[i].compile()
		for _, w := range wrong {
			problems = append(problems, fmt.Errorf("rule[%d]%w", i+1, w))
		}
		all = append(all, r)
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return newRules(all), nil
}

// compile returns what is wrong with a rule, each as .key: why.
func (w *Rule) compile() (r rule, problems []error) {
	problem := func(key, format string, args ...any) {
		problems = append(problems, fmt.Errorf(".%s: "+format, append([]any{key}, args...)...))
	}
	if r.class = Class(w.Class); !slices.Contains(Classes(), r.class) {
		problem("class", "%q is no class; there are %s", w.Class, names())
	}
	if w.Code == nil && w.Status == nil && w.Text == nil && w.Match == "" {
		problem("class", "the rule would fit everything; say what of, with code, status, text or match")
	}
	for _, list := range [][]string{w.Code, w.Status, w.Text} {
		if list != nil && len(list) == 0 || len(list) > maxPhrases {
			problem("class", "a list of the rule has %d elements; there may be 1 to %d; leave the key out if it does not matter", len(list), maxPhrases)
		}
	}
	for _, s := range w.Code {
		c, ok := parseCodes(s)
		if !ok {
			problem("code", "%q is no reply code of a failure; write it as 550, 55x or 5xx", s)
		}
		r.code = append(r.code, c)
	}
	for _, s := range w.Status {
		st, ok := parseStatuses(s)
		if !ok {
			problem("status", "%q is no enhanced status code of a failure; write it as 5.1.1, x.2.2 or x.7.*", s)
		}
		r.status = append(r.status, st)
	}
	for _, s := range w.Text {
		p, err := parsePhrase(s)
		if err != nil {
			problem("text", "%w", err)
		}
		r.text = append(r.text, p)
	}
	if w.Match != "" {
		var err error
		if r.match, err = parseMatch(w.Match); err != nil {
			problem("match", "%w", err)
		}
	}
	return r, problems
}

// parseMatch compiles a regular expression for folded text.
func parseMatch(s string) (*regexp.Regexp, error) {
	if len(s) > maxMatch {
		return nil, fmt.Errorf("longer than %d bytes; write several rules", maxMatch)
	}
	if _, err := regexp.Compile(s); err != nil {
		return nil, fmt.Errorf("%w; write it in the syntax of RE2, in '…'", err)
	}
	return regexp.Compile("(?i:" + s + ")")
}

func names() string {
	var all []string
	for _, c := range Classes() {
		all = append(all, string(c))
	}
	return strings.Join(all, ", ")
}

// Document implements [settings.Documenter]: the file of a new server has no rules.
func (f *File) Document() (string, error) { return document, nil }

const document = `# Bounce classes of cgqd: own rules, which come before the built-in ones. "cgqd check" says
# what is wrong here; a running cgqd notices that it is edited. docs/operating.md lists the
# classes. The first rule that fits counts. Of its keys all must hold, and of a list one:
#
#   class    the class of what fits
#   code     reply codes: 550, 55x, 5xx
#   status   enhanced status codes: 5.1.1, x.2.2, x.7.*
#   text     words or phrases, in any case; a blank at an end stands for the end of a word
#   match    a regular expression (RE2), in any case
#
# Texts are compared without the mail addresses and enhanced status codes in them, and
# with single blanks.
#
# [[rule]]
# class = "reputation"
# code = ["5xx"]
# text = ["ask postmaster for admission", "our own blocklist"]
`
