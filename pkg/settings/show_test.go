package settings_test

import (
	"errors"
	"strings"
	"testing"

	"cgq/pkg/settings"
)

// The caret stands below the value that is wrong, or the key that is unknown, and what a
// file has of a stranger reaches no terminal raw.
func TestProblemsPointAtTheirCause(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"a value", "# c\n[receive]\n\tchannels  =  'many'\n",
			"demo.toml:3: receive.channels: want a whole number\n     channels  =  'many'\n                  ^"},
		{"an element", "retry = ['5m', 'soon']\n", `demo.toml:1: retry: "soon" is not a length of time such as 90s, 5m, 2h30m, 5d or 1w` +
			"\n    retry = ['5m', 'soon']\n                   ^"},
		{"out of range", "receive.channels = 0", "demo.toml:1: receive.channels: 0 is not in 1 to 1000\n    receive.channels = 0\n                       ^"},
		{"an unknown key", "domain = 'x'\nreceive = { on = true, of = 1 }\n",
			"demo.toml:2: receive.of: unknown key; did you mean on?\n    receive = { on = true, of = 1 }\n                           ^"},
		{"syntax", "domain = 'x'\nweight = = 1\n", "demo.toml:2: "},
		{"a value that is not there", "domain = ''\n", "demo.toml:1: domain: must not be empty\n    domain = ''\n             ^"},
		{"no line", "retry = ['5m']\n", "demo.toml: one wait is not enough"},
		{"a hostile line", "domain = '\u202e' # \u009b31m \u200b\nx\u0301 = 1", "demo.toml:2: "},
		{"a long line", "domain = [" + strings.Repeat("'x', ", 200) + "]", "demo.toml:1: domain: want a text in quotes\n    domain = ['x', "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			value := defaults()
			var problems settings.Problems
			if err := settings.Decode("demo.toml", []byte(tt.text), &value); !errors.As(err, &problems) {
				t.Fatal(err)
			}
			got := problems.Show(func(string) string { return tt.text })
			if !strings.HasPrefix(got, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
			for line := range strings.Lines(got) {
				if n := len([]rune(line)); n > 130 && strings.HasPrefix(line, " ") {
					t.Errorf("%d letters: %s", n, line)
				}
			}
			if strings.ContainsAny(got, "\x1b\u202e\u009b\u200b") {
				t.Errorf("raw: %q", got)
			}
		})
	}
}
