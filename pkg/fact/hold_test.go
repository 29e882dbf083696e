package fact_test

import (
	"testing"

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
