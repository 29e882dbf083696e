package kernel_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"cgq/pkg/fact"
	"cgq/pkg/kernel"
	"cgq/pkg/mail"
	"cgq/pkg/queue"
	"cgq/pkg/serverlog"
)

// The log EMails has a record for each end of a recipient, while it is wanted, and what
// strangers wrote stays in its line.
func TestEMails(t *testing.T) {
	var said bytes.Buffer
	emails, _ := serverlog.New(&said, "EMAILS", serverlog.All)
	wanted := true
	logs := discard()
	logs.EMails, logs.Deliveries = emails, func() bool { return wanted }
	logs.Class = func(r mail.Result) string { return "class-of-" + r.Status.String() }
	k := kernel.New(&memLedger{}, plan, logs)
	e := envelope(2)
	e.Source, e.Auth, e.Submitted = mail.SMTP, "ann@a.example", time.UnixMilli(1_700_000_000_000)
	k.Insert(queue.Message{ID: 7, Envelope: e, Size: 1234}, fact.Routed{Rcpt: 0, Module: "SMTP", Queue: "b.example", Address: e.Recipients[0].Address},
		fact.Settled{Rcpt: 1, At: e.Submitted.Add(20 * time.Millisecond), Result: mail.Result{Action: mail.Discarded, Text: "discarded"}})
	settle := func(rcpt int) {
		k.Apply(fact.Change{ID: 7, Fact: fact.Settled{Rcpt: rcpt, At: e.Submitted.Add(1500 * time.Millisecond),
			Result: mail.Result{Action: mail.Failed, Status: mail.Status{5, 1, 1}, Code: 550, Text: "no\r\nsuch user", MTA: "mx.b.example"}}})
	}
	settle(0)
	got := strings.Split(strings.TrimSpace(said.String()), "\n")
	want := []string{
		`2 EMAILS [7] SMTP from <s@a.example> to <r1@b.example> SYSTEM(NULL)r1@b.example discarded: discarded, size=1234, delay=20ms, tries=0, status=0.0.0, account=ann@a.example`,
		`2 EMAILS [7] SMTP from <s@a.example> to <r0@b.example> SMTP(b.example)r0@b.example failed: 550 5.1.1 no\r\nsuch user, size=1234, delay=1.5s, tries=0, status=5.1.1, class=class-of-5.1.1, host=mx.b.example, account=ann@a.example`,
	}
	if len(got) != len(want) {
		t.Fatalf("it has\n%s", said.String())
	}
	for i := range want {
		if _, line, _ := strings.Cut(got[i], " "); line != want[i] {
			t.Errorf("it has\n%s, want\n%s", line, want[i])
		}
	}
	wanted = false
	said.Reset()
	e = envelope(1)
	k.Insert(queue.Message{ID: 8, Envelope: e}, fact.Settled{Rcpt: 0, At: time.Now(), Result: mail.Result{Action: mail.Delivered}})
	if said.Len() > 0 {
		t.Errorf("nobody wanted it, and it has %s", slog.StringValue(said.String()))
	}
}
