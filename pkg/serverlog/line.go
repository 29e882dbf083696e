package serverlog

import (
	"log/slog"
	"strconv"
	"strings"
	"time"
)

// A Line is a line of the log, read back. Its texts are escaped, as in the file.
type Line struct {
	Time  time.Time
	Level slog.Level
	Tag   string // as it stands there: SMTPI-060353([197.26.11.151])
	ID    uint64 // of the message that it is about; 0: none
	Text  string // with the attributes
}

// Component is the tag without session and subject: SMTPI.
func (l Line) Component() string {
	if i := strings.IndexAny(l.Tag, "-("); i >= 0 {
		return l.Tag[:i]
	}
	return l.Tag
}

// String is the line as it stands in the file.
func (l Line) String() string {
	b := l.Time.AppendFormat(nil, clockLayout)
	b = append(b, ' ', byte('0'+LevelDigit(l.Level)), ' ')
	b = append(b, l.Tag...)
	if l.ID != 0 && subjectID(l.Tag) == 0 {
		b = append(b, " ["...)
		b = appendUint(b, l.ID)
		b = append(b, ']')
	}
	b = append(b, ' ')
	return string(append(b, l.Text...))
}

// ParseLine reads a line, with or without its end, of the file of the given day.
// What is no line of a log is not ok, such as one that a crash cut short.
func ParseLine(s string, day time.Time) (l Line, ok bool) {
	s = strings.TrimSuffix(s, "\n")
	const head = len(clockLayout) + len(" L ")
	if len(s) < head || s[len(clockLayout)] != ' ' || s[head-1] != ' ' {
		return Line{}, false
	}
	hour, ok1 := number(s[0:2], ':', s[2])
	minute, ok2 := number(s[3:5], ':', s[5])
	second, ok3 := number(s[6:8], '.', s[8])
	milli, ok4 := number(s[9:12], ' ', s[12])
	digit := int(s[13]) - '0'
	if !ok1 || !ok2 || !ok3 || !ok4 || digit < 0 || digit >= len(levels) {
		return Line{}, false
	}
	l.Tag, l.Text, ok = strings.Cut(s[head:], " ")
	if !ok || l.Tag == "" {
		return Line{}, false
	}
	year, month, date := day.Date()
	l.Time = time.Date(year, month, date, hour, minute, second, milli*1e6, day.Location())
	l.Level = levels[digit].at
	if l.ID = subjectID(l.Tag); l.ID != 0 {
		return l, true
	}
	if id, n := bracketed(l.Text); n > 0 && strings.HasPrefix(l.Text[n:], " ") {
		l.ID, l.Text = id, l.Text[n+1:]
	}
	return l, true
}

// number reads the digits d, behind which c should be end.
func number(d string, end, c byte) (int, bool) {
	n := 0
	for i := range len(d) {
		if d[i] < '0' || d[i] > '9' {
			return 0, false
		}
		n = 10*n + int(d[i]-'0')
	}
	return n, c == end
}

// subjectID is the id in a tag such as QUEUE([4711]), or 0.
func subjectID(tag string) uint64 {
	_, subject, ok := strings.Cut(tag, "(")
	if id, n := bracketed(subject); ok && n > 0 && subject[n:] == ")" {
		return id
	}
	return 0
}

// bracketed reads "[4711]" at the beginning of s; n is its length, or 0.
func bracketed(s string) (id uint64, n int) {
	end := strings.IndexByte(s, ']')
	if end < 2 || s[0] != '[' || s[1] < '1' || s[1] > '9' {
		return 0, 0
	}
	id, err := strconv.ParseUint(s[1:end], 10, 64)
	if err != nil {
		return 0, 0
	}
	return id, end + 1
}
