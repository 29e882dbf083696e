package screen_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"

	"cgq/pkg/cli/screen"
)

func TestFirm(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"plain, ünïcode, 日本語", "plain, ünïcode, 日本語"},
		{"e\u0301 and ไทย", "e\u0301 and ไทย"},
		{"क्षि", `\u0915\u094d\u0937\u093f`}, // one sign of two columns, or two of one
		{"\x1b[2J\u202e", `\x1b[2J\u202e`},
		{"👩\u200d🚒", `\U0001f469\u200d\U0001f692`},
		{"🇩🇪", `\U0001f1e9\U0001f1ea`},
		{"👍🏽", `\U0001f44d\U0001f3fd`},
		{"©\ufe0f 1\ufe0f\u20e3", `\u00a9\ufe0f 1\ufe0f\u20e3`},
		{"\u0301lone", `\u0301lone`},
		{"Z\u0351\u0352\u0353\u0354 climbs", `Z\u0351\u0352\u0353\u0354 climbs`},
	} {
		if got := screen.Firm(tt.in); got != tt.want {
			t.Errorf("Firm(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

// Whatever strangers write, the tables and bubbletea count the same columns, however
// they count: by clusters, or rune by rune.
func FuzzFirm(f *testing.F) {
	for _, s := range []string{"👩\u200d🚒🇩🇪👍🏽", "e\u0301日本", "\x1b]0;x\a", "\u1100\u1161\u11a8", "ก็ำ", "\u0600 1", "\U000e0100"} {
		f.Add(s, 5)
	}
	f.Fuzz(func(t *testing.T, s string, width int) {
		got := screen.Firm(s)
		if n, clusters, runes := screen.Width(got), ansi.StringWidth(got), ansi.StringWidthWc(got); n != clusters || n != runes {
			t.Errorf("Firm(%q) = %q has %d, %d or %d columns", s, got, n, clusters, runes)
		}
		if strings.ContainsFunc(got, screen.Unsafe) {
			t.Errorf("Firm(%q) = %q is not safe", s, got)
		}
		if width < 0 || width > 200 {
			return
		}
		if fit := screen.Fit(got, width); screen.Width(fit) != width {
			t.Errorf("Fit(%q, %d) = %q has %d columns", got, width, fit, screen.Width(fit))
		}
		for _, line := range screen.Wrap(got, width) {
			if screen.Width(line) > width {
				t.Errorf("Wrap(%q, %d) has %q", got, width, line)
			}
		}
	})
}

func TestWrap(t *testing.T) {
	for _, tt := range []struct {
		in    string
		width int
		want  []string
	}{
		{"", 20, []string{""}},
		{"short", 20, []string{"short"}},
		{"one two three four five", 12, []string{"one two", "    three", "    four", "    five"}},
		{"with-no-blank-at-all", 12, []string{"with-no-blan", "    k-at-all"}},
		{"too narrow", 5, []string{"too …"}},
	} {
		if got := screen.Wrap(tt.in, tt.width); !slices.Equal(got, tt.want) {
			t.Errorf("Wrap(%q, %d) = %q, want %q", tt.in, tt.width, got, tt.want)
		}
	}
}

func TestCutMiddleKeepsBothEnds(t *testing.T) {
	for _, tt := range []struct {
		in    string
		width int
		want  string
	}{
		{"example.com", 20, "example.com"},
		{"a-long-name.of.example.com", 12, "a-lon…le.com"},
		{"日本語の件名です.example", 12, "日本…example"},
		{"abc", 2, "a…"},
	} {
		if got := screen.CutMiddle(tt.in, tt.width); got != tt.want || screen.Width(got) > tt.width {
			t.Errorf("CutMiddle(%q, %d) = %q, want %q", tt.in, tt.width, got, tt.want)
		}
	}
}
