package admin_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"cgq/pkg/control"
	"cgq/pkg/fact"
	"cgq/pkg/mail"
	"cgq/pkg/queue"
)

func names(rows []control.QueueRow) (all []string) {
	for _, r := range rows {
		all = append(all, r.Module+"("+r.Queue+")")
	}
	return all
}

func ids(rows []control.MessageRow) (all []mail.ID) {
	for _, r := range rows {
		all = append(all, r.ID)
	}
	return all
}

func in(module, name string) control.Selection {
	return control.Selection{Module: []string{module}, Queue: []string{name}}
}

// filled is a house with four queues: one ready, one delayed, one Account's, and one
// whose message waits for itself.
func filled(t *testing.T) (h *house, until time.Time) {
	h, until = newHouse(t), till()
	h.put(t, "a@delayed.example b@delayed.example")
	h.put(t, "c@delayed.example x@ready.example")
	h.put(t, "ann@here.example")
	h.put(t, "y@slow.example z@slow.example", fact.Tried{Rcpt: 0, Attempts: 2, Until: until, Result: mail.Result{
		Status: mail.Status{4, 2, 0}, Code: 450, Text: "later\r\n\x1b[31m"}})
	h.delay(t, "SMTP", "delayed.example", until, "connection refused")
	h.delay(t, "SMTP", "empty.example", until, "connection refused")
	return h, until
}

func TestQueueList(t *testing.T) {
	h, until := filled(t)
	rows := all(t, control.QueueList.Do(t.Context(), h.client, control.Selection{}))
	if got := names(rows); !slices.Equal(got, []string{"LOCAL(ann@here.example)", "SMTP(delayed.example)", "SMTP(ready.example)", "SMTP(slow.example)"}) {
		t.Fatalf("listed %v", got)
	}
	size := rows[0].Bytes
	want := control.QueueRow{Module: "SMTP", Queue: "delayed.example", State: control.Delayed, Messages: 2, Recipients: 3, Bytes: 2 * size,
		Oldest: submitted, DelayedTill: until, NextAttempt: until, Attempts: 3, LastError: "connection refused"}
	if got := rows[1]; size == 0 || !same(got, want) {
		t.Errorf("the delayed one:\n%+v, want\n%+v", got, want)
	}
	want = control.QueueRow{Module: "SMTP", Queue: "ready.example", State: control.Ready, Messages: 1, Recipients: 1, Bytes: size, Oldest: submitted}
	if got := rows[2]; !same(got, want) {
		t.Errorf("the ready one:\n%+v, want\n%+v", got, want)
	}
	for _, tt := range []struct {
		sel  control.Selection
		want []string
	}{
		{control.Selection{All: true}, names(rows)},
		{control.Selection{Module: []string{"smtp"}}, names(rows)[1:]},
		{control.Selection{Module: []string{"Local", "PIPE"}}, names(rows)[:1]},
		{control.Selection{Queue: []string{"READY.example", "Ann@Here.Example"}}, []string{"LOCAL(ann@here.example)", "SMTP(ready.example)"}},
		{in("local", "ready.example"), nil},
		{control.Selection{Queue: []string{"nowhere.example"}}, nil},
		{control.Selection{Queue: []string{"empty.example"}}, nil}, // only its delay is remembered
		{control.Selection{State: []control.State{control.Delayed}}, names(rows)[1:2]},
		{control.Selection{Module: []string{"SMTP"}, State: []control.State{control.Ready, control.Active}}, names(rows)[2:]},
	} {
		if got := names(all(t, control.QueueList.Do(t.Context(), h.client, tt.sel))); !slices.Equal(got, tt.want) {
			t.Errorf("list of %+v: %v, want %v", tt.sel, got, tt.want)
		}
	}
}

// same compares rows; times are the same whatever their zone.
func same[T any](a, b T) bool {
	x, y := reflect.ValueOf(&a).Elem(), reflect.ValueOf(&b).Elem()
	for i := range x.NumField() {
		if at, ok := x.Field(i).Interface().(time.Time); ok {
			if !at.Equal(y.Field(i).Interface().(time.Time)) {
				return false
			}
		} else if !reflect.DeepEqual(x.Field(i).Interface(), y.Field(i).Interface()) {
			return false
		}
	}
	return true
}

// A domain may be named as people write it: its queue has the name of the DNS.
func TestHostQueuesOfInternationalDomains(t *testing.T) {
	h := newHouse(t)
	h.put(t, "ann@xn--bcher-kva.example")
	got, err := control.QueueShow.Do(t.Context(), h.client, control.QueueName{Module: "SMTP", Queue: "Bücher.example"})
	if err != nil || got.Queue != "xn--bcher-kva.example" {
		t.Errorf("QueueShow = %+v, %v", got, err)
	}
	rows := all(t, control.QueueList.Do(t.Context(), h.client, control.Selection{Queue: []string{"bücher.example"}}))
	if got := names(rows); !slices.Equal(got, []string{"SMTP(xn--bcher-kva.example)"}) {
		t.Errorf("listed %v", got)
	}
}

func TestQueueShow(t *testing.T) {
	h, until := filled(t)
	got, err := control.QueueShow.Do(t.Context(), h.client, control.QueueName{Module: "smtp", Queue: "Delayed.EXAMPLE"})
	want := control.QueueHead{Module: "SMTP", Queue: "delayed.example", Status: control.Delayed, DelayedTill: until,
		NextAttempt: until, LastError: "connection refused"}
	if err != nil || !same(got, want) {
		t.Errorf("QueueShow = %+v, %v; want %+v", got, err, want)
	}
	for _, name := range []control.QueueName{{Module: "SMTP", Queue: "nowhere.example"}, {Module: "LOCAL", Queue: "delayed.example"},
		{Module: "SMTP", Queue: "empty.example"}, {Module: "S\x1b[31m", Queue: "\x00"}} {
		_, err := control.QueueShow.Do(t.Context(), h.client, name)
		refused(t, fmt.Sprintf("show %+v", name), err, control.KindNoSuchQueue)
	}
	_, err = control.QueueShow.Do(t.Context(), h.client, control.QueueName{Module: "SMTP"})
	refused(t, "half a name", err, control.KindBadRequest)
}

// delayedQueues are the names of the queues that are delayed.
func (h *house) delayedQueues(t *testing.T) []string {
	t.Helper()
	return names(all(t, control.QueueList.Do(t.Context(), h.client, control.Selection{State: []control.State{control.Delayed}})))
}

func TestQueueRelease(t *testing.T) {
	for _, tt := range []struct {
		name string
		act  control.Act
		want control.Outcome
		left int // queues that are delayed afterwards
	}{
		{"one", control.Act{Selection: in("smtp", "DELAYED.example")}, control.Outcome{Matched: 1, Changed: 1, Messages: 2}, 0},
		{"dry", control.Act{Selection: in("SMTP", "delayed.example"), DryRun: true}, control.Outcome{Matched: 1, Changed: 1, Messages: 2}, 1},
		{"all delayed", control.Act{Selection: control.Selection{State: []control.State{control.Delayed}, Module: []string{"SMTP"},
			Queue: []string{"delayed.example", "ready.example"}}}, control.Outcome{Matched: 1, Changed: 1, Messages: 2}, 0},
		{"not a delayed one", control.Act{Selection: in("SMTP", "ready.example")}, control.Outcome{Matched: 1, Already: 1, Messages: 1}, 1},
		{"two", control.Act{Selection: control.Selection{Queue: []string{"delayed.example", "ready.example"}}},
			control.Outcome{Matched: 2, Changed: 1, Already: 1, Messages: 2}, 0},
		{"none of two", control.Act{Selection: control.Selection{Queue: []string{"x.example", "y.example"}}}, control.Outcome{}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, _ := filled(t)
			got, err := control.QueueRelease.Do(t.Context(), h.client, tt.act)
			tt.want.Act = done(tt.act, got)
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("release = %+v, %v; want %+v", got, err, tt.want)
			}
			if left := h.delayedQueues(t); len(left) != tt.left {
				t.Errorf("delayed afterwards: %v, want %d", left, tt.left)
			}
			h.undone(t, 4, 7)
		})
	}
	h, _ := filled(t)
	_, err := control.QueueRelease.Do(t.Context(), h.client, control.Act{Selection: in("SMTP", "nowhere.example")})
	refused(t, "release of an unknown queue", err, control.KindNoSuchQueue)
}

// Release Now of a queue frees what waits for itself in it, too; attempts stay.
func TestQueueReleaseFreesItsMessages(t *testing.T) {
	h, _ := filled(t)
	sel := in("SMTP", "slow.example")
	if got, err := control.QueueRelease.Do(t.Context(), h.client, control.Act{Selection: sel}); err != nil || got.Messages != 1 {
		t.Fatalf("release = %+v, %v", got, err)
	}
	m, err := control.MessageShow.Do(t.Context(), h.client, control.MessageID{ID: 4})
	if err != nil || m.Recipients[0].Status != control.Ready || m.Recipients[0].RetryIn != 0 || m.Recipients[0].Attempts != 2 {
		t.Errorf("after the release: %+v, %v; want ready, with two attempts", m.Recipients, err)
	}
}

// A release by ids acts on messages alone; that is no unknown queue.
func TestReleaseByIDs(t *testing.T) {
	for _, sel := range []control.Selection{{IDs: []mail.ID{4}}, {IDs: []mail.ID{4, 4, 99}, Queue: []string{"slow.example"}}} {
		h, _ := filled(t)
		got, err := control.QueueRelease.Do(t.Context(), h.client, control.Act{Selection: sel})
		if err != nil || got.Messages != 1 {
			t.Errorf("release of %+v = %+v, %v; want one message", sel, got, err)
		}
		if m, err := control.MessageShow.Do(t.Context(), h.client, control.MessageID{ID: 4}); err != nil || m.Recipients[0].Status != control.Ready {
			t.Errorf("after the release: %+v, %v", m.Recipients, err)
		}
		if left := h.delayedQueues(t); len(left) != 1 {
			t.Errorf("delayed afterwards: %v, want the queue that was not named", left)
		}
	}
}

// done is the number that an act has: the first one, if it changed anything.
func done(act control.Act, got control.Outcome) uint64 {
	if act.DryRun || got.Changed == 0 {
		return 0
	}
	return 1
}

func TestReject(t *testing.T) {
	for _, tt := range []struct {
		name            string
		act             control.Act
		want            control.Outcome
		messages, rcpts int // left
	}{
		{"a queue", control.Act{Selection: in("smtp", "DELAYED.EXAMPLE"), Text: "closed"}, control.Outcome{Matched: 3, Changed: 3, Messages: 2}, 4, 4},
		{"dry", control.Act{Selection: in("SMTP", "delayed.example"), DryRun: true}, control.Outcome{Matched: 3, Changed: 3, Messages: 2}, 4, 7},
		{"a module", control.Act{Selection: control.Selection{Module: []string{"LOCAL"}}, NoDSN: true}, control.Outcome{Matched: 1, Changed: 1, Messages: 1}, 3, 6},
		{"all", control.Act{Selection: control.Selection{All: true}, Text: "x"}, control.Outcome{Matched: 7, Changed: 7, Messages: 4}, 4, 0},
		{"a state", control.Act{Selection: control.Selection{State: []control.State{control.Suspended}}, Text: "x"}, control.Outcome{Matched: 1, Changed: 1, Messages: 1}, 4, 6},
		{"messages", control.Act{Selection: control.Selection{IDs: []mail.ID{4, 2, 4}}, Text: "x"}, control.Outcome{Matched: 4, Changed: 4, Messages: 2}, 4, 3},
		{"messages in a queue", control.Act{Selection: control.Selection{IDs: []mail.ID{1, 2}, Queue: []string{"ready.example"}}, Text: "x"},
			control.Outcome{Matched: 1, Changed: 1, Messages: 1}, 4, 6},
		{"an unknown queue", control.Act{Selection: in("SMTP", "nowhere.example"), Text: "x"}, control.Outcome{}, 4, 7},
		{"unknown messages", control.Act{Selection: control.Selection{IDs: []mail.ID{99, 1 << 62}}, Text: "x"}, control.Outcome{}, 4, 7},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for name, call := range map[string]control.Call[control.Act, control.Outcome]{"queue": control.QueueReject, "message": control.MessageReject} {
				h, _ := filled(t)
				got, err := call.Do(t.Context(), h.client, tt.act)
				tt.want.Act, tt.want.Trash = done(tt.act, got), tt.act.NoDSN
				if err != nil || !reflect.DeepEqual(got, tt.want) {
					t.Errorf("%s reject = %+v, %v; want %+v", name, got, err, tt.want)
				}
				h.undone(t, tt.messages, tt.rcpts)
			}
		})
	}
}

// A rejected recipient fails with the text of who did it; a report is asked for unless
// it is suppressed.
func TestRejectIsRecorded(t *testing.T) {
	for _, quiet := range []bool{false, true} {
		h := newHouse(t)
		id := h.put(t, "a@x.example")
		_, err := control.MessageReject.Do(t.Context(), h.client,
			control.Act{Selection: control.Selection{IDs: []mail.ID{id}}, Text: "closed\nfor good", NoDSN: quiet})
		if err != nil {
			t.Fatal(err)
		}
		if quiet {
			rows := all(t, control.TrashList.Do(t.Context(), h.client, control.Nothing{}))
			if len(rows) != 1 || rows[0].Text != "closed\nfor good" || rows[0].Recipients != 1 || rows[0].PurgedAt.Sub(rows[0].At) != 24*time.Hour {
				t.Errorf("trash %+v", rows)
			}
			continue
		}
		r, ok := h.kernel.NextReport(t.Context())
		want := mail.Result{Action: mail.Failed, Status: mail.Status{5, 7, 1}, Text: "closed\nfor good"}
		if !ok || !r.Last || len(r.Done) != 1 || r.Done[0].Result != want || r.Done[0].Wanted == quiet || !r.Done[0].Person {
			t.Errorf("quiet %v: the Dequeuer gets %+v", quiet, r)
		}
	}
}

// Recipients that a module has in its hands are left alone, and named.
func TestRejectSkipsWhatIsBeingProcessed(t *testing.T) {
	h := newHouse(t)
	held := h.put(t, "a@busy.example b@busy.example c@here.example")
	waits := h.put(t, "d@busy.example")
	h.run(t)
	if id := <-h.hands.has; id != held {
		t.Fatalf("message %d is in hand, want %d", id, held)
	}
	defer close(h.hands.let)
	row, err := control.QueueShow.Do(t.Context(), h.client, control.QueueName{Module: "SMTP", Queue: "busy.example"})
	if err != nil || row.Status != control.Active {
		t.Errorf("the queue is %+v, %v; want it active", row, err)
	}
	want := control.Outcome{Matched: 3, Changed: 1, Skipped: 2, Messages: 2, Skips: []control.Skip{
		{ID: held, Recipient: "a@busy.example", Reason: "being processed"}, {ID: held, Recipient: "b@busy.example", Reason: "being processed"}}}
	for _, dry := range []bool{true, false} {
		act := control.Act{Selection: in("SMTP", "busy.example"), Text: "x", DryRun: dry}
		got, err := control.QueueReject.Do(t.Context(), h.client, act)
		want.Act = done(act, got)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("reject, dry %v = %+v, %v; want %+v", dry, got, err, want)
		}
	}
	m, err := control.MessageShow.Do(t.Context(), h.client, control.MessageID{ID: held})
	if err != nil || len(m.Recipients) != 3 || m.Recipients[0].Status != control.Processing || m.Recipients[2].Status != control.Ready {
		t.Errorf("the message is %+v, %v", m, err)
	}
	if m, err := control.MessageShow.Do(t.Context(), h.client, control.MessageID{ID: waits}); err != nil || len(m.Recipients) != 0 {
		t.Errorf("the other one is %+v, %v; want it without recipients", m, err)
	}
}

// What cannot be meant, or cannot be understood, is refused, and changes nothing.
func TestHostileSelections(t *testing.T) {
	h, _ := filled(t)
	raw := http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", h.socket)
		}}}
	defer raw.CloseIdleConnections()
	for _, call := range []string{"queue/reject", "message/reject", "queue/release"} {
		for body, kind := range map[string]control.Kind{
			"": control.KindEmptySelection, "{}": control.KindEmptySelection, "null": control.KindEmptySelection,
			`{"text":"x"}`: control.KindEmptySelection, `{"queue":[],"ids":null,"all":false,"text":"x"}`: control.KindEmptySelection,
			`{"qeue":["x"],"all":true,"text":"x"}`:                          control.KindBadRequest, // a misspelt filter does not widen
			`{"all":true,"queue":["a"],"text":"x"}`:                         control.KindBadRequest,
			`{"all":true,"text":"x"}{"all":true}`:                           control.KindBadRequest,
			`{"all":"true","text":"x"}`:                                     control.KindBadRequest,
			`{"ids":[-1],"text":"x"}`:                                       control.KindBadRequest,
			`{"ids":[1.5],"text":"x"}`:                                      control.KindBadRequest,
			`{"ids":[18446744073709551616],"text":"x"}`:                     control.KindBadRequest,
			`{"state":["asleep"],"text":"x"}`:                               control.KindBadRequest,
			`{"state":["delayed","asleep"],"text":"x"}`:                     control.KindBadRequest,
			`{"state":[""],"text":"x"}`:                                     control.KindBadRequest,
			`[]`:                                                            control.KindBadRequest,
			`{"all":true,"text":"x"`:                                        control.KindBadRequest,
			`{"queue":["` + strings.Repeat("a", control.MaxRequest) + `"]}`: control.KindTooLarge,
		} {
			res, err := raw.Post("http://cgqd/v1/"+call, "application/json", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err != nil || res.StatusCode/100 != 4 || !strings.Contains(string(b), `"kind":"`+string(kind)+`"`) {
				t.Errorf("%s %.60s: %d %s, %v; want the kind %s", call, body, res.StatusCode, b, err, kind)
			}
		}
	}
	for _, call := range []control.Call[control.Act, control.Outcome]{control.QueueReject, control.MessageReject} {
		for _, text := range []string{"", " \n\t"} {
			_, err := call.Do(t.Context(), h.client, control.Act{Selection: control.Selection{All: true}, Text: text})
			refused(t, "a reject without a text", err, control.KindBadRequest)
		}
	}
	refused(t, "queue list", failure(control.QueueList.Do(t.Context(), h.client, control.Selection{State: []control.State{"asleep"}})), control.KindBadRequest)
	refused(t, "message list", failure(control.MessageList.Do(t.Context(), h.client, control.Selection{State: []control.State{"asleep"}})), control.KindBadRequest)
	h.undone(t, 4, 7)
	if left := h.delayedQueues(t); len(left) != 1 {
		t.Errorf("delayed afterwards: %v", left)
	}
}

func TestMessageList(t *testing.T) {
	h, until := filled(t)
	rows := all(t, control.MessageList.Do(t.Context(), h.client, control.Selection{}))
	if got := ids(rows); !slices.Equal(got, []mail.ID{1, 2, 2, 3, 4}) {
		t.Fatalf("listed %v, want a row for each queue that a message is in", got)
	}
	want := control.MessageRow{ID: 4, Module: "SMTP", Queue: "slow.example", State: control.Ready, Submitted: submitted,
		ReturnPath: "sender@a.example", Sender: "sender@a.example", Source: "SMTP", Bytes: rows[0].Bytes, Recipients: 2, Attempts: 2,
		DelayedTill: until, LastError: "450 4.2.0 later\r\n\x1b[31m", Subject: "grüße"}
	if got := rows[4]; !same(got, want) {
		t.Errorf("got\n%+v, want\n%+v", got, want)
	}
	if got := rows[0]; got.State != control.Delayed || got.Recipients != 2 || got.LastError != "connection refused" || got.Attempts != 3 {
		t.Errorf("in the delayed queue: %+v", got)
	}
	for _, tt := range []struct {
		sel  control.Selection
		want []mail.ID
	}{
		{control.Selection{All: true}, ids(rows)},
		{in("smtp", "DELAYED.example"), []mail.ID{1, 2}},
		{control.Selection{IDs: []mail.ID{4, 99, 2, 4}}, []mail.ID{2, 2, 4}},
		{control.Selection{IDs: []mail.ID{2}, Queue: []string{"ready.example"}}, []mail.ID{2}},
		{control.Selection{State: []control.State{control.Suspended}}, []mail.ID{4}},
		{control.Selection{State: []control.State{control.Held, control.Active}}, nil},
		{control.Selection{Queue: []string{"nowhere.example"}}, nil},
		{control.Selection{IDs: []mail.ID{99}}, nil},
	} {
		if got := ids(all(t, control.MessageList.Do(t.Context(), h.client, tt.sel))); !slices.Equal(got, tt.want) {
			t.Errorf("list of %+v: %v, want %v", tt.sel, got, tt.want)
		}
		var once []mail.ID
		for _, m := range all(t, control.MessageExport.Do(t.Context(), h.client, tt.sel)) {
			once = append(once, m.ID)
		}
		if want := slices.Compact(slices.Clone(tt.want)); !slices.Equal(once, want) {
			t.Errorf("export of %+v: %v, want %v", tt.sel, once, want)
		}
	}
}

// The list is in pieces below, and whole above.
func TestMessageListIsWhole(t *testing.T) {
	h := newHouse(t)
	a := mail.Address{Local: "a", Domain: "x.example"}
	for id := range mail.ID(2500) {
		h.kernel.Insert(queue.Message{ID: id + 1, Envelope: &mail.Envelope{Recipients: []mail.Recipient{{Address: a}}}},
			fact.Routed{Module: "SMTP", Queue: "x.example", Address: a})
	}
	rows := all(t, control.MessageList.Do(t.Context(), h.client, control.Selection{}))
	if len(rows) != 2500 || !slices.IsSortedFunc(rows, func(a, b control.MessageRow) int { return int(a.ID) - int(b.ID) }) {
		t.Errorf("%d rows, want 2500 in order", len(rows))
	}
}

func TestMessageShow(t *testing.T) {
	h, until := filled(t)
	got, err := control.MessageShow.Do(t.Context(), h.client, control.MessageID{ID: 4})
	if err != nil {
		t.Fatal(err)
	}
	rcpts := got.Recipients
	got.Recipients = nil
	want := control.Message{ID: 4, ReturnPath: "sender@a.example", MessageID: "<1@a.example>", EnvelopeID: "QQ314", Subject: "grüße",
		Submitted: submitted, Sender: "sender@a.example", Source: "SMTP", Bytes: got.Bytes}
	if !same(got, want) || got.Bytes == 0 {
		t.Errorf("got\n%+v, want\n%+v", got, want)
	}
	if len(rcpts) != 2 || rcpts[1] != (control.RecipientRow{Recipient: "z@slow.example", Module: "SMTP", Queue: "slow.example", Status: control.Ready}) {
		t.Fatalf("recipients %+v", rcpts)
	}
	y := rcpts[0]
	if d := time.Until(until); y.RetryIn.Duration() < d || y.RetryIn.Duration() > d+time.Minute || y.Status != control.Suspended || y.Attempts != 2 {
		t.Errorf("y is %+v, want suspended for %v", y, d)
	}
	for _, id := range []mail.ID{99, 1 << 63} {
		_, err := control.MessageShow.Do(t.Context(), h.client, control.MessageID{ID: id})
		refused(t, "an unknown message", err, control.KindNoSuchMessage)
	}
	_, err = control.MessageShow.Do(t.Context(), h.client, control.MessageID{})
	refused(t, "no message", err, control.KindBadRequest)
}

// A text that cannot be read costs a field of the page, not the page.
func TestMessageShowWithoutItsText(t *testing.T) {
	h := newHouse(t)
	id := h.put(t, "a@x.example")
	if _, err := h.spool.Append(fact.Change{ID: id, Fact: fact.Gone{}}); err != nil { // the kernel has not heard yet
		t.Fatal(err)
	}
	if m, err := control.MessageShow.Do(t.Context(), h.client, control.MessageID{ID: id}); err != nil || m.MessageID != "" || m.Subject != "grüße" {
		t.Errorf("show = %+v, %v", m, err)
	}
}

// SPOOL R1, L4: while a start still reads the Queue, a list says that it is not whole, and
// an act waits for what it may be about.
func TestWhileTheQueueIsRead(t *testing.T) {
	h, fsys := empty(t)
	h.read = make(chan struct{})
	h.unread.Store(2)
	h.begin(t, fsys)
	h.put(t, "a@one.example")
	n := 0
	for row, err := range control.QueueList.Do(t.Context(), h.client, control.Selection{}) {
		if err != nil {
			refused(t, "the end of the list", err, control.KindIncomplete)
			n += 10
		} else if row.Queue == "one.example" {
			n++
		}
	}
	if n != 11 {
		t.Errorf("%d, want the row, then the error", n)
	}
	_, err := control.MessageShow.Do(t.Context(), h.client, control.MessageID{ID: 77})
	refused(t, "a message that may be there", err, control.KindIncomplete)
	acted := make(chan control.Outcome, 1)
	go func() {
		out, err := control.QueueReject.Do(t.Context(), h.client, control.Act{Selection: control.Selection{All: true}, NoDSN: true})
		if err != nil {
			t.Error(err)
		}
		acted <- out
	}()
	h.put(t, "b@two.example") // what is read next
	h.undone(t, 2, 2)
	h.unread.Store(0)
	close(h.read)
	if out := <-acted; out.Changed != 2 {
		t.Errorf("%+v, want both", out)
	}
}

// One who stops the daemon meanwhile has not acted.
func TestStoppedWhileTheQueueIsRead(t *testing.T) {
	h, fsys := empty(t)
	h.read = make(chan struct{})
	h.unread.Store(2)
	h.begin(t, fsys)
	h.put(t, "a@one.example")
	close(h.read)
	_, err := control.QueueReject.Do(t.Context(), h.client, control.Act{Selection: control.Selection{All: true}, NoDSN: true})
	refused(t, "an act", err, control.KindStopping)
	h.undone(t, 1, 1)
}
