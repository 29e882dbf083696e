package selection

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A between is the conditions of a term of numbers, all of which must hold.
type between struct {
	min, max    int64
	expressions []string
}

func (b *between) holds(n int64) bool { return b.min <= n && n <= b.max }

// A measure is a kind of number with its conditions.
type measure struct {
	flag    string
	example string                            // a value
	parse   func(string) (int64, string)      // a value, or why not
	write   func(n int64) (expression string) // a value in the language
}

var (
	ages = measure{"age", "2h",
		func(s string) (int64, string) { d, why := parseDuration(s); return int64(d), why },
		func(n int64) string { return "duration(" + quote(shortDuration(time.Duration(n))) + ")" }}
	sizes = measure{"size", "1M", parseSize, func(n int64) string { return strconv.FormatInt(n, 10) }}
)

// compile returns nil if there are no conditions.
func (m measure) compile(conditions []string) (*between, error) {
	if len(conditions) == 0 {
		return nil, nil
	}
	if len(conditions) > maxValues {
		return nil, refuse(m.flag, "", "", "%d values; %d are allowed", len(conditions), maxValues)
	}
	b := &between{min: math.MinInt64, max: math.MaxInt64}
	for _, c := range conditions {
		if err := m.add(b, c); err != nil {
			return nil, err
		}
	}
	if b.min > b.max {
		return nil, refuse(m.flag, strings.Join(conditions, " "), "", "nothing can be both")
	}
	return b, nil
}

func (m measure) add(b *between, condition string) error {
	hint := "write >" + m.example + ", <" + m.example + ", " + m.example + ".. or .." + m.example
	switch {
	case condition == "":
		return refuse(m.flag, "", hint, "an empty value")
	case len(condition) > maxValue || !utf8.ValidString(condition):
		return refuse(m.flag, condition, hint, "not a condition")
	}
	if from, to, ok := strings.Cut(condition, ".."); ok {
		if strings.TrimSpace(from+to) == "" {
			return refuse(m.flag, condition, hint, "a range without ends")
		}
		if err := m.bound(b, condition, ">=", from); err != nil {
			return err
		}
		return m.bound(b, condition, "<=", to)
	}
	for _, op := range []string{">=", "<=", ">", "<"} {
		if value, ok := strings.CutPrefix(condition, op); ok {
			if strings.TrimSpace(value) == "" {
				return refuse(m.flag, condition, hint, "no value after %s", op)
			}
			return m.bound(b, condition, op, value)
		}
	}
	if value := strings.TrimSpace(condition); m.is(value) {
		return refuse(m.flag, condition, "write >"+value+" or <"+value, "that is neither more nor less")
	}
	return refuse(m.flag, condition, hint, "not a condition")
}

func (m measure) is(value string) bool {
	_, why := m.parse(value)
	return why == ""
}

// bound narrows b. An end of a range that is left out narrows nothing.
func (m measure) bound(b *between, condition, op, value string) error {
	value = strings.TrimSpace(value)
	if value == "" {
		return nil
	}
	n, why := m.parse(value)
	if why != "" {
		return refuse(m.flag, condition, "", "%q: %s", value, why)
	}
	b.expressions = append(b.expressions, m.flag+" "+op+" "+m.write(n))
	switch op {
	case ">":
		if n == math.MaxInt64 {
			return refuse(m.flag, condition, "", "%q: nothing can be more", value)
		}
		b.min = max(b.min, n+1)
	case ">=":
		b.min = max(b.min, n)
	case "<":
		b.max = min(b.max, n-1)
	case "<=":
		b.max = min(b.max, n)
	}
	return nil
}

var units = []string{"ns", "us", "µs", "μs", "ms", "s", "m", "h"}

// parseDuration reads a duration of the units of Go, and d and w.
func parseDuration(s string) (total time.Duration, why string) {
	const form = "not a duration; write 90s, 10m, 2h, 1d or 1w"
	if s == "0" {
		return 0, ""
	}
	for rest := s; rest != "" || s == ""; {
		n := len(rest) - len(strings.TrimLeft(rest, "0123456789."))
		number := rest[:n]
		rest = rest[n:]
		n = strings.IndexAny(rest, "0123456789.")
		if n < 0 {
			n = len(rest)
		}
		unit, times := rest[:n], time.Duration(1)
		rest = rest[n:]
		switch unit {
		case "d":
			unit, times = "h", 24
		case "w":
			unit, times = "h", 7*24
		}
		if number == "" || unit == "" {
			return 0, form
		}
		d, err := time.ParseDuration(number + unit)
		switch {
		case err != nil && strings.Trim(number, "0123456789") == "" && slices.Contains(units, unit):
			return 0, "too long; 290 years are the most"
		case err != nil:
			return 0, form
		case d > (math.MaxInt64-total)/times:
			return 0, "too long; 290 years are the most"
		}
		total += d * times
	}
	return total, ""
}

// shortDuration is a duration without its zeros: 2h, not 2h0m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// parseSize reads bytes, with k, M or G for powers of 1024, and B or iB after it.
func parseSize(s string) (int64, string) {
	const form = "not a size; write 500, 10k, 1M or 2G"
	digits := strings.TrimLeft(s, "0123456789")
	number, unit := s[:len(s)-len(digits)], strings.ToLower(digits)
	times := int64(1)
	if unit != "" && unit != "b" {
		i := strings.IndexByte("kmg", unit[0])
		if i < 0 || unit[1:] != "" && unit[1:] != "b" && unit[1:] != "ib" {
			return 0, form
		}
		times = 1 << (10 * (i + 1))
	}
	if number == "" {
		return 0, form
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n > math.MaxInt64/times {
		return 0, "too large"
	}
	return n * times, ""
}
