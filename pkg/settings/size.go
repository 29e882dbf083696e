package settings

import (
	"fmt"
	"math"
	"strconv"
)

// A Size is a number of bytes as people write it in a settings file: plain, or
// with K, M, G or T behind it, which are powers of 1024: 256K, 16M, 1G. It is
// never negative there.
type Size int64

// The units of a Size.
const (
	KiB Size = 1 << (10 * (iota + 1))
	MiB
	GiB
	TiB
)

const sizeUnits = "KMGT"

// ParseSize reads what String writes.
func ParseSize(s string) (Size, error) {
	digits, unit := s, Size(1)
	if n := len(s) - 1; n > 0 {
		for i := range sizeUnits {
			if s[n]&^0x20 == sizeUnits[i] { // 16m is 16M
				digits, unit = s[:n], KiB<<(10*i)
			}
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || Size(n) > math.MaxInt64/unit {
		return 0, fmt.Errorf("%q is not a number of bytes such as 1048576, 256K, 16M or 1G", s)
	}
	return Size(n) * unit, nil
}

// String is the number with the largest unit that it is a multiple of.
func (n Size) String() string {
	for i := len(sizeUnits) - 1; i >= 0; i-- {
		if unit := KiB << (10 * i); n != 0 && n%unit == 0 {
			return strconv.FormatInt(int64(n/unit), 10) + sizeUnits[i:i+1]
		}
	}
	return strconv.FormatInt(int64(n), 10)
}

// MarshalText implements [encoding.TextMarshaler].
func (n Size) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (n *Size) UnmarshalText(text []byte) (err error) {
	*n, err = ParseSize(string(text))
	return err
}
