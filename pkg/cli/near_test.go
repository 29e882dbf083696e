package cli

import (
	"strings"
	"testing"

	"cgq/pkg/control"
)

// A command line that is nearly right is answered with the one that was meant.
func TestNearMissesNameWhatWasMeant(t *testing.T) {
	base := full().serve(t)
	for args, want := range map[string]string{
		"queue shw":               "did you mean show?",
		"queu list":               "did you mean queue?",
		"flush":                   "did you mean cgq queue release --all-delayed?",
		"queue flush":             "did you mean cgq queue release --all-delayed?",
		"message delete 1":        "did you mean cgq message drop?",
		"message thaw 1":          "did you mean cgq hold remove?",
		"list":                    "did you mean cgq queue list or cgq message list?",
		"queue list --stat held":  "no flag --stat; did you mean --state?",
		"queue list --form json":  "no flag --form; see",
		"queue list --sendr x":    "did you mean --sender?",
		"queue list example.com":  "did you mean --queue example.com?",
		"message list 4711":       "did you mean cgq message show 4711?",
		"message list ann@d.test": "did you mean --rcpt ann@d.test or --sender ann@d.test?",
		"message show":            "something is missing: cgq message show ID;",
		"message show 1 2":        `too much, or too little, with "2": cgq message show ID;`,
	} {
		if got := cgq(t, base, nil, strings.Fields(args)...); got.status != exitUsage || !strings.Contains(got.errOut, want) {
			t.Errorf("cgq %s: %+v, want status 2 and %q", args, got, want)
		}
	}
	for _, h := range habits() {
		for command := range strings.SplitSeq(h[1], " or cgq ") {
			words := strings.Fields(command)
			if cmd, _, err := newRoot(&app{}).Find(words[:min(2, len(words))]); err != nil || cmd.Name() != words[min(1, len(words)-1)] {
				t.Errorf("there is no %q: %v", command, err)
			}
		}
	}
}

// A host queue may be named as the logs write it, or by its name alone.
func TestHostQueuesByTheirNameAlone(t *testing.T) {
	d := full()
	base := d.serve(t)
	for _, args := range [][]string{{"queue", "explain", "example.com"}, {"queue", "explain", "SMTP(example.com)"},
		{"queue", "show", "smtp(example.com)"}, {"queue", "release", "example.com"}} {
		if got := cgq(t, base, nil, args...); got.status != exitDone {
			t.Errorf("cgq %q: %+v", args, got)
		}
	}
	if got := cgq(t, base, nil, "queue", "explain", "nosuch.example"); got.status != exitFailed ||
		got.errOut != "cgq: no queue nosuch.example; cgq queue list shows all that hold messages\n" {
		t.Errorf("no such queue: %+v", got)
	}
	d.queues = append(d.queues, control.QueueRow{Module: "LOCAL", Queue: "example.com", State: control.Ready})
	if got := cgq(t, base, nil, "queue", "reject", "example.com", "--text", "x", "--yes"); got.status != exitUsage ||
		!strings.Contains(got.errOut, "there are SMTP(example.com) and LOCAL(example.com); say which, as in SMTP example.com") {
		t.Errorf("two of the name: %+v", got)
	}
}
