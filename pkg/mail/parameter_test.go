package mail_test

import (
	"testing"

	"cgq/pkg/mail"
)

func TestParseParameters(t *testing.T) {
	for s, want := range map[string]mail.Notify{"": 0, "never": mail.NotifyNever, "SUCCESS,failure": mail.NotifySuccess | mail.NotifyFailure,
		"DELAY": mail.NotifyDelay} {
		if got, ok := mail.ParseNotify(s); got != want || !ok {
			t.Errorf("ParseNotify(%q) = %v, %v; want %v", s, got, ok, want)
		}
	}
	for _, s := range []string{"NEVER,FAILURE", "ALWAYS", ",", "SUCCESS,", " DELAY"} {
		if got, ok := mail.ParseNotify(s); ok {
			t.Errorf("ParseNotify(%q) = %v, want none", s, got)
		}
	}
	for _, r := range []mail.Return{0, mail.ReturnFull, mail.ReturnHeaders} {
		if got, ok := mail.ParseReturn(r.String()); got != r || !ok {
			t.Errorf("ParseReturn(%q) = %v, %v", r.String(), got, ok)
		}
	}
	for _, b := range []mail.BodyType{0, mail.Body7Bit, mail.Body8BitMIME} {
		if got, ok := mail.ParseBodyType(b.String()); got != b || !ok {
			t.Errorf("ParseBodyType(%q) = %v, %v", b.String(), got, ok)
		}
	}
	_, ret := mail.ParseReturn("some")
	_, body := mail.ParseBodyType("BINARYMIME")
	if ret || body {
		t.Error("an unknown word is taken for one")
	}
}
