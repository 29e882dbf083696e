package settings_test

import (
	"math"
	"testing"
	"time"

	"cgq/pkg/settings"
)

func TestDuration(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		in   string
		want time.Duration
		text string // empty: as in
	}{
		{"90s", 90 * time.Second, "1m30s"},
		{"5m", 5 * time.Minute, ""},
		{"2h30m", 150 * time.Minute, ""},
		{"2h", 2 * time.Hour, ""},
		{"2h0m5s", 2*time.Hour + 5*time.Second, ""},
		{"1.5h", 90 * time.Minute, "1h30m"},
		{"100ms", 100 * time.Millisecond, ""},
		{"10m", 10 * time.Minute, ""},
		{"20h", 20 * time.Hour, ""},
		{"24h", day, "1d"},
		{"5d", 5 * day, ""},
		{"8d", 8 * day, ""},
		{"1w", 7 * day, ""},
		{"1w1d", 8 * day, "8d"},
		{"1w12h", 7*day + 12*time.Hour, "7d12h"},
		{"1d12h", 36 * time.Hour, ""},
		{"0", 0, "0s"},
		{"0d", 0, "0s"},
	} {
		got, err := settings.ParseDuration(tt.in)
		if err != nil || got.D() != tt.want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", tt.in, got.D(), err, tt.want)
		}
		text := tt.text
		if text == "" {
			text = tt.in
		}
		if got.String() != text {
			t.Errorf("ParseDuration(%q).String() = %q, want %q", tt.in, got, text)
		}
	}
	for _, in := range []string{"", "5", "-5m", "+5m", "1d-5m", "5 m", "d", "1d1w", "1.5d", "5x", "-1d", "1d5",
		"99999999999w",
		"15250w5d", "2600000h"} {
		if got, err := settings.ParseDuration(in); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", in, got)
		}
	}
}

func TestDurationSurvivesItsText(t *testing.T) {
	for d := settings.Duration(1); d > 0 && d < math.MaxInt64/3; d = d*3 + 1 {
		got, err := settings.ParseDuration(d.String())
		if err != nil || got != d {
			t.Errorf("%d = %q comes back as %d, %v", int64(d), d, int64(got), err)
		}
	}
}

func TestSize(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want settings.Size
		text string
	}{
		{"0", 0, "0"},
		{"1000", 1000, "1000"},
		{"1024", 1024, "1K"},
		{"256K", 256 << 10, "256K"},
		{"256k", 256 << 10, "256K"},
		{"16M", 16 << 20, "16M"},
		{"1536M", 1536 << 20, "1536M"},
		{"1G", 1 << 30, "1G"},
		{"2048G", 2 << 40, "2T"},
	} {
		got, err := settings.ParseSize(tt.in)
		if err != nil || got != tt.want || got.String() != tt.text {
			t.Errorf("ParseSize(%q) = %d %q, %v; want %d %q", tt.in, int64(got), got, err, int64(tt.want), tt.text)
		}
	}
	for _, in := range []string{"", "K", "-1", "+1K", "1.5M", "1KB", "1 K", "9000000T", "99999999999999999999"} {
		if got, err := settings.ParseSize(in); err == nil {
			t.Errorf("ParseSize(%q) = %v, want an error", in, got)
		}
	}
}
