package server

import (
	"slices"
	"testing"

	"cgq/pkg/bounce"
	"cgq/pkg/dsn"
)

// Whatever class a failure has, its report says what the sender can do.
func TestEveryClassHasAdvice(t *testing.T) {
	for _, class := range bounce.Classes() {
		if !slices.Contains(dsn.Classes(), string(class)) {
			t.Errorf("no report knows what to say of the class %s", class)
		}
	}
	if n := len(dsn.Classes()); n != len(bounce.Classes()) {
		t.Errorf("there is advice for %d classes, and there are %d", n, len(bounce.Classes()))
	}
}
