package cli

import (
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"cgq/pkg/control"
)

func TestUsageErrorsOfActs(t *testing.T) {
	runExitCases(t, []exitCase{
		{"nothing to drop", "message drop", nil, exitUsage, "--all"},
		{"nothing to release", "message release", nil, exitUsage, "--all"},
		{"nothing to reroute", "message reroute --limit 5", nil, exitUsage, "--all"},
		{"nothing to export", "message export", nil, exitUsage, "--all"},
		{"nothing to hold", "hold add --reason x", nil, exitUsage, "--all"},
		{"no queue to reject", "queue reject --text x", nil, exitUsage, "--all"},
		{"no reason to hold", "hold add --queue a", nil, exitUsage, "--reason"},
		{"a hold for nothing", "hold add --queue a --reason x --for 0s", nil, exitUsage, "4h"},
		{"a hold for what", "hold add --queue a --reason x --for long", nil, exitUsage, "4h"},
		{"no account", "sender reject --text x", nil, exitUsage, "sender reject ACCOUNT"},
		{"no reason to reject", "sender reject ann", nil, exitUsage, "--text"},
		{"a queue that is named twice", "queue release SMTP a --queue b", nil, exitUsage, "leave out --module and --queue"},
		{"all delayed, and a state", "queue release --all-delayed --state held", nil, exitUsage, "--all-delayed"},
		{"waiting for a dry run", "queue release SMTP a --wait --dry-run", nil, exitUsage, "nothing to wait for"},
		{"waiting for nothing", "queue release SMTP a --wait=0s", nil, exitUsage, "90s"},
		{"two expressions", "message list --where a --where b", nil, exitUsage, "&&"},
		{"no such shape", "queue shape --by age", nil, exitUsage, "domain, sender, error"},
		{"half a queue to explain", "queue explain SMTP", nil, exitUsage, "a module and a name"},
		{"columns of a page", "queue explain SMTP example.com --columns kind", nil, exitUsage, "-o csv"},
		{"headers and raw", "message content 4711 --headers --raw", nil, exitUsage, "not both"},
		{"a form of content", "message content 4711 -o json", nil, exitUsage, "no form but its own"},
		{"no batch", "trash restore", nil, exitUsage, "name one act, or say all; cgq trash list shows"},
		{"a batch and all", "trash purge 1 --all", nil, exitUsage, "name one act"},
		{"not a batch", "trash restore last", nil, exitUsage, `"last" is not the number`},
		{"no batch 0", "trash restore 0", nil, exitUsage, `"0" is not the number`},
	})
	for _, args := range [][]string{
		{"sender", "reject", "", "--text", "x"}, {"sender", "reject", " ", "--text", "x"}, {"hold", "remove", ""},
		{"queue", "release", "SMTP", ""}, {"queue", "reject", "", "", "--text", "x"}, {"message", "export", "1", "--dir", ""},
		{"message", "reject", ""}, {"hold", "add", "--queue", "a", "--reason", " "},
	} {
		d := full()
		if got := cgq(t, d.serve(t), nil, args...); got.status != exitUsage || len(d.askedFor())+len(d.freed) > 0 {
			t.Errorf("%q: %+v, asked %+v; want status 2 and nothing asked", args, got, d.askedFor())
		}
	}
}

func TestExitStatusOfActs(t *testing.T) {
	answer := func(out control.Outcome) func(*daemon) { return func(d *daemon) { d.outcome = out } }
	nothing := answer(control.Outcome{})
	monitor := func(d *daemon) { d.rights = []control.Right{control.Monitor} }
	runExitCases(t, []exitCase{
		{"so already", "message release 1", answer(control.Outcome{Matched: 2, Already: 2, Messages: 1}), exitDone, ""},
		{"some so already", "message reroute 1", answer(control.Outcome{Matched: 2, Changed: 1, Already: 1, Messages: 1}), exitDone, ""},
		{"so already, and skipped", "message release 1", answer(control.Outcome{Matched: 2, Already: 1, Skipped: 1, Messages: 1}), exitPartly, ""},
		{"skipped", "message release 1", answer(control.Outcome{Matched: 2, Skipped: 2, Messages: 1}), exitFailed, "nothing could be released"},
		{"no such message", "message drop 1", nothing, exitFailed, "no message 1"},
		{"no such message, and that matters", "message drop 1 --fail-empty", nothing, exitEmpty, "no message 1"},
		{"nothing of it matches", "message drop 1 --state held", nothing, exitDone, ""},
		{"no such queue", "queue reject SMTP a --text x", nothing, exitFailed, "no queue SMTP(a)"},
		{"nothing of it", "queue reject SMTP a --sender x --text x", nothing, exitDone, ""},
		{"nothing of a sender", "sender reject ann --text x", nothing, exitDone, ""},
		{"nothing of a sender, and that matters", "sender reject ann --text x --fail-empty", nothing, exitEmpty, "nothing"},
		{"a hold on nothing", "hold add --ids-from /dev/null --reason x --fail-empty", nothing, exitEmpty, "nothing"},
		{"a hold that waits for mail", "hold add --queue a --reason x --fail-empty", answer(control.Outcome{Act: 4}), exitDone, ""},
		{"no such batch", "trash restore 99", nil, exitFailed, "nothing of act 99"},
		{"no such batch, and that matters", "trash purge 99 --fail-empty", nil, exitEmpty, "nothing of act 99"},
		{"an empty trash", "trash list --fail-empty", func(d *daemon) { d.trash = nil }, exitEmpty, "nothing matches"},
		{"no such queue to explain", "queue explain SMTP a", nil, exitFailed, "no queue SMTP(a)"},
		{"no such content", "message content 1", nil, exitFailed, "no message 1"},

		{"no right to release", "message release 1", monitor, exitNoRight, `"release"`},
		{"no right to reroute", "message reroute 1", monitor, exitNoRight, `"settings"`},
		{"no right to drop", "message drop 1", monitor, exitNoRight, `"reject"`},
		{"no right to look inside", "message content 1", monitor, exitNoRight, `"view"`},
		{"no right to hold", "hold add --queue a --reason x", monitor, exitNoRight, `"release"`},
		{"no right to restore", "trash restore 1", monitor, exitNoRight, `"reject"`},

		{"not confirmed", "message drop --queue a", answer(control.Outcome{Matched: 980, Changed: 980, Messages: 412}),
			exitNotConfirmed, "980 recipients in 412 messages would be dropped; add --yes"},
		{"a purge", "trash purge 17", answer(control.Outcome{Matched: 2, Changed: 2, Messages: 2}), exitNotConfirmed, "would be purged"},
		{"a hold", "hold remove 17", answer(control.Outcome{Matched: 3, Changed: 3, Messages: 2}), exitNotConfirmed,
			"3 recipients in 2 messages would be freed"},
	})
	base := t.TempDir()
	for _, line := range []string{"queue explain SMTP a", "queue shape", "message content 1", "message trace 1", "message export 1 2",
		"message drop 1", "message release 1", "message reroute 1", "sender reject ann --text x", "hold add --queue a --reason x",
		"trash list", "trash restore 1", "trash purge --all", "queue release SMTP a --wait"} {
		if got := cgq(t, base, nil, strings.Fields(line)...); got.status != exitNoDaemon {
			t.Errorf("%s: %+v; want status 7", line, got)
		}
	}
}

func TestWhatActsAsk(t *testing.T) {
	one := control.Selection{IDs: ids(1)}
	for _, tt := range []struct {
		line string
		want control.Act
	}{
		{"message drop 1 -y", control.Act{Selection: one, NoDSN: true}},
		{"message drop 1 -y --text x", control.Act{Selection: one, NoDSN: true, Text: "x"}},
		{"message release 1 -y --at-once", control.Act{Selection: one, AtOnce: true}},
		{"message reroute 1 --dry-run", control.Act{Selection: one, DryRun: true}},
		{"message reroute --all -y", control.Act{Selection: control.Selection{All: true}}},
		{"queue release --all-delayed -y --at-once", control.Act{AtOnce: true,
			Selection: control.Selection{State: []control.State{control.Delayed}}}},
		{"queue reject --all -y --text x", control.Act{Selection: control.Selection{All: true}, Text: "x"}},
		{"sender reject ann -y --text x --no-dsn", control.Act{Selection: control.Selection{Auth: []string{"ann"}}, Text: "x", NoDSN: true}},
	} {
		d := full()
		got := cgq(t, d.serve(t), nil, strings.Fields(tt.line)...)
		if got.status != exitDone || !reflect.DeepEqual(d.acts, []control.Act{tt.want}) {
			t.Errorf("%s: %+v\nasked %+v\nwant  %+v", tt.line, got, d.acts, tt.want)
		}
	}
	d := full()
	base := d.serve(t)
	cgq(t, base, nil, "hold", "add", "--queue", "a", "--reason", "x y", "--for", "2d", "-y")
	want := []control.HoldOrder{{Selection: control.Selection{Queue: []string{"a"}}, Reason: "x y", For: control.Seconds(48 * time.Hour)}}
	if !reflect.DeepEqual(d.orders, want) {
		t.Errorf("hold add asked %+v, want %+v", d.orders, want)
	}
	cgq(t, base, nil, "trash", "restore", "17", "--dry-run")
	cgq(t, base, nil, "trash", "purge", "--all", "--yes")
	if want := []control.TrashAct{{Act: 17, DryRun: true}, {All: true}}; !reflect.DeepEqual(d.trashed, want) {
		t.Errorf("trash asked %+v, want %+v", d.trashed, want)
	}
	cgq(t, base, nil, "queue", "shape", "--by", "error", "--limit", "3")
	if want := (control.ShapeQuery{Selection: control.Selection{Limit: 3}, By: "error"}); !reflect.DeepEqual(d.shaped, want) {
		t.Errorf("shape asked %+v, want %+v", d.shaped, want)
	}
}

func TestAnswersInWords(t *testing.T) {
	moves := control.Outcome{Matched: 14, Changed: 12, Already: 2, Messages: 9, Act: 5, Moves: []control.Move{
		{FromModule: "SMTP", FromQueue: "old\x1b[2J.example", ToModule: "SMTP", ToQueue: "new.example", Recipients: 11},
		{FromModule: "SMTP", FromQueue: "old.example", ToModule: "LOCAL", ToQueue: "ann@example.org", Recipients: 1}}}
	gone := control.Outcome{Matched: 4, Changed: 4, Messages: 2, Act: 17, Trash: true}
	would := control.Outcome{Matched: 4, Changed: 4, Messages: 2, Trash: true}
	partly := control.Outcome{Matched: 4, Changed: 2, Messages: 2, Act: 17, Trash: true, Already: 1}
	partly.Skip(control.Skip{ID: 4711, Recipient: "ann@example.com", Reason: "being processed"})
	for _, tt := range []struct {
		line string
		out  control.Outcome
		want string
	}{
		{"queue release --all -y", control.Outcome{Matched: 3, Changed: 1, Already: 2, Messages: 9, Act: 17},
			"released 1 of 3 queues (act 17); 2 were not delayed\n"},
		{"queue release SMTP a", control.Outcome{Matched: 1, Already: 1, Messages: 9},
			"released 0 of 1 queues; 1 was not delayed\n"},
		{"queue reject SMTP a --text x -y", control.Outcome{Matched: 4, Changed: 4, Messages: 2, Act: 17},
			"rejected 4 of 4 recipients in 2 messages (act 17)\n"},
		{"queue reject SMTP a --text x -y --no-dsn", gone, "rejected 4 of 4 recipients in 2 messages (act 17)\n" +
			"moved to the trash as act 17; cgq trash restore 17 undoes it\n"},
		{"message drop 1 2 -y", gone, "dropped 4 of 4 recipients in 2 messages (act 17)\n" +
			"moved to the trash as act 17; cgq trash restore 17 undoes it\n"},
		{"message drop 1 2 -y", partly, "dropped 2 of 4 recipients in 2 messages (act 17); 1 was dropped already; " +
			"1 skipped: ann@example.com in 4711: being processed\n" +
			"moved to the trash as act 17; cgq trash restore 17 undoes it\n"},
		{"message drop 1 2 --dry-run", would, "would have dropped 4 of 4 recipients in 2 messages\n" +
			"they would be in the trash, from where cgq trash restore takes them back\nnothing was changed\n"},
		{"message release 1 2 -y", control.Outcome{Matched: 3, Changed: 2, Already: 1, Messages: 2, Act: 4},
			"released 2 of 3 recipients in 2 messages (act 4); 1 was not delayed\n"},
		{"message reroute --all -y", moves, "rerouted 12 of 14 recipients in 9 messages (act 5); 2 were on the right way\n" +
			"SMTP(old\\x1b[2J.example) → SMTP(new.example): 11 recipients\n" +
			"SMTP(old.example) → LOCAL(ann@example.org): 1 recipient\n"},
		{"hold add --queue a --reason x -y", control.Outcome{Matched: 3, Changed: 3, Messages: 2, Act: 17},
			"hold 17 keeps 3 recipients in 2 messages; cgq hold remove 17 ends it\n"},
		{"hold add --queue a --reason x --dry-run", control.Outcome{Matched: 1, Changed: 1, Messages: 1},
			"would hold 1 recipient in 1 message\nnothing was changed\n"},
		{"hold add --age >2h --reason x", control.Outcome{}, "nothing matches, and no hold was made\n"},
		{"hold remove 17 -y", control.Outcome{Matched: 3, Changed: 3, Messages: 2}, "freed 3 of 3 recipients in 2 messages\n"},
		{"hold remove restored -y", control.Outcome{Matched: 3, Changed: 3, Messages: 3}, "freed 3 of 3 messages\n"},
		{"trash restore 17 -y", control.Outcome{Matched: 4, Changed: 4, Messages: 2}, "restored 4 of 4 recipients in 2 messages\n"},
		{"trash purge --all -y", control.Outcome{Matched: 4, Changed: 4, Messages: 2}, "purged 4 of 4 recipients in 2 messages\n"},
		{"message drop 1 -y -o json", gone, `{"matched":4,"changed":4,"already":0,"skipped":0,"messages":2,"act":17,"trash":true}` + "\n"},
	} {
		d := full()
		d.outcome = tt.out
		if got := cgq(t, d.serve(t), nil, strings.Fields(tt.line)...); got.out != tt.want {
			t.Errorf("%s\ngot  %qwant %q (%+v)", tt.line, got.out, tt.want, got)
		}
	}
}

// What nobody keeps says so; what has no schedule, too.
func TestExplanationOfWhatDoesNotWait(t *testing.T) {
	d := full()
	base := d.serve(t)
	for _, tt := range []struct {
		e    control.Explanation
		want []string
	}{
		{control.Explanation{State: control.Active, Workers: 2, Recipients: 1, Messages: 1},
			[]string{"Active, with 2 channels", "Next Try:     just now", "1 recipient in 1 message\n", "works it just now", "No attempt is due."}},
		{control.Explanation{State: control.Ready, Ready: 1}, []string{"Next Try:     as soon as a channel is free", "as soon as it can"}},
		{control.Explanation{State: control.Held, Held: 3, NextAttempt: now.Add(time.Hour),
			Reasons: []control.Reason{{Kind: "held", Text: "asking", Count: 3}}},
			[]string{"Next Try:     when it is freed", "held: asking; 3 recipients"}},
		{control.Explanation{State: control.Delayed, NextAttempt: now}, []string{"Next Try:     2026-11-23 12:00:00, now"}},
	} {
		d.explained = tt.e
		d.explained.Module, d.explained.Queue = "SMTP", "a"
		got := cgq(t, base, nil, "queue", "explain", "SMTP", "a", "--schedule")
		for _, want := range tt.want {
			if !strings.Contains(got.out, want) {
				t.Errorf("no %q in\n%s", want, got.out)
			}
		}
	}
}

// The fields of a line are those of the ages that the daemon counts.
func TestTheShapeHasAllAges(t *testing.T) {
	head := shapeTable("domain").columns[2:]
	ages := control.ShapeAges()
	if len(head) != len(ages)+1 {
		t.Fatalf("%d columns for %d ages", len(head), len(ages))
	}
	row := control.ShapeRow{Ages: make([]int, len(ages)+1)}
	for i, age := range ages {
		row.Ages[i] = int(age.Duration() / time.Minute)
		if want := strconv.Itoa(row.Ages[i]); head[i].head != want {
			t.Errorf("column %s for %s minutes", head[i].head, want)
		}
	}
	row.Ages[len(ages)], row.Class = 1281, "full"
	want := shapeLine{A5: 5, A10: 10, A20: 20, A40: 40, A80: 80, A160: 160, A320: 320, A640: 640, A1280: 1280, Older: 1281, Class: "full"}
	if got := newShapeLine(row); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestCompletionOfActs(t *testing.T) {
	d := full()
	d.holds[2].Reason = "asking\x1b[2J"
	base := d.serve(t)
	for line, want := range map[string]string{
		"hold remove 1":           "17\tasking\\x1b[2J\n:4\n",
		"hold remove 17 ":         ":4\n",
		"trash restore 1":         "17\t1 message by ann\n18\t412 messages by root\n:4\n",
		"queue explain SMTP exa":  "example.com\tdelayed, 412 messages\n:4\n",
		"queue release SMTP exa":  "example.com\tdelayed, 412 messages\n:4\n",
		"message drop 4711 471":   "4711\tbob@example.org\n4712\t<>\n:4\n",
		"message trace 4711 4":    ":4\n",
		"message drop --sender b": "bob@example.org\n:4\n",
		"sender reject b":         "bob@example.org\n:4\n",
		"queue shape --by d":      strings.Join(control.ShapeBy(), "\n") + "\n:4\n",
		"queue list --source D":   strings.Join(sources(), "\n") + "\n:4\n",
		"message list --error x":  ":4\n",
	} {
		words := strings.Fields(line)
		if strings.HasSuffix(line, " ") {
			words = append(words, "")
		}
		if got := cgq(t, base, nil, append([]string{"__complete"}, words...)...); got.out != want {
			t.Errorf("%q completes to %q, want %q", line, got.out, want)
		}
	}
}

// An answer that is no list has a row in CSV, the fields that were asked for, and a name
// that other commands take.
func TestAnswersHaveAllForms(t *testing.T) {
	d := full()
	d.outcome = control.Outcome{Matched: 2, Changed: 1, Skipped: 1, Messages: 1, Act: 17, Trash: true,
		Skips: []control.Skip{{ID: 4711, Recipient: "x@example.com", Reason: "being processed"}}}
	base := d.serve(t)
	for _, tt := range []struct{ line, want string }{
		{"message drop 4711 -o name", "17\n"},
		{"message drop 4711 -o csv --columns matched,changed,skipped,act", "matched,changed,skipped,act\n2,1,1,17\n"},
		{"message drop 4711 -o json --columns act,skipped", `{"act":17,"skipped":1}` + "\n"},
		{"message drop 4711 -o csv --no-headers --columns skips", `"[{""id"":4711,""recipient"":""x@example.com"",""reason"":""being processed""}]"` + "\n"},
	} {
		if got := cgq(t, base, nil, strings.Fields(tt.line)...); got.out != tt.want || got.status != exitPartly {
			t.Errorf("%s: %+v, want %q", tt.line, got, tt.want)
		}
	}
	acts := len(d.acts)
	for _, line := range []string{"message drop 4711 -o csv --columns matchd", "queue release SMTP example.com --wait --columns matchd"} {
		if got := cgq(t, base, nil, strings.Fields(line)...); got.status != exitUsage || len(d.acts) != acts {
			t.Errorf("%s: %+v, %d acts", line, got, len(d.acts)-acts)
		}
	}
}
