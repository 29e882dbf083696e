package cli

import (
	"encoding/json"
	"testing"
	"time"
	"unicode/utf8"
)

func TestSafe(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"plain, ünïcode, 日本語, 👩‍🚒", "plain, ünïcode, 日本語, 👩‍🚒"},
		{"a\u00a0b\u3000c", "a\u00a0b\u3000c"},
		{"\x1b[2J\a", `\x1b[2J\x07`},
		{"a\r\nb\tc\x00\x7f", `a\r\nb\tc\x00\x7f`},
		{"\u009b31m", `\u009b31m`},
		{"\u202egnp.exe\u2066", `\u202egnp.exe\u2066`},
		{"\u200b\ufeff\u00ad", `\u200b\ufeff\u00ad`},
		{"a\u2028b", `a\u2028b`},
		{"\xff\xc3", `\xff\xc3`},
		{"\uFFFD", "\uFFFD"},
		{"\U000e0041", `\U000e0041`},
		{`C:\n`, `C:\n`},
	} {
		if got := safe(tt.in); got != tt.want {
			t.Errorf("safe(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func FuzzSafe(f *testing.F) {
	f.Add(hostile)
	f.Fuzz(func(t *testing.T, s string) {
		got := safe(s)
		for _, r := range got {
			if unsafe(r) || r < ' ' || r == 0x7f {
				t.Errorf("safe(%q) = %q has %q", s, got, r)
			}
		}
		if !utf8.ValidString(got) {
			t.Errorf("safe(%q) = %q is not UTF-8", s, got)
		}
		b, err := encode(s)
		var back string
		if err == nil {
			err = json.Unmarshal(b, &back)
		}
		var want string
		plain, _ := json.Marshal(s)
		if e := json.Unmarshal(plain, &want); e != nil || err != nil || back != want {
			t.Errorf("encode(%q) = %s reads as %q (%v), want %q", s, b, back, err, want)
		}
		for _, r := range string(b) {
			if unsafe(r) {
				t.Errorf("encode(%q) = %q has %q", s, b, r)
			}
		}
	})
}

func TestHuman(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 45 * time.Second: "45s", 125 * time.Second: "2m05s",
		59*time.Minute + 59*time.Second: "59m59s",
		133 * time.Minute:               "2h13m", 26 * time.Hour: "1d02h", 400 * 24 * time.Hour: "400d00h",
	} {
		if got := duration(d); got != want {
			t.Errorf("duration(%v) = %s, want %s", d, got, want)
		}
	}
	for n, want := range map[int64]string{
		0: "0", 1023: "1023", 1024: "1.0K", 4300: "4.2K", 1 << 20: "1.0M", 1<<20 - 1: "1.0M", 32715571: "31.2M",
		3 << 30: "3.0G", 5 << 40: "5.0T", 5 << 50: "5120.0T",
	} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %s, want %s", n, got, want)
		}
	}
}
