package program

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// A Line is a command line with its flags, as Execute of the Rules and the domain pipe have
// it: [FLAG] … program argument …
type Line struct {
	Args    []string // the program, then its arguments
	File    bool     // [FILE]: it is told the name of the file, and gets no input
	RetPath bool     // [RETPATH]: it is told the return path
	Rcpt    bool     // [RCPT]: it is told the recipients
	Stderr  bool     // [STDERR]: what it writes to stderr is the reason if it fails
}

var errNoProgram = errors.New("no program")

// ParseLine reads a command line: flags in brackets, which may be in any case and order, then
// what [Split] reads. A line without a program, or with another flag, is an error.
func ParseLine(s string) (*Line, error) {
	l, rest := &Line{}, strings.TrimSpace(s)
	for strings.HasPrefix(rest, "[") {
		word, after, ok := strings.Cut(rest[1:], "]")
		if !ok {
			return nil, fmt.Errorf("%q has no closing bracket", rest)
		}
		flag := l.flag(word)
		if flag == nil {
			return nil, fmt.Errorf("there is no flag [%s]; there are [FILE], [RETPATH], [RCPT] and [STDERR]", word)
		}
		*flag, rest = true, strings.TrimSpace(after)
	}
	if rest == "" {
		return nil, errNoProgram
	}
	args, err := Split(rest)
	if err != nil {
		return nil, err
	}
	if args[0] == "" {
		return nil, errNoProgram
	}
	l.Args = args
	return l, nil
}

// flag is what a word in brackets sets; nil: there is no such flag.
func (l *Line) flag(word string) *bool {
	switch strings.ToUpper(strings.TrimSpace(word)) {
	case "FILE":
		return &l.File
	case "RETPATH":
		return &l.RetPath
	case "RCPT":
		return &l.Rcpt
	case "STDERR":
		return &l.Stderr
	}
	return nil
}

// Arguments are those of the program: what is written, then, by its flags, -f and the name of
// the file, -p and the return path, -r and the recipients.
func (l *Line) Arguments(file, returnPath string, to ...string) []string {
	args := slices.Clone(l.Args[1:])
	if l.File {
		args = append(args, "-f", file)
	}
	if l.RetPath {
		args = append(args, "-p", returnPath)
	}
	if l.Rcpt {
		args = append(append(args, "-r"), to...)
	}
	return args
}

// maxSaid is how much of what a program has said goes into a text for people, in bytes.
const maxSaid = 1000

// OneLine makes one line of what a program has said: valid UTF-8, without control characters,
// of 1000 bytes at most, and a sign that there was more.
func OneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if s = strings.Join(strings.Fields(s), " "); len(s) > maxSaid {
		s = strings.ToValidUTF8(s[:maxSaid], "") + "…"
	}
	return s
}
