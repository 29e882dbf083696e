package settings

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxShown is how many letters of a line are shown, and maxProblems how many problems with
// their lines.
const (
	maxShown    = 100
	maxProblems = 20
)

// Show is the problems as a person reads them: below each the line of the file, and below
// that a caret where the cause stands. text returns a file. What in a line could command a
// terminal is made visible.
func (ps Problems) Show(text func(file string) string) string {
	var b strings.Builder
	for i, p := range ps {
		if i == maxProblems {
			fmt.Fprintf(&b, "\nand %d more", len(ps)-i)
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.Error())
		if line, ok := nthLine(text(p.File), p.Line); ok && strings.TrimSpace(line) != "" {
			shown, caret := pointAt(line, p.Column)
			fmt.Fprintf(&b, "\n    %s\n    %s^", shown, strings.Repeat(" ", caret))
		}
	}
	return b.String()
}

// nthLine is a line of a text, from 1.
func nthLine(text string, n int) (string, bool) {
	for line := range strings.Lines(text) {
		if n--; n == 0 {
			return strings.TrimRight(line, "\r\n"), true
		}
	}
	return "", false
}

// pointAt is a line as it is shown, and how many letters of it stand before a column.
func pointAt(line string, column int) (shown string, caret int) {
	if column < 1 || column > len(line)+1 {
		column = 1 + len(line) - len(strings.TrimLeft(line, " \t"))
	}
	before := []rune(visible(line[:column-1]))
	behind := []rune(visible(line[column-1:]))
	if most := maxShown / 2; len(before) > most {
		before = append([]rune("…"), before[len(before)-most:]...)
	}
	if room := maxShown - len(before); len(behind) > room {
		behind = append(behind[:room:room], '…')
	}
	return string(before) + string(behind), len(before)
}

// visible is a text in which nothing is hidden, and a letter is one column wide.
func visible(s string) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == '\t':
			b.WriteByte(' ')
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}
