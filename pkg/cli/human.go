package cli

import (
	"errors"
	"strconv"
	"time"

	"cgq/pkg/cli/screen"
)

func duration(d time.Duration) string { return screen.Duration(d) }
func size(n int64) string             { return screen.Size(n) }

// clock is a point in time in the zone of the reader.
func clock(t time.Time, zone *time.Location) string { return t.In(zone).Format(time.DateTime) }

// plural is n with its noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// ago is a point in time of the past, and how long ago that is; empty: unknown.
func (a *app) ago(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return clock(t, a.now().Location()) + ", " + duration(a.now().Sub(t)) + " ago"
}

// till is a point in time that is to come, and how far it is.
func (a *app) till(t time.Time) string {
	switch {
	case t.IsZero():
		return ""
	case !t.After(a.now()):
		return clock(t, a.now().Location()) + ", now"
	}
	return clock(t, a.now().Location()) + ", in " + duration(t.Sub(a.now()))
}

// expiry is what becomes of a message, and when.
func (a *app) expiry(t time.Time) string {
	return a.till(t) + ": a failure from then on is its last"
}

// narrow reports whether out is a terminal on which not every column has its place.
func (a *app) narrow() bool { return a.width > 0 && a.width < 100 }

// showName shows the name of a queue, or an address: on a terminal a quarter of the line
// at most, cut in the middle, since one that is very long would push the errors of all
// from the screen. -o wide has it whole.
func (a *app) showName(v any, now time.Time) string {
	s := showText(v, now)
	if a.width == 0 || a.format == formWide || len(a.columns) > 0 {
		return s
	}
	return screen.CutMiddle(safe(s), max(leastName, a.width/4))
}

// length is a flag for a length of time above nothing, such as 90s, 4h, 2d or 1w.
type length time.Duration

var lengthUnits = map[byte]time.Duration{'d': 24 * time.Hour, 'w': 7 * 24 * time.Hour}

func (l *length) Set(s string) error {
	d, err := time.ParseDuration(s)
	if n := len(s) - 1; err != nil && n > 0 && lengthUnits[s[n]] > 0 {
		var many int
		if many, err = strconv.Atoi(s[:n]); err == nil && many < 100_000 {
			d = time.Duration(many) * lengthUnits[s[n]]
		}
	}
	if err != nil || d < time.Second {
		return errors.New("not a length of time; write 90s, 10m, 4h, 2d or 1w")
	}
	*l = length(d)
	return nil
}

func (l *length) String() string { return "0" }
func (l *length) Type() string   { return "duration" }
