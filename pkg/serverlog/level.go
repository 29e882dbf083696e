package serverlog

import (
	"log/slog"
	"strings"
)

// The chapter's log levels as slog levels. Failures, Problems, Low Level and All
// Info are the four that slog already names, so log.Error, Warn, Info and Debug
// write at 1, 3, 4 and 5; for the other two there is log.Log.
const (
	Crash   = slog.Level(12)  // 0 Crashes Only
	Failure = slog.LevelError // 1 Failures
	Major   = slog.Level(6)   // 2 Major & Failures
	Problem = slog.LevelWarn  // 3 Problems
	Low     = slog.LevelInfo  // 4 Low Level
	All     = slog.LevelDebug // 5 All Info
)

// levels are in the order of their digits.
var levels = [...]struct {
	at   slog.Level
	name string
}{
	{Crash, "Crashes Only"}, {Failure, "Failures"}, {Major, "Major & Failures"},
	{Problem, "Problems"}, {Low, "Low Level"}, {All, "All Info"},
}

// LevelDigit is the digit of a level in a line of the log, 0 to 5. A level between
// two of the chapter's has that of the less important one.
func LevelDigit(l slog.Level) int {
	for d := range levels {
		if l >= levels[d].at {
			return d
		}
	}
	return len(levels) - 1
}

// LevelName is the chapter's name of a level, such as "Major & Failures".
func LevelName(l slog.Level) string { return levels[LevelDigit(l)].name }

// ParseLevel reads a digit, a name, or the first word of a name, in any case:
// 2, major & failures, Major.
func ParseLevel(s string) (slog.Level, bool) {
	for d, l := range levels {
		first, _, _ := strings.Cut(l.name, " ")
		if s == string(rune('0'+d)) || strings.EqualFold(s, l.name) || strings.EqualFold(s, first) {
			return l.at, true
		}
	}
	return 0, false
}
