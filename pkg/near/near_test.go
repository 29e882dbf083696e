package near_test

import (
	"slices"
	"testing"

	"cgq/pkg/near"
)

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"a", "", 1}, {"", "abc", 3}, {"state", "state", 0}, {"stat", "state", 1}, {"stete", "state", 1},
		{"satte", "state", 2}, {"kitten", "sitting", 3},
	} {
		if got := near.Distance(c.a, c.b); got != c.want {
			t.Errorf("Distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
		if got := near.Distance(c.b, c.a); got != c.want {
			t.Errorf("Distance(%q, %q) = %d, want %d", c.b, c.a, got, c.want)
		}
	}
}

func TestName(t *testing.T) {
	names := slices.Values([]string{"queue", "sender", "rcpt", "rcpts"})
	for written, want := range map[string]string{"queu": "queue", "rcpt": "rcpt", "rctp": "rcpt", "sendre": "sender", "module": ""} {
		if got := near.Name(written, names, 2); got != want {
			t.Errorf("Name(%q) = %q, want %q", written, got, want)
		}
	}
}
