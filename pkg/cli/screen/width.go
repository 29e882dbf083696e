package screen

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/clipperhouse/displaywidth"
	"github.com/mattn/go-runewidth"
	"github.com/olekukonko/tablewriter/pkg/twwidth"
)

// Width is how many columns s takes, as the tables count them.
func Width(s string) int {
	if ascii(s) { // as most are
		return len(s)
	}
	return twwidth.Width(s)
}

// Cut returns s, or as much of it as fits into width columns, with … where it was cut.
func Cut(s string, width int) string {
	switch {
	case width <= 0:
		return ""
	case Width(s) <= width:
		return s
	}
	return twwidth.Truncate(s, width, "…")
}

// CutMiddle returns s, or its beginning and its end, in at most width columns, with … where
// it was cut: the end of a long domain says most.
func CutMiddle(s string, width int) string {
	if width < 3 || Width(s) <= width {
		return Cut(s, width)
	}
	head := twwidth.Truncate(s, (width-1)/2)
	tail := []rune(s[len(head):])
	for Width(string(tail)) > width-1-Width(head) {
		tail = tail[1:]
	}
	return head + "…" + string(tail)
}

// Fit is s in exactly width columns: cut, or with blanks behind.
func Fit(s string, width int) string {
	s = Cut(s, width)
	return s + strings.Repeat(" ", max(0, width-Width(s)))
}

// FitRight is s in exactly width columns: cut, or with blanks before.
func FitRight(s string, width int) string {
	s = Cut(s, width)
	return strings.Repeat(" ", max(0, width-Width(s))) + s
}

// maxMarks is how many marks may stand above and below one letter: more climb into the
// lines around it.
const maxMarks = 3

// Firm is [Safe], and of a width that no terminal disputes: what some draw as one sign
// and others as several (emoji with joiners and modifiers, flags), and marks without a
// letter, are escaped. A screen with columns needs that; a list does not.
func Firm(s string) string {
	s = Safe(s)
	if ascii(s) {
		return s
	}
	var b strings.Builder
	for g := displaywidth.StringGraphemes(s); g.Next(); {
		cluster := g.Value()
		if whole, wide, marks := simple(cluster); whole && wide == g.Width() && marks <= maxMarks {
			b.WriteString(cluster)
			continue
		}
		for _, r := range cluster {
			if r < 0x80 {
				b.WriteRune(r)
			} else {
				b.WriteString(escape(r))
			}
		}
	}
	return b.String()
}

// ascii reports whether a text is printable ASCII alone: it needs no further look, and each
// byte is a column.
func ascii[Text string | []byte](s Text) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// simple reports whether a cluster is a letter with marks, the columns of its runes one
// by one, and the number of its marks.
func simple(cluster string) (ok bool, width, marks int) {
	for i, r := range cluster {
		n := displaywidth.Rune(r)
		if disputed(r) || i == 0 && n == 0 {
			return false, 0, 0
		}
		if width += n; n == 0 {
			marks++
		}
	}
	return true, width, marks
}

// old counts as terminals do that know runes and no clusters.
var old = &runewidth.Condition{}

// disputed reports whether terminals differ about the columns of a rune: joiners,
// variation selectors, the letters of flags, modifiers of emoji, and what tables differ
// about.
func disputed(r rune) bool {
	return displaywidth.Rune(r) != old.RuneWidth(r) || unicode.Is(unicode.Cf, r) ||
		unicode.Is(unicode.Variation_Selector, r) || unicode.Is(unicode.Regional_Indicator, r) || r >= 0x1f3fb && r <= 0x1f3ff || r == 0x20e3
}

func escape(r rune) string {
	if r < 0x10000 {
		return fmt.Sprintf(`\u%04x`, r)
	}
	return fmt.Sprintf(`\U%08x`, r)
}

// Wrap breaks a line, which is safe already, into several of at most width columns, at
// blanks where there are some. What goes on in the next one is indented.
func Wrap(line string, width int) (lines []string) {
	const indent = "    "
	for Width(line) > width && width > 2*len(indent) {
		head := twwidth.Truncate(line, width)
		if i := strings.LastIndexByte(head, ' '); i > width/2 {
			head = head[:i+1]
		}
		lines = append(lines, strings.TrimRight(head, " "))
		line = indent + line[len(head):]
	}
	return append(lines, Cut(line, width))
}
