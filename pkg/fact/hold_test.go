package fact_test

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"cgq/pkg/fact"
)

func TestRestoredForm(t *testing.T) {
	r := fact.Restored{Through: 200000, Backup: at(1700000000123), At: at(1700000300456)}
	line := string(fact.AppendRestored(nil, r))
	if want := "restored 200000 1700000000123 1700000300456"; line != want {
		t.Errorf("AppendRestored = %q, want %q", line, want)
	}
	if got, err := fact.ParseRestored(line); err != nil || got != r {
		t.Errorf("ParseRestored = %#v, %v", got, err)
	}
	if want := "restored from the backup of 2023-11-14 22:13:20 UTC"; r.Reason() != want {
		t.Errorf("Reason = %q, want %q", r.Reason(), want)
	}
	for _, line := range []string{"", "restored", "restored 1 2", "restored x 2 3", "restored 1 2 3 4", "delay 1 2 3"} {
		if got, err := fact.ParseRestored(line); err == nil {
			t.Errorf("ParseRestored(%q) = %#v", line, got)
		}
	}
}

// A hold is one line, whatever a person has written as its reason.
func TestHoldRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"a\r\nhold 2 held", "\x00", "-", "%2D", "é\u202e x"}))
		h := fact.Hold{Number: rapid.Uint64Range(0, 1<<53).Draw(t, "number"), At: at(rapid.Int64Range(1, 1<<45).Draw(t, "at")),
			Lasts: rapid.Bool().Draw(t, "lasts"), By: text.Draw(t, "by"), Reason: text.Draw(t, "reason"), Where: text.Draw(t, "where")}
		if rapid.Bool().Draw(t, "ends") {
			h.Until = at(rapid.Int64Range(1, 1<<45).Draw(t, "until"))
		}
		line := string(fact.AppendHold(nil, h))
		if strings.ContainsAny(line, "\r\n\x00") {
			t.Fatalf("%q", line)
		}
		if got, err := fact.ParseHold(line); err != nil || got != h {
			t.Fatalf("ParseHold(%q) = %+v, %v; want %+v", line, got, err, h)
		}
	})
	for _, line := range []string{"", "held", "held 1 2 3 yes a b", "held x 0 0 no a b c", "held 1 0 0 perhaps a b c", "held 1 0 0 no a b c d"} {
		if h, err := fact.ParseHold(line); !errors.Is(err, fact.ErrText) {
			t.Errorf("ParseHold(%q) = %+v, %v", line, h, err)
		}
	}
}
