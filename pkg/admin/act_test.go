package admin_test

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"cgq/pkg/control"
	"cgq/pkg/fact"
	"cgq/pkg/mail"
)

// audits are the lines of the Audit log.
func (h *house) audits(t *testing.T) (lines []string) {
	t.Helper()
	for _, l := range all(t, control.LogTail.Do(t.Context(), h.client, control.LogQuery{Lines: 100, Tags: []string{"AUDIT"}})) {
		lines = append(lines, l.Line)
	}
	return lines
}

// Every field of a selection reaches the queue; a list, a dry run and the act itself are
// about the same recipients.
func TestSelections(t *testing.T) {
	for _, tt := range []struct {
		sel  control.Selection
		want []mail.ID
		rows int // recipients
	}{
		{control.Selection{Sender: []string{"SENDER@a.example"}}, []mail.ID{1, 2, 3, 4}, 7},
		{control.Selection{Sender: []string{"<>"}}, nil, 0},
		{control.Selection{Rcpt: []string{"b@delayed.example", "ann@*"}}, []mail.ID{1, 3}, 2},
		{control.Selection{RcptDomain: []string{"delayed.example"}}, []mail.ID{1, 2}, 3},
		{control.Selection{SenderDomain: []string{"b.example"}}, nil, 0},
		{control.Selection{Auth: []string{"sender@a.example"}, Limit: 2}, []mail.ID{1, 2}, 4},
		{control.Selection{Source: []string{"smtp"}, Module: []string{"local"}}, []mail.ID{3}, 1},
		{control.Selection{Error: []string{"later"}}, []mail.ID{4}, 1},
		{control.Selection{Error: []string{"~^connection"}}, []mail.ID{1, 2}, 3},
		{control.Selection{Subject: []string{"GRÜSSE", "grüße"}, Size: []string{">1"}, IDs: []mail.ID{3}}, []mail.ID{3}, 1},
		{control.Selection{Age: []string{">1s"}, State: []control.State{control.Ready}}, []mail.ID{2, 3, 4}, 3},
		{control.Selection{Where: `attempts == 2 or rcpt == "x@ready.example"`}, []mail.ID{2, 4}, 2},
	} {
		h, _ := filled(t)
		got := ids(all(t, control.MessageList.Do(t.Context(), h.client, tt.sel)))
		got = slices.Compact(got)
		if !slices.Equal(got, tt.want) {
			t.Errorf("%+v lists %v, want %v", tt.sel, got, tt.want)
		}
		for _, dry := range []bool{true, false} {
			out, err := control.MessageReject.Do(t.Context(), h.client, control.Act{Selection: tt.sel, NoDSN: true, DryRun: dry})
			if err != nil || out.Matched != tt.rows || out.Changed != tt.rows || out.Messages != len(tt.want) {
				t.Errorf("%+v, dry run %v: %+v, %v; want %d recipients", tt.sel, dry, out, err, tt.rows)
			}
		}
		if n := len(h.audits(t)); n != 1 {
			t.Errorf("%+v: %d records of one act", tt.sel, n)
		}
	}
}

// What is wrong with a selection is said, with what to do, and nothing is done.
func TestWrongSelections(t *testing.T) {
	h, _ := filled(t)
	for _, tt := range []struct {
		sel       control.Selection
		text, any string
	}{
		{control.Selection{Age: []string{"2h"}}, "age", ">2h"},
		{control.Selection{Size: []string{"10"}}, "size", ">10"},
		{control.Selection{Sender: []string{""}}, "sender", ""},
		{control.Selection{Source: []string{"fax"}}, "source", "SMTP"},
		{control.Selection{Error: []string{"~("}}, "error", ""},
		{control.Selection{Where: "sendr == 'x'"}, "sendr", "sender"},
		{control.Selection{Where: "age >"}, "where", ""},
		{control.Selection{Queue: []string{"a"}, Limit: -1}, "limit", ""},
		{control.Selection{Where: "id % (id - 2) >= 0"}, "where", ""}, // cannot be computed for message 2
	} {
		_, err := control.MessageReject.Do(t.Context(), h.client, control.Act{Selection: tt.sel, NoDSN: true})
		refused(t, fmt.Sprintf("%+v", tt.sel), err, control.KindBadRequest)
		if !strings.Contains(err.Error(), tt.text) || !strings.Contains(err.Error(), tt.any) {
			t.Errorf("%+v: %v; want %q and %q in it", tt.sel, err, tt.text, tt.any)
		}
		refused(t, "message list", failure(control.MessageList.Do(t.Context(), h.client, tt.sel)), control.KindBadRequest)
		if tt.sel.Queue == nil {
			refused(t, "queue list", failure(control.QueueList.Do(t.Context(), h.client, tt.sel)), control.KindBadRequest)
			refused(t, "queue shape", failure(control.QueueShape.Do(t.Context(), h.client, control.ShapeQuery{Selection: tt.sel})), control.KindBadRequest)
		}
	}
	_, err := control.MessageReject.Do(t.Context(), h.client, control.Act{Selection: control.Selection{All: true}, Text: strings.Repeat("x", 513)})
	refused(t, "a long text", err, control.KindBadRequest)
	h.undone(t, 4, 7)
}

// A list of host queues of a selection of messages counts these.
func TestQueueListOfMessages(t *testing.T) {
	h, _ := filled(t)
	rows := all(t, control.QueueList.Do(t.Context(), h.client, control.Selection{Rcpt: []string{"b@delayed.example", "y@*"}}))
	got := ""
	for _, r := range rows {
		got += fmt.Sprintf("%s %s %d %d; ", r.Queue, r.State, r.Messages, r.Recipients)
	}
	if want := "delayed.example delayed 1 1; slow.example ready 1 1; "; got != want {
		t.Errorf("%s; want %s", got, want)
	}
}

func TestHoldAdd(t *testing.T) {
	h, _ := filled(t)
	for name, order := range map[string]control.HoldOrder{
		"no reason":    {Selection: control.Selection{All: true}, Reason: " \n"},
		"no selection": {Reason: "x"},
		"no time":      {Selection: control.Selection{All: true}, Reason: "x", For: control.Seconds(-time.Second)},
	} {
		if _, err := control.HoldAdd.Do(t.Context(), h.client, order); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	order := control.HoldOrder{Selection: control.Selection{RcptDomain: []string{"delayed.example"}}, Reason: "moving\nhouse", For: control.Seconds(time.Hour)}
	out, err := control.HoldAdd.Do(t.Context(), h.client, order)
	if err != nil || out.Matched != 3 || out.Changed != 3 || out.Messages != 2 || out.Act != 1 {
		t.Fatalf("HoldAdd = %+v, %v", out, err)
	}
	later := h.put(t, "new@delayed.example")
	rows := all(t, control.HoldList.Do(t.Context(), h.client, control.Nothing{}))
	if len(rows) != 1 || rows[0].Name != "1" || rows[0].Recipients != 4 || rows[0].Reason != "moving\nhouse" || !rows[0].Lasts ||
		rows[0].Where != `rcpt_domain == "delayed.example"` || rows[0].Until.Sub(rows[0].Since).Round(time.Second) != time.Hour || rows[0].By == "" {
		t.Errorf("holds %+v", rows)
	}
	m, err := control.MessageShow.Do(t.Context(), h.client, control.MessageID{ID: later})
	if err != nil || m.Recipients[0].Status != control.Held {
		t.Errorf("the later one: %+v, %v", m.Recipients, err)
	}
	e, err := control.QueueExplain.Do(t.Context(), h.client, control.QueueName{Module: "SMTP", Queue: "delayed.example"})
	if err != nil || e.Held != 4 || e.Reasons[0].Kind != "held" && e.Reasons[1].Kind != "held" || len(e.Schedule) != 0 {
		t.Errorf("explained: %+v, %v", e, err)
	}
	released, err := control.QueueRelease.Do(t.Context(), h.client, control.Act{Selection: in("SMTP", "delayed.example")})
	if err != nil || released.Changed != 1 || released.Skipped != 0 { // its delay goes, for what comes next
		t.Errorf("release of what is held: %+v, %v", released, err)
	}
	released, err = control.QueueRelease.Do(t.Context(), h.client, control.Act{Selection: in("SMTP", "delayed.example")})
	if err != nil || released.Changed != 0 || released.Skipped != 1 || released.Skips[0].Reason != "held" {
		t.Errorf("release of what is held and not delayed: %+v, %v", released, err)
	}
	if out, err := control.HoldRemove.Do(t.Context(), h.client, control.HoldAct{Name: "1"}); err != nil || out.Changed != 4 {
		t.Errorf("HoldRemove = %+v, %v", out, err)
	}
	if m, err := control.MessageShow.Do(t.Context(), h.client, control.MessageID{ID: later}); err != nil || m.Recipients[0].Status != control.Ready {
		t.Errorf("afterwards: %+v, %v", m.Recipients, err)
	}
}

func TestTrash(t *testing.T) {
	h, _ := filled(t)
	for _, sel := range []control.Selection{in("SMTP", "ready.example"), in("SMTP", "delayed.example")} {
		out, err := control.MessageReject.Do(t.Context(), h.client, control.Act{Selection: sel, NoDSN: true, Text: "no\x00way"})
		if err != nil || !out.Trash {
			t.Fatalf("reject = %+v, %v", out, err)
		}
	}
	rows := all(t, control.TrashList.Do(t.Context(), h.client, control.Nothing{}))
	if len(rows) != 2 || rows[0].Act != 2 || rows[0].Recipients != 3 || rows[0].Messages != 2 || rows[0].Text != "no\x00way" || rows[0].By == "" {
		t.Errorf("trash %+v", rows)
	}
	for _, act := range []control.TrashAct{{}, {Act: 1, All: true}} {
		_, err := control.TrashRestore.Do(t.Context(), h.client, act)
		refused(t, "restore of something", err, control.KindBadRequest)
	}
	_, err := control.TrashRestore.Do(t.Context(), h.client, control.TrashAct{Act: 99})
	refused(t, "restore of an unknown act", err, control.KindNoSuchBatch)
	if out, err := control.TrashRestore.Do(t.Context(), h.client, control.TrashAct{All: true, DryRun: true}); err != nil || out.Changed != 4 || out.Messages != 2 {
		t.Errorf("dry run: %+v, %v", out, err)
	}
	if out, err := control.TrashRestore.Do(t.Context(), h.client, control.TrashAct{Act: 2}); err != nil || out.Changed != 3 || out.Messages != 2 {
		t.Errorf("restore: %+v, %v", out, err)
	}
	if out, err := control.TrashPurge.Do(t.Context(), h.client, control.TrashAct{All: true}); err != nil || out.Changed != 1 {
		t.Errorf("purge: %+v, %v", out, err)
	}
	h.undone(t, 4, 6)
	if rows := all(t, control.TrashList.Do(t.Context(), h.client, control.Nothing{})); len(rows) != 0 {
		t.Errorf("trash %+v", rows)
	}
}

func TestReroute(t *testing.T) {
	h, _ := filled(t)
	h.put(t, "a@gone.example")
	h.put(t, "a@new.example")
	sel := control.Selection{Module: []string{"SMTP"}, RcptDomain: []string{"ready.example", "gone.example", "new.example"}}
	for _, dry := range []bool{true, false} {
		out, err := control.MessageReroute.Do(t.Context(), h.client, control.Act{Selection: sel, DryRun: dry})
		want := []control.Move{{FromModule: "SMTP", FromQueue: "ready.example", ToModule: "SMTP", ToQueue: "new.example", Recipients: 1}}
		if err != nil || out.Matched != 3 || out.Changed != 1 || out.Already != 1 || out.Skipped != 1 || !slices.Equal(out.Moves, want) ||
			!strings.Contains(out.Skips[0].Reason, "no such host") {
			t.Errorf("dry run %v: %+v, %v", dry, out, err)
		}
	}
	if out, err := control.MessageReroute.Do(t.Context(), h.client, control.Act{Selection: sel}); err != nil || out.Changed != 0 || out.Already != 2 {
		t.Errorf("again: %+v, %v", out, err)
	}
}

func TestExplainAndShape(t *testing.T) {
	h, until := filled(t)
	e, err := control.QueueExplain.Do(t.Context(), h.client, control.QueueName{Module: "smtp", Queue: "DELAYED.example"})
	if err != nil || e.Recipients != 3 || e.Attempts != 3 || len(e.Reasons) != 2 || !e.NextAttempt.Equal(until) || !e.Schedule[0].Equal(until) ||
		e.Errors[0] != (control.ErrorRow{Text: "connection refused", Count: 3, Class: "connection"}) {
		t.Errorf("explained %+v, %v", e, err)
	}
	kinds := []string{e.Reasons[0].Kind, e.Reasons[1].Kind}
	if !slices.Equal(kinds, []string{"no-channels", "delayed"}) || !e.Reasons[1].Until.Equal(until) { // nobody runs this kernel
		t.Errorf("reasons %+v", e.Reasons)
	}
	for _, r := range e.Reasons {
		if !slices.Contains(control.ReasonKinds(), r.Kind) {
			t.Errorf("no kind %q", r.Kind)
		}
	}
	if e, err := control.QueueExplain.Do(t.Context(), h.client, control.QueueName{Module: "SMTP", Queue: "slow.example"}); err != nil ||
		e.Suspended != 1 || e.Ready != 1 {
		t.Errorf("explained %+v, %v", e, err)
	}
	_, err = control.QueueExplain.Do(t.Context(), h.client, control.QueueName{Module: "SMTP", Queue: "~("})
	refused(t, "explain of no queue", err, control.KindNoSuchQueue)
	for by, want := range map[string]string{"": "delayed.example 3, slow.example 2, here.example 1, ready.example 1,  7",
		"error":  "- 3, connection refused connection 3, 450 4.2.0 later\r\n\x1b[31m system 1,  7",
		"class":  "- 3, connection 3, system 1,  7",
		"module": "SMTP 6, LOCAL 1,  7", "sender": "sender@a.example 7,  7", "source": "SMTP 7,  7"} {
		var got []string
		for _, r := range all(t, control.QueueShape.Do(t.Context(), h.client, control.ShapeQuery{By: by})) {
			n := 0
			for _, age := range r.Ages {
				n += age
			}
			if n != r.Total || len(r.Ages) != len(control.ShapeAges())+1 {
				t.Errorf("row %+v", r)
			}
			got = append(got, strings.TrimSuffix(r.Name+" "+r.Class, " ")+" "+strconv.Itoa(r.Total))
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("by %q: %s, want %s", by, strings.Join(got, ", "), want)
		}
	}
	refused(t, "shape by nothing", failure(control.QueueShape.Do(t.Context(), h.client, control.ShapeQuery{By: "x"})), control.KindBadRequest)
}

// The life of a message is told from its facts and from the log.
func TestMessageTrace(t *testing.T) {
	h, _ := filled(t)
	for _, f := range []fact.Fact{
		fact.Tried{Rcpt: 0, At: submitted.Add(time.Minute), Attempts: 1, Until: submitted.Add(time.Hour), Result: mail.Result{Text: "busy\n"}},
		fact.Rejected{Rcpt: 1, At: submitted.Add(time.Hour), By: "ann", Act: 7},
	} {
		if _, err := h.spool.Append(fact.Change{ID: 1, Fact: f}); err != nil {
			t.Fatal(err)
		}
	}
	h.log.Logger("DEQUEUER").Info("[1] something", "id", mail.ID(1))
	var got []string
	for _, r := range all(t, control.MessageTrace.Do(t.Context(), h.client, control.MessageID{ID: 1})) {
		got = append(got, r.Tag+" "+r.Recipient+" "+r.Text)
	}
	for i, want := range []string{"FACT  submitted through SMTP from <sender@a.example> to 2 recipients", "FACT a@delayed.example routed to SMTP(delayed.example)",
		"FACT b@delayed.example routed to", "FACT a@delayed.example attempt 1, delayed till", "FACT b@delayed.example moved to the trash by ann in act 7",
		"DEQUEUER  "} {
		if len(got) <= i || !strings.HasPrefix(got[i], want) {
			t.Fatalf("%q; want %q as number %d", got, want, i)
		}
	}
	refused(t, "trace of no message", failure(control.MessageTrace.Do(t.Context(), h.client, control.MessageID{ID: 4711})), control.KindNoSuchMessage)
}

func TestMessageContent(t *testing.T) {
	h, _ := filled(t)
	var b bytes.Buffer
	end, err := control.MessageContent.Do(t.Context(), h.client, control.MessageID{ID: 3}, &b)
	if err != nil || end.Bytes != int64(b.Len()) || !strings.HasSuffix(b.String(), "\n\ntext\n") {
		t.Errorf("content %q, %+v, %v", b.String(), end, err)
	}
	if lines := h.audits(t); len(lines) != 1 || !strings.Contains(lines[0], "view of message 3") {
		t.Errorf("audit %q", lines)
	}
	_, err = control.MessageContent.Do(t.Context(), h.client, control.MessageID{ID: 99}, &b)
	refused(t, "content of no message", err, control.KindNoSuchMessage)
}
