package cli

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"cgq/pkg/control"
	"cgq/pkg/mail"
)

// A world is what a daemon has in its queue, from one look to the next: each list is one
// look, and the last world stays.
type world map[mail.ID][]control.RecipientRow

func rcpt(address string, status control.State, attempts int, text string) control.RecipientRow {
	return control.RecipientRow{Recipient: address, Module: "SMTP", Queue: "example.com", Status: status, Attempts: attempts, LastError: text}
}

// turns makes the daemon show one world after the other.
func (d *daemon) turns(worlds ...world) {
	looks := 0
	is := func() world { return worlds[min(max(looks-1, 0), len(worlds)-1)] }
	d.list = func(in control.Selection) (rows []control.MessageRow) {
		looks++
		for _, id := range slices.Sorted(mapKeys(is())) {
			rcpts := is()[id]
			if len(in.IDs) > 0 && !slices.Contains(in.IDs, id) || len(rcpts) == 0 {
				continue
			}
			rows = append(rows, control.MessageRow{ID: id, Module: "SMTP", Queue: "example.com", State: rcpts[0].Status, Recipients: len(rcpts)})
		}
		return rows
	}
	d.show = func(id mail.ID) (control.Message, error) {
		rcpts := is()[id]
		if len(rcpts) == 0 {
			return control.Message{}, control.Errorf(control.KindNoSuchMessage, "", "no message %s", id)
		}
		return control.Message{ID: id, Recipients: rcpts}, nil
	}
}

func mapKeys(w world) func(func(mail.ID) bool) {
	return func(yield func(mail.ID) bool) {
		for id := range w {
			if !yield(id) {
				return
			}
		}
	}
}

const refused = "no connection with mx: connection refused"

func TestReleaseAndWait(t *testing.T) {
	before := world{
		1: {rcpt("x@example.com", control.Delayed, 1, refused), rcpt("y@example.com", control.Delayed, 1, refused)},
		2: {rcpt("z@example.com", control.Delayed, 1, refused)},
	}
	worked := world{ // and the host is forgotten its attempts
		1: {rcpt("x@example.com", control.Processing, 0, ""), rcpt("y@example.com", control.Ready, 0, "")},
		2: {rcpt("z@example.com", control.Suspended, 0, "")}, // its turn comes later
	}
	for _, tt := range []struct {
		name, flags string
		after       []world
		status      int
		says        string
	}{
		{"all-left", "", []world{worked, {2: {rcpt("z@example.com", control.Ready, 0, "")}}, {}}, exitDone, ""},
		{"some-left", "", []world{worked, {
			1: {rcpt("y@example.com", control.Suspended, 1, "450 4.2.0 \x1b[2Jgreylisted")},
			2: {rcpt("z@example.com", control.Held, 0, "")}}}, exitPartly, ""},
		{"none-left", "", []world{{
			1: {rcpt("x@example.com", control.Delayed, 2, refused), rcpt("y@example.com", control.Delayed, 2, refused)},
			2: {rcpt("z@example.com", control.Delayed, 2, refused)}}}, exitFailed, "no recipient has left the queue"},
		{"in-time", "=1s", []world{{2: before[2]}}, exitPartly, ""},
		{"json", " -o json", []world{{2: {rcpt("z@example.com", control.Suspended, 2, hostile)}}}, exitPartly, ""},
		{"csv", " -o csv", []world{{2: {rcpt("z@example.com", control.Suspended, 2, hostile)}}}, exitPartly, ""},
		{"jsonl", " -o jsonl", []world{{2: {rcpt("z@example.com", control.Suspended, 2, hostile)}}}, exitPartly, ""},
		{"name", " -o name", []world{{}}, exitDone, ""},
		{"wide", " -o wide", []world{{}}, exitDone, ""},
		{"yaml", " -o yaml", []world{{2: {rcpt("z@example.com", control.Suspended, 2, hostile)}}}, exitPartly, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := full()
			d.turns(append([]world{before}, tt.after...)...)
			d.outcome = control.Outcome{Matched: 1, Changed: 1, Messages: 2, Act: 17}
			d.lines = func(q control.LogQuery) []control.LogLine {
				if !reflect.DeepEqual(q.Tags, []string{"DEQUEUER"}) || q.Message == 2 {
					return nil // of that nothing is known
				}
				return []control.LogLine{
					{ID: 1, Line: "12:00:00.000 2 DEQUEUER [1] SMTP(example.com)x@example.com relayed: \x1b[2Jvia mx"},
					{ID: 1, Line: "12:00:00.000 1 DEQUEUER [1] SMTP(example.com)y@example.com failed: no such user"},
				}
			}
			args := strings.Fields("queue release SMTP example.com --wait" + tt.flags)
			got := cgq(t, d.serve(t), nil, args...)
			if got.status != tt.status || !strings.Contains(got.errOut, tt.says) {
				t.Errorf("%+v; want status %d, %q", got, tt.status, tt.says)
			}
			golden(t, "queue-release-wait-"+tt.name, got, args)
			if len(d.acts) != 1 {
				t.Errorf("released %d times", len(d.acts))
			}
		})
	}
}

// However many wait for their turn, everybody is looked at.
func TestWaitingLooksAtEverybody(t *testing.T) {
	d := full()
	before, after := world{}, world{}
	for id := range mail.ID(2*maxShown + 1) {
		before[id+1] = []control.RecipientRow{rcpt("x@example.com", control.Delayed, 1, refused)}
		after[id+1] = []control.RecipientRow{rcpt("x@example.com", control.Suspended, 1, refused)}
	}
	after[2*maxShown+1] = []control.RecipientRow{rcpt("x@example.com", control.Suspended, 2, "450 4.2.0 greylisted")}
	d.turns(before, after)
	got := cgq(t, d.serve(t), nil, strings.Fields("queue release SMTP example.com --wait=1s --no-headers")...)
	lines := strings.Split(strings.TrimSpace(got.out), "\n")
	if last := lines[len(lines)-1]; !strings.Contains(last, "201  x@example.com  tried ") || got.status != exitFailed {
		t.Errorf("status %d, %q", got.status, last)
	}
}

// An interrupt ends the waiting, and what is known is told.
func TestWaitingIsInterrupted(t *testing.T) {
	d := full()
	d.turns(world{1: {rcpt("x@example.com", control.Delayed, 1, refused)}}, world{1: {rcpt("x@example.com", control.Ready, 1, refused)}})
	looks, list := 0, d.list
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	d.list = func(in control.Selection) []control.MessageRow {
		if looks++; looks == 3 {
			interrupt()
		}
		return list(in)
	}
	var out, errOut bytes.Buffer
	a := &app{out: &out, errOut: &errOut, now: time.Now, base: d.serve(t), every: time.Millisecond}
	status := a.run(ctx, strings.Fields("queue release SMTP example.com --wait=1h"))
	if status != exitFailed || !strings.Contains(out.String(), "released 1 of 1 queues\n") ||
		!strings.Contains(out.String(), "x@example.com  waiting  ready") || len(d.acts) != 1 ||
		!strings.Contains(errOut.String(), "the release stands") {
		t.Errorf("status %d, %q, %q", status, out.String(), errOut.String())
	}
}

func TestWaitingNeedsADaemon(t *testing.T) {
	d := full()
	d.turns(world{1: {rcpt("x@example.com", control.Ready, 1, refused)}})
	list, looks := d.list, 0
	d.list = func(in control.Selection) []control.MessageRow {
		if looks++; looks == 2 {
			d.err = errors.New("journal on fire")
		}
		return list(in)
	}
	got := cgq(t, d.serve(t), nil, strings.Fields("queue release SMTP example.com --wait")...)
	if got.status != exitFailed || !strings.Contains(got.errOut, "journal on fire") || !strings.Contains(got.out, "released 1 of 1") {
		t.Errorf("%+v; want the release, and the error", got)
	}
}

func TestWaitingForTooMany(t *testing.T) {
	d := full()
	many := world{}
	for id := range mail.ID(maxWatched + 1) {
		many[id+1] = []control.RecipientRow{rcpt("x@example.com", control.Delayed, 1, "")}
	}
	d.turns(many)
	got := cgq(t, d.serve(t), nil, strings.Fields("queue release --all --yes --wait")...)
	if got.status != exitFailed || !strings.Contains(got.errOut, "10000 messages") || len(d.acts) > 0 {
		t.Errorf("%+v, %d acts; want nothing released", got, len(d.acts))
	}
}
