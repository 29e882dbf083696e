package selection

import (
	"bytes"
	"errors"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"

	"cgq/pkg/mail"
)

// The limits of what somebody may write.
const (
	maxValues   = 1000    // values of one term
	maxValue    = 1 << 10 // bytes of a value
	maxPatterns = 8 << 10 // bytes of all regular expressions of a selection
)

// texts are the values of one term of text, of which one must hold. All are in
// lower case, and are compared with a text in lower case.
type texts struct {
	field   *Field
	equal   []string // sorted
	set     map[string]struct{}
	wild    []wildcard
	parts   []string
	sources []string // of the regular expressions
	regexps []*regexp.Regexp
}

// newTexts returns nil if the term is not set. It takes what its regular expressions
// need out of the budget.
func newTexts(f *Field, t *Terms, budget *int) (*texts, error) {
	values := f.given(t)
	if len(values) == 0 {
		return nil, nil
	}
	if len(values) > maxValues {
		return nil, refuse(f.Flag, "", "", "%d values; %d are allowed", len(values), maxValues)
	}
	x := &texts{field: f}
	for _, v := range values {
		if err := x.add(v, budget); err != nil {
			return nil, err
		}
	}
	x.equal, x.parts, x.sources = unique(x.equal), unique(x.parts), unique(x.sources)
	slices.SortFunc(x.wild, func(a, b wildcard) int { return strings.Compare(string(a), string(b)) })
	x.wild = slices.Compact(x.wild)
	x.set = make(map[string]struct{}, len(x.equal))
	for _, v := range x.equal {
		x.set[v] = struct{}{}
	}
	for _, source := range x.sources {
		re, err := pattern(source)
		if err != nil {
			return nil, refuse(f.Flag, "~"+source, "", "%s", err)
		}
		x.regexps = append(x.regexps, re)
	}
	return x, nil
}

// only is the one text that a subject must have.
func (x *texts) only() (string, bool) {
	if x == nil || len(x.equal) != 1 || len(x.wild)+len(x.parts)+len(x.regexps) > 0 {
		return "", false
	}
	return x.equal[0], true
}

func unique(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

func (x *texts) add(v string, budget *int) error {
	f := x.field
	source, isRegexp := strings.CutPrefix(v, "~")
	switch {
	case v == "":
		return refuse(f.Flag, "", emptyHint(f), "an empty value")
	case len(v) > maxValue:
		return refuse(f.Flag, v, "", "longer than %d bytes", maxValue)
	case !utf8.ValidString(v):
		return refuse(f.Flag, v, "", "not UTF-8")
	case isRegexp && !f.Regexp:
		return refuse(f.Flag, v, "", "this takes no regular expression")
	case isRegexp && source == "":
		return refuse(f.Flag, v, "", "an empty regular expression")
	case isRegexp:
		if *budget -= len(source); *budget < 0 {
			return refuse(f.Flag, v, "", "the regular expressions are longer than %d bytes together", maxPatterns)
		}
		x.sources = append(x.sources, source)
	case f.Part:
		x.parts = append(x.parts, lower(v))
	case f.Wild && strings.Contains(v, "*"):
		if f.address != nil && v[0] == '<' && v[len(v)-1] == '>' {
			v = v[1 : len(v)-1]
		}
		x.wild = append(x.wild, newWildcard(v))
	case f.plain != nil:
		plain, why := f.plain(v)
		if why != "" {
			why, hint, _ := strings.Cut(why, "; ")
			return refuse(f.Flag, v, hint, "%s", why)
		}
		x.equal = append(x.equal, plain)
	default:
		x.equal = append(x.equal, lower(v))
	}
	return nil
}

func emptyHint(f *Field) string {
	if f.Name == "sender" {
		return "the null return path is written <>"
	}
	return "leave the flag out, or give it a value"
}

// pattern compiles a regular expression as the whole language understands it.
func pattern(source string) (*regexp.Regexp, error) {
	re, err := regexp.Compile(ignoreCase + source)
	var bad *syntax.Error
	if errors.As(err, &bad) {
		return nil, errors.New("not a regular expression: " + bad.Code.String())
	}
	return re, err
}

const ignoreCase = "(?i)"

// holds says whether one of the values holds for a subject. It allocates nothing,
// unless there are regular expressions or the text is long or not ASCII.
func (x *texts) holds(sub Subject) bool {
	var room [256]byte
	if x.field.address != nil {
		return x.holdsLower(appendAddress(room[:0], x.field.address(sub)))
	}
	return x.holdsLower(appendLower(room[:0], x.field.text(sub)))
}

// holdsText is holds for a text; nil holds for all.
func (x *texts) holdsText(s string) bool {
	var room [256]byte
	return x == nil || x.holdsLower(appendLower(room[:0], s))
}

func (x *texts) holdsLower(text []byte) bool {
	if len(x.equal) == 1 {
		if string(text) == x.equal[0] {
			return true
		}
	} else if _, ok := x.set[string(text)]; ok {
		return true
	}
	for _, w := range x.wild {
		if w.match(text) {
			return true
		}
	}
	for _, p := range x.parts {
		if contains(text, p) {
			return true
		}
	}
	if len(x.regexps) == 0 {
		return false
	}
	s := string(text)
	for _, re := range x.regexps {
		if re.MatchString(s) {
			return true
		}
	}
	return false
}

// appendLower appends a text as lower has it.
func appendLower(b []byte, s string) []byte {
	begin := len(b)
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= utf8.RuneSelf:
			return append(b[:begin], lower(s)...)
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		b = append(b, c)
	}
	return b
}

// appendAddress appends the text form of an address as lower has it.
func appendAddress(b []byte, a mail.Address) []byte {
	if a.Local == "" || a.Domain == "" {
		return appendLower(b, a.String())
	}
	b = appendLower(b, mail.Address{Local: a.Local}.String())
	return appendLower(append(b, '@'), a.Domain)
}

// expression is the term in the language.
func (x *texts) expression() string {
	var or []string
	name := x.field.Name
	switch len(x.equal) {
	case 0:
	case 1:
		or = append(or, name+" == "+quote(x.equal[0]))
	default:
		or = append(or, name+" in ["+quoteAll(x.equal)+"]")
	}
	if len(x.wild) > 0 {
		or = append(or, "wild("+name+", "+quoteAll(x.wild)+")")
	}
	for _, p := range x.parts {
		or = append(or, name+" contains "+quote(p))
	}
	for _, s := range x.sources {
		or = append(or, name+" matches "+quote(s))
	}
	if len(or) == 1 {
		return or[0]
	}
	return "(" + strings.Join(or, " || ") + ")"
}

// A wildcard is a text in lower case in which * stands for any run of characters.
type wildcard string

func newWildcard(s string) wildcard {
	for strings.Contains(s, "**") {
		s = strings.ReplaceAll(s, "**", "*")
	}
	return wildcard(lower(s))
}

// match looks for the pieces between the * from left to right, each as far left as
// it is: if any choice fits, this one does.
func (w wildcard) match(text []byte) bool {
	first, rest, more := strings.Cut(string(w), "*")
	if !more {
		return string(text) == first
	}
	if len(text) < len(first) || string(text[:len(first)]) != first {
		return false
	}
	text = text[len(first):]
	for {
		var piece string
		if piece, rest, more = strings.Cut(rest, "*"); !more {
			return len(text) >= len(piece) && string(text[len(text)-len(piece):]) == piece
		}
		i := index(text, piece)
		if i < 0 {
			return false
		}
		text = text[i+len(piece):]
	}
}

func contains(text []byte, part string) bool { return index(text, part) >= 0 }

// index is bytes.Index for a text that is a string.
func index(text []byte, part string) int {
	if part == "" {
		return 0
	}
	for from := 0; from+len(part) <= len(text); {
		i := bytes.IndexByte(text[from:len(text)-len(part)+1], part[0])
		if i < 0 {
			return -1
		}
		if from += i; string(text[from:from+len(part)]) == part {
			return from
		}
		from++
	}
	return -1
}
