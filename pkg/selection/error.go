package selection

import (
	"fmt"
	"strings"
	"unicode"
)

// An Error says what is wrong with Terms. All its texts can be shown: what is not
// printable in them is escaped, and they are short.
type Error struct {
	Field string // the term, such as "age", "sender-domain" or "where"
	Value string // what was written; empty for where, where Why shows it
	Why   string // what is wrong; for where with the line and a caret below it
	Hint  string // what to write instead, or empty
}

func (e *Error) Error() string {
	text := e.Summary()
	switch {
	case e.Hint == "":
	case strings.Contains(e.Why, "\n"):
		text += "\n" + e.Hint
	default:
		text += "; " + e.Hint
	}
	return text
}

// Summary is the error without its hint.
func (e *Error) Summary() string {
	text := e.Field
	if e.Value != "" {
		text += fmt.Sprintf(" %q", e.Value)
	}
	return text + ": " + e.Why
}

// refuse returns an Error for a value of a field.
func refuse(field, value, hint, why string, args ...any) *Error {
	return &Error{Field: field, Value: clean(value, 80), Why: clean(fmt.Sprintf(why, args...), 300), Hint: hint}
}

// clean returns a text of one line, at most max characters of it.
func clean(s string, limit int) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n++; n > limit {
			return b.String() + "…"
		}
		switch {
		case r == '\n' || r == '\t':
			b.WriteByte(' ')
		case !unicode.IsPrint(r):
			b.WriteRune(unicode.ReplacementChar)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// shown is how much of a long line a caret error shows.
const shown = 72

// caret returns why an expression is wrong, with the line and a caret below the
// place. The place is counted in characters.
func caret(text string, place int, why string) string {
	runes := []rune(text)
	place = max(0, min(place, len(runes)))
	line, begin := 1, 0
	for i, r := range runes[:place] {
		if r == '\n' {
			line, begin = line+1, i+1
		}
	}
	end := place
	for end < len(runes) && runes[end] != '\n' {
		end++
	}
	from, left := begin, ""
	if end-begin > shown && place-begin > shown/2 {
		from, left = place-shown/2, "…"
	}
	to, right := end, ""
	if end-from > shown {
		to, right = from+shown, "…"
	}
	return fmt.Sprintf("%s (%d:%d)\n | %s%s%s\n | %s^", clean(why, 300), line, place-begin+1,
		left, clean(string(runes[from:to]), shown), right, strings.Repeat(".", place-from+len([]rune(left))))
}
