package cli

import (
	"strings"
	"testing"
	"time"

	"cgq/pkg/cli/screen"
	"cgq/pkg/control"
)

// greylisted is a daemon with a host queue of a very long name, whose host greylists: the
// messages wait, the queue does not.
func greylisted() *daemon {
	d := full()
	d.queues = append(d.queues, control.QueueRow{Module: "SMTP", State: control.Ready, Messages: 13, Recipients: 50, Bytes: 5,
		Queue:  "a-really-quite-long-name-of-a-department.of-a-subsidiary.of-a-holding-company.example",
		Oldest: now.Add(-time.Hour), NextAttempt: now.Add(time.Minute), MessageAttempts: 3, MessageError: "450 4.7.1 greylisted, come back"})
	return d
}

func TestAHostThatGreylistsHasItsErrorInTheList(t *testing.T) {
	base := greylisted().serve(t)
	for args, want := range map[string]string{
		"queue list --no-headers --columns state,attempts,last_error": "suspended  3  450 4.7.1 greylisted, come back",
		"queue list -o csv --columns state,attempts,last_error":       "ready,0,",
		"queue list -o csv --columns message_attempts,message_error":  `3,"450 4.7.1 greylisted, come back"`,
	} {
		got := cgq(t, base, nil, strings.Fields(args)...)
		if lines := strings.Split(strings.TrimSpace(got.out), "\n"); got.status != exitDone || lines[len(lines)-1] != want {
			t.Errorf("cgq %s: %+v, want last %q", args, got, want)
		}
	}
}

// No line of a list may be longer than the terminal: one that wraps destroys all columns.
func TestListsFitNarrowTerminals(t *testing.T) {
	base := greylisted().serve(t)
	for _, width := range []int{80, 100, 120, 200} {
		for _, what := range []string{"queue list", "queue show SMTP example.com", "message list", "message show 4711", "queue shape",
			"settings list", "hold list", "trash list"} {
			got := cgq(t, base, func(a *app) { a.width = width }, strings.Fields(what)...)
			for line := range strings.Lines(got.out) {
				head := strings.Contains(line, ":  ") // lines above the table are whole
				if n := screen.Width(strings.TrimRight(line, " \n")); n > width && !head {
					t.Errorf("cgq %s at %d: %d columns: %s", what, width, n, line)
				}
			}
		}
	}
	got := cgq(t, base, func(a *app) { a.width = 80 }, "queue", "list")
	if want := "a-really-…ny.example"; !strings.Contains(got.out, want) || !strings.Contains(got.out, "450 4.7.1 gre") {
		t.Errorf("no %q, or no error, in\n%s", want, got.out)
	}
}
