package mail_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"cgq/pkg/mail"
)

func TestActionRoundTrip(t *testing.T) {
	for a, want := range map[mail.Action]string{
		mail.Delayed: "delayed", mail.Delivered: "delivered", mail.Relayed: "relayed",
		mail.Discarded: "discarded", mail.Failed: "failed", mail.Expanded: "expanded",
	} {
		if a.String() != want {
			t.Errorf("String = %q, want %q", a, want)
		}
		if got, ok := mail.ParseAction(want); !ok || got != a {
			t.Errorf("ParseAction(%q) = %v, %v, want %v", want, got, ok, a)
		}
		if final := (mail.Result{Action: a}).Final(); final != (a != mail.Delayed) {
			t.Errorf("%s: Final = %v", a, final)
		}
	}
	for _, s := range []string{"", "Failed", "expand", "failed "} {
		if got, ok := mail.ParseAction(s); ok {
			t.Errorf("ParseAction(%q) = %v, want none", s, got)
		}
	}
	if s := mail.Action(77).String(); s != "Action(77)" {
		t.Errorf("String of an unknown action = %q", s)
	}
}

func TestStatusRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.Uint16Max(999)
		class := rapid.SampledFrom([]uint16{2, 4, 5}).Draw(t, "class")
		s := mail.Status{class, part.Draw(t, "subject"), part.Draw(t, "detail")}
		if got, ok := mail.ParseStatus(s.String()); !ok || got != s {
			t.Fatalf("ParseStatus(%q) = %v, %v, want %v", s.String(), got, ok, s)
		}
	})
	for _, s := range []string{"", "5", "5.1", "5.1.1.1", "3.1.1", "0.0.0", "1.0.0", "6.0.0", "5.1.",
		".1.1", "5.1000.1", "5.1.0001", "5.-1.1", "5.+1.1",
		" 5.1.1", "5.1.1 ", "5.a.1", "5,1,1"} {
		if got, ok := mail.ParseStatus(s); ok {
			t.Errorf("ParseStatus(%q) = %v, want none", s, got)
		}
	}
}

func TestResultString(t *testing.T) {
	for _, tt := range []struct {
		r    mail.Result
		want string
	}{
		{mail.Result{}, ""},
		{mail.Result{Text: "disk full", Status: mail.Status{4, 3, 1}}, "disk full"},
		{mail.Result{Text: "no", Code: 550}, "550 no"},
		{mail.Result{Text: "no", Code: 550, Status: mail.Status{5, 1, 1}, MTA: "mx"}, "550 5.1.1 no"},
	} {
		if got := tt.r.String(); got != tt.want {
			t.Errorf("%#v: %q, want %q", tt.r, got, tt.want)
		}
	}
	if (mail.Result{After: time.Unix(1, 0)}).Final() {
		t.Error("a delay is final")
	}
}

func TestSourceRoundTrip(t *testing.T) {
	// chapter: Submit Address
	tags := []string{"SMTP", "RPOP", "RULE", "ALLF", "PIPE", "POP", "IMAP", "HTTP", "XIMSS", "PBX",
		"SRULE", "DSN", "MDN", "ICAL",
		"LIST", "LSRV", "LSTM", "LSTO", "GROUP", "EVENT", "LWIT"}
	seen := map[mail.Source]bool{}
	for _, tag := range tags {
		s, ok := mail.ParseSource(tag)
		if !ok || s.String() != tag || seen[s] || s == 0 {
			t.Errorf("ParseSource(%q) = %v, %v", tag, s, ok)
		}
		seen[s] = true
		if s.External() != (tag == "SMTP" || tag == "RPOP") {
			t.Errorf("%s: External = %v", tag, s.External())
		}
	}
	for _, tag := range []string{"", "smtp", "SMTPI", "Source(0)"} {
		if got, ok := mail.ParseSource(tag); ok {
			t.Errorf("ParseSource(%q) = %v, want none", tag, got)
		}
	}
	for _, s := range []mail.Source{0, mail.Source(len(tags) + 1), 255} {
		if got, want := s.String(), fmt.Sprintf("Source(%d)", uint8(s)); got != want {
			t.Errorf("String of an unknown source = %q, want %q", got, want)
		}
	}
}

func TestIDRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := mail.ID(rapid.Uint64Min(1).Draw(t, "id"))
		if got, ok := mail.ParseID(id.String()); !ok || got != id {
			t.Fatalf("ParseID(%q) = %v, %v, want %v", id.String(), got, ok, id)
		}
	})
	for _, s := range []string{"", "0", "-1", "+1", "1x", " 1", "0x1", "1_0", "18446744073709551616", "007"} {
		if got, ok := mail.ParseID(s); ok {
			t.Errorf("ParseID(%q) = %v, want none", s, got)
		}
	}
}

func TestNotify(t *testing.T) {
	for _, tt := range []struct {
		n                mail.Notify
		want             string
		failure, success bool
	}{
		{0, "", true, false},
		{mail.NotifyNever, "NEVER", false, false},
		{mail.NotifySuccess, "SUCCESS", false, true},
		{mail.NotifyFailure | mail.NotifyDelay, "FAILURE,DELAY", true, false},
		{mail.NotifySuccess | mail.NotifyFailure | mail.NotifyDelay, "SUCCESS,FAILURE,DELAY", true, true},
	} {
		if got := tt.n.String(); got != tt.want || tt.n.Failure() != tt.failure || tt.n.Success() != tt.success {
			t.Errorf("Notify(%d) = %q, failure %v, success %v; want %q, %v, %v", tt.n, got, tt.n.Failure(), tt.n.Success(),
				tt.want, tt.failure, tt.success)
		}
	}
}

func TestEnvelopeWords(t *testing.T) {
	for r, want := range map[mail.Return]string{0: "", mail.ReturnFull: "FULL", mail.ReturnHeaders: "HDRS"} {
		if r.String() != want {
			t.Errorf("Return(%d) = %q, want %q", r, r, want)
		}
	}
	for b, want := range map[mail.BodyType]string{
		0: "", mail.Body7Bit: "7BIT", mail.Body8BitMIME: "8BITMIME", mail.BodyBinaryMIME: "BINARYMIME",
	} {
		if b.String() != want {
			t.Errorf("BodyType(%d) = %q, want %q", b, b, want)
		}
	}
}
