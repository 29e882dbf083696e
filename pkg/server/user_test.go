package server

import (
	"strings"
	"testing"
)

func TestProgramsRunAsSomebodyTheServerCanBecome(t *testing.T) {
	for _, tt := range []struct {
		programs, server string
		wrong            bool
	}{{"", "", false}, {"", "mail", false}, {"mail", "", false}, {"mail", "mail", false}, {"nobody", "mail", true}} {
		err := runs(tt.programs, tt.server)
		if (err != nil) != tt.wrong || err != nil && !strings.HasPrefix(err.Error(), "Settings/pipe.toml: deliver.user: cgqd becomes mail") {
			t.Errorf("runs(%q, %q) = %v", tt.programs, tt.server, err)
		}
	}
}
