package cli

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cgq/pkg/control"
)

func TestProgressIsForTerminalsAndForWhatTakesLong(t *testing.T) {
	for _, tt := range []struct {
		name  string
		bars  bool
		takes time.Duration
		shown bool
	}{
		{"long, on a terminal", true, 2 * time.Second, true},
		{"short, on a terminal", true, progressAfter / 2, false},
		{"long, elsewhere", false, 2 * time.Second, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var errOut bytes.Buffer
				a := &app{bars: tt.bars, errOut: &errOut}
				stop := a.progress(func() string { return "counting" })
				time.Sleep(tt.takes)
				stop()
				got := errOut.String()
				if shown := strings.Contains(got, "⠋ counting  0s\r"); shown != tt.shown {
					t.Errorf("stderr %q, shown %v, want %v", got, shown, tt.shown)
				}
				if tt.shown && !strings.HasSuffix(got, "  1s\r\x1b[K") {
					t.Errorf("stderr %q does not end with an empty line", got)
				}
			})
		})
	}
}

func TestBar(t *testing.T) {
	for _, tt := range []struct {
		done, total int64
		want        string
	}{
		{0, 100000, "[░░░░░░░░░░░░░░░░░░░░]   0%  0 of 100000 recipients"},
		{50, 100, "[██████████░░░░░░░░░░]  50%  50 of 100 recipients"},
		{101, 100, "[████████████████████] 100%  100 of 100 recipients"},
		{7, 0, "7 recipients"},
	} {
		if got := bar(tt.done, tt.total, "recipient"); got != tt.want {
			t.Errorf("bar(%d, %d) = %q, want %q", tt.done, tt.total, got, tt.want)
		}
	}
}

func TestHowFarAnActIs(t *testing.T) {
	for want, elements := range map[string][]control.Element{
		"to be rejected": nil,
		"to be rejected: found 7 recipients so far": {{Name: elementActing, Value: 7}, {Name: elementActingDone}},
		"rejected " + bar(3, 7, "recipient"):        {{Name: elementActing, Value: 7}, {Name: elementActingDone, Value: 3}},
	} {
		d := full()
		d.elements = elements
		a := &app{base: d.serve(t)}
		if got := a.acting(t.Context(), "rejected")(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
