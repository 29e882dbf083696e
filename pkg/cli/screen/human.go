package screen

import (
	"fmt"
	"strconv"
	"time"
)

// Duration is a length of time in its two largest units: 45s, 2m05s, 2h13m, 1d02h.
func Duration(d time.Duration) string {
	s := int64(d / time.Second)
	switch {
	case s < 0:
		return "0s"
	case s < 60:
		return strconv.FormatInt(s, 10) + "s"
	case s < 3600:
		return pair(s/60, 'm', s%60, 's')
	case s < 24*3600:
		return pair(s/3600, 'h', s/60%60, 'm')
	}
	return pair(s/86400, 'd', s/3600%24, 'h')
}

// pair is two numbers with their units, the second of two digits: 5m07s.
func pair(n int64, unit byte, m int64, small byte) string {
	var room [24]byte
	b := append(strconv.AppendInt(room[:0], n, 10), unit, byte('0'+m/10), byte('0'+m%10), small)
	return string(b)
}

// Size is a number of bytes in the largest binary unit with one digit behind the
// point: 512, 4.2K, 31.2M.
func Size(n int64) string {
	if n < 1024 {
		return strconv.FormatInt(n, 10)
	}
	f := float64(n) / 1024
	for _, unit := range "KMG" {
		if f < 1023.95 { // 1024.0 belongs to the next
			return fmt.Sprintf("%.1f%c", f, unit)
		}
		f /= 1024
	}
	return fmt.Sprintf("%.1fT", f)
}
