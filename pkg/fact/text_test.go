package fact_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"cgq/pkg/fact"
	"cgq/pkg/mail"
)

func at(ms int64) time.Time { return time.UnixMilli(ms) }

var refused = mail.Result{Action: mail.Failed, Status: mail.Status{5, 1, 1}, Code: 550,
	MTA: "mx.example.com", Text: "no such\r\nuser 100%"}

var delayed = mail.Result{Status: mail.Status{4, 2, 0}, Text: "-"}

// The text form is on disks: a change here is a change of format.
var lines = []struct {
	fact fact.Fact
	text string
}{
	{fact.Routed{Rcpt: 1, Module: "SMTP", Queue: "example.com", Address: mail.Address{Local: "a b", Domain: "example.com"}},
		`routed 1 SMTP example.com "a%20b"@example.com`},
	{fact.Tried{Rcpt: 0, At: at(1700000000123), Attempts: 3, Until: at(1700000300123), Result: delayed},
		"tried 0 1700000000123 3 1700000300123 4.2.0 0 - %2D"},
	{fact.Suspended{Module: "LOCAL", Queue: "ann@example.com", At: at(1), Attempts: 1, Result: delayed},
		"suspended LOCAL ann@example.com 1 1 0 4.2.0 0 - %2D"},
	{fact.Begun{At: at(4)}, "begun 4"},
	{fact.Filtered{At: at(4)}, "Filtered 4 no"},
	{fact.Filtered{At: at(4), Skip: true, Edits: []fact.Edit{{At: 20, Text: "X-A: b c\n"}, {At: 21, Cut: 3}}},
		"Filtered 4 yes 20 0 X-A:%20b%20c%0A 21 3 -"},
	{fact.Settled{Rcpt: 2, At: at(5), Result: refused},
		"Settled 2 5 failed 5.1.1 550 mx.example.com no%20such%0D%0Auser%20100%25"},
	{fact.Settled{Rcpt: 2, At: at(5), Result: mail.Result{Action: mail.Relayed, Text: "relayed via mx", MTA: "mx", Reports: true}},
		"Settled 2 5 relayed 0.0.0 0 mx relayed%20via%20mx reports"},
	{fact.Rejected{Rcpt: 0, At: at(7), By: "root", Report: true, Text: "closed for good ✉", Act: 12},
		"Rejected 0 7 yes root closed%20for%20good%20✉ 12"},
	{fact.Freed{Rcpt: 4, At: at(8), By: "ann"}, "freed 4 8 ann"},
	{fact.Freed{Rcpt: 4, At: at(8), By: "ann", Until: at(9), Act: 3}, "freed 4 8 ann 9 3"},
	{fact.Undone{Rcpt: 4, At: at(8), By: "ann", Act: 3}, "Undone 4 8 ann 3"},
	{fact.Purged{Rcpt: 4, At: at(8), Act: 3}, "Purged 4 8 - 3"},
	{fact.Held{Rcpt: 4, Hold: 7}, "Held 4 7"},
	{fact.Rerouted{Rcpt: 4, At: at(8), By: "ann", Module: "SMTP", Queue: "[192.0.2.1]:26",
		Address: mail.Address{Local: "a b", Domain: "example.com"}, Act: 3}, `Rerouted 4 8 ann SMTP [192.0.2.1]:26 "a%20b"@example.com 3`},
	{fact.Reported{DSN: 4711, Rcpts: []int{0, 2}}, "Reported 4711 0,2"},
	{fact.Warned{DSN: 4711, Rcpts: []int{0, 2}, Age: 4 * time.Hour}, "warned 4711 0,2 14400000"},
	{fact.Gone{}, "Gone"},
	{fact.Unknown{Line: "weighed 1 2"}, "weighed 1 2"},
}

func TestTextForm(t *testing.T) {
	for _, tt := range lines {
		if got := string(fact.Append(nil, tt.fact)); got != tt.text {
			t.Errorf("Append(%#v) = %q, want %q", tt.fact, got, tt.text)
		}
		if got, err := fact.Parse(tt.text); err != nil || !reflect.DeepEqual(got, tt.fact) {
			t.Errorf("Parse(%q) = %#v, %v; want %#v", tt.text, got, err, tt.fact)
		}
	}
}

// Whatever a peer has said, its fact is one line without control characters, and
// comes back as it was, as far as it is kept.
func TestTextsOfStrangersStayInside(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, mta := rapid.String().Draw(t, "text"), rapid.String().Draw(t, "mta")
		f := fact.Settled{Rcpt: 3, At: at(9), Result: mail.Result{Action: mail.Failed, Text: text, MTA: mta}}
		line := string(fact.Append(nil, f))
		if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Fatalf("a control character in %q", line)
		}
		got, err := fact.Parse(line)
		if err != nil {
			t.Fatal(err)
		}
		r := got.(fact.Settled).Result
		if !strings.HasPrefix(text, r.Text) || len(text) <= fact.MaxText && r.Text != text || r.MTA != mta {
			t.Fatalf("%q from %q is %q from %q", text, mta, r.Text, r.MTA)
		}
	})
}

func TestDelayForm(t *testing.T) {
	d := fact.Delay{Module: "SMTP", Queue: "example.com", At: at(1), Attempts: 2, Until: at(3), Result: delayed}
	line := string(fact.AppendDelay(nil, d))
	if want := "delay SMTP example.com 1 2 3 4.2.0 0 - %2D"; line != want {
		t.Errorf("AppendDelay = %q, want %q", line, want)
	}
	if got, err := fact.ParseDelay(line); err != nil || got != d {
		t.Errorf("ParseDelay = %#v, %v", got, err)
	}
	if _, err := fact.ParseDelay("Gone"); err == nil {
		t.Error("Gone was taken for a delay")
	}
}

func TestWhatIsWrittenWronglyIsRefused(t *testing.T) {
	for _, line := range []string{"", "Gone x", "Settled", "Settled 1 2 delayed 4.0.0 0 - -", "Settled -1 2 failed 5.0.0 0 - x",
		"Reported 1 ", "Reported 1 a", "Rejected 0 1 maybe root x", "tried 0 1 1 1 4.x.0 0 - -", "freed 0 1 half%4", "freed 9999999 1 x",
		"Filtered 1", "Filtered 1 no 5", "Filtered 1 no 5 4 - 8 0 x", "Filtered 1 no -1 0 x", "begun",
		"Settled 2 5 failed 5.0.0 0 mx x reports", "Settled 2 5 relayed 2.0.0 0 mx x maybe"} {
		if f, err := fact.Parse(line); err == nil {
			t.Errorf("Parse(%q) = %#v, want an error", line, f)
		}
	}
}

func TestUnknownKinds(t *testing.T) {
	for line, must := range map[string]bool{"weighed 1": false, "Sealed 1": true, "9": true} {
		f, err := fact.Parse(line)
		if u, ok := f.(fact.Unknown); err != nil || !ok || u.Must() != must {
			t.Errorf("Parse(%q) = %#v, %v; want Unknown, must %v", line, f, err, must)
		}
	}
}

// What Parse takes, Append writes back to a line that Parse takes for the same.
func FuzzParse(f *testing.F) {
	for _, tt := range lines {
		f.Add(tt.text)
	}
	f.Fuzz(func(t *testing.T, line string) {
		got, err := fact.Parse(line)
		if err != nil {
			return
		}
		again, err := fact.Parse(string(fact.Append(nil, got)))
		if err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("Parse(%q) = %#v, and again %#v, %v", line, got, again, err)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	f := fact.Fact(fact.Settled{Rcpt: 0, At: at(1700000000000), Result: mail.Result{Action: mail.Relayed, Text: "relayed via mx.example.com"}})
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = fact.Append(buf[:0], f)
	}
}
