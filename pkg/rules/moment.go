package rules

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// days are the names of the days, by [time.Weekday].
var days = [...]string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}

// A span is from one minute of the day up to another, which is not in it; over midnight
// when the end is not after the beginning.
type span struct{ from, till int }

func (s span) has(minute int) bool {
	if s.from < s.till {
		return s.from <= minute && minute < s.till
	}
	return minute >= s.from || minute < s.till
}

// parseSpans reads hh:mm-hh:mm, several with commas between them.
func parseSpans(text string) (all []span, err error) {
	for _, e := range elements(text) {
		a, b, ok := strings.Cut(e, "-")
		from, okA := minute(a)
		till, okB := minute(b)
		if !ok || !okA || !okB || from == 24*60 || from == till {
			return nil, fmt.Errorf("%q is no time of day; write 22:00-06:00", e)
		}
		all = append(all, span{from, till})
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%q is no time of day; write 22:00-06:00", text)
	}
	return all, nil
}

// minute reads hh:mm, 24:00 included.
func minute(s string) (int, bool) {
	h, m, ok := strings.Cut(strings.TrimSpace(s), ":")
	hour, errH := strconv.ParseUint(h, 10, 8)
	minutes, errM := strconv.ParseUint(m, 10, 8)
	if !ok || errH != nil || errM != nil || len(m) != 2 || len(h) > 2 || hour > 24 || minutes > 59 || hour == 24 && minutes > 0 {
		return 0, false
	}
	return int(hour*60 + minutes), true
}

// parseDate reads dd Mon yyyy hh:mm:ss, or a day alone, which is its first second. The
// answer is in UTC; where it is meant the message says.
func parseDate(text string) (time.Time, error) {
	text = strings.Join(strings.Fields(text), " ")
	for _, form := range []string{"2 Jan 2006 15:04:05", "2 Jan 2006 15:04", "2 Jan 2006"} {
		if t, err := time.Parse(form, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no date; write 24 Dec 2026 12:00:00, or 24 Dec 2026", text)
}

// at is the date t in the place of now.
func at(t, now time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, now.Location())
}

// parseSize reads a number of bytes, with K, M or G behind it.
func parseSize(text string) (int64, error) {
	digits, unit := strings.TrimSpace(text), int64(1)
	if n := len(digits); n > 0 {
		switch digits[n-1] {
		case 'k', 'K':
			unit = 1 << 10
		case 'm', 'M':
			unit = 1 << 20
		case 'g', 'G':
			unit = 1 << 30
		}
		if unit > 1 {
			digits = strings.TrimSpace(digits[:n-1])
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/unit {
		return 0, fmt.Errorf("%q is no size; write 100000, 512K or 10M", text)
	}
	return n * unit, nil
}
