package settings

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A Duration is a length of time as people write it in a settings file: 90s, 5m,
// 2h30m, 5d, 1w. It is never negative there. A day has 24 hours.
type Duration time.Duration

// Day and Week are the units that package time does not name.
const (
	Day  = Duration(24 * time.Hour)
	Week = 7 * Day
)

// D is the Duration for package time.
func (d Duration) D() time.Duration { return time.Duration(d) }

// ParseDuration reads what String writes: whole weeks (w) and days (d), then what
// [time.ParseDuration] reads. A number without a unit is an error, except 0.
func ParseDuration(s string) (Duration, error) {
	var sum Duration
	rest := s
	for _, u := range []struct {
		name string
		unit Duration
	}{{"w", Week}, {"d", Day}} {
		digits, tail, ok := strings.Cut(rest, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 32)
		if err != nil || n > uint64((math.MaxInt64-sum)/u.unit) {
			return 0, badDuration(s)
		}
		sum, rest = sum+Duration(n)*u.unit, tail
		if rest == "" {
			return sum, nil
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 || rest[0] == '-' || rest[0] == '+' || Duration(d) > math.MaxInt64-sum {
		return 0, badDuration(s)
	}
	return sum + Duration(d), nil
}

func badDuration(s string) error {
	return fmt.Errorf("%q is not a length of time such as 90s, 5m, 2h30m, 5d or 1w", s)
}

// String is the shortest form of d that ParseDuration reads: 1w, 8d, 1d12h, 2h30m.
func (d Duration) String() string {
	switch {
	case d < 0:
		return time.Duration(d).String() // no settings file has one
	case d > 0 && d%Week == 0:
		return strconv.FormatInt(int64(d/Week), 10) + "w"
	case d >= Day:
		s := strconv.FormatInt(int64(d/Day), 10) + "d"
		if rest := d % Day; rest != 0 {
			s += rest.String()
		}
		return s
	}
	s := time.Duration(d).String() // 2h30m0s, 5m0s, 1h0m0s, 90ms
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText implements [encoding.TextMarshaler].
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *Duration) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDuration(string(text))
	return err
}
