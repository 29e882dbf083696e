package rules

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cgq/pkg/header"
	"cgq/pkg/mail"
)

// eml returns the message in a file of testdata, as it comes from outside.
func eml(t testing.TB, name string) *Message {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".eml"))
	if err != nil {
		t.Fatal(err)
	}
	return &Message{
		Header: text[:header.Len(text)], Size: int64(len(text)), Now: time.Date(2026, 11, 25, 23, 30, 0, 0, time.UTC), // a Wednesday
		Routes: []string{"LOCAL(bob@example.com)bob@example.com", "SMTP(example.net)dan@example.net"},
		Envelope: &mail.Envelope{
			ReturnPath: mail.Address{Local: "Ann.Smith", Domain: "Example.ORG"}, Source: mail.SMTP, Peer: netip.MustParseAddr("192.0.2.7"),
			Recipients: []mail.Recipient{{Address: mail.Address{Local: "bob", Domain: "example.com"}},
				{Address: mail.Address{Local: "dan", Domain: "example.net"}}},
		},
	}
}

// one is a file of one Rule.
func oneRule(conditions [][]string, actions ...[]string) *File {
	if len(actions) == 0 {
		actions = [][]string{{"Discard"}}
	}
	return &File{Rules: []Rule{{Name: "r", Priority: 5, Conditions: conditions, Actions: actions}},
		Lists: map[string][]string{"Friends": {"carl@example.com", "*@example.org"}, "nobody": {}}}
}

func compile(t testing.TB, f *File) *Set {
	t.Helper()
	s, err := Compile(f)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConditions(t *testing.T) {
	for _, tt := range []struct {
		message   string
		condition []string
		want      bool
	}{
		{"plain", []string{"From", "is", "ann.smith@example.org"}, true},
		{"plain", []string{"From", "is", "*@example.*"}, true},
		{"plain", []string{"From", "is not", "*@example.*"}, false},
		{"plain", []string{"From", "in", "x@y, *@example.org"}, true},
		{"plain", []string{"From", "in", "#friends"}, true},
		{"plain", []string{"From", "not in", "#Friends"}, false},
		{"plain", []string{"From", "not in", "#nobody"}, true},
		{"plain", []string{"from", "IS", "*SMITH@*"}, true},
		{"plain", []string{"Sender", "is", "desk@example.org"}, true},
		{"list", []string{"Sender", "is", "*"}, false},
		{"list", []string{"Sender", "is not", "*"}, true},
		{"list", []string{"Sender", "in", "*"}, false},
		{"list", []string{"Sender", "not in", "*"}, true},
		{"plain", []string{"Return-Path", "is", "ann.smith@*"}, true},
		{"plain", []string{"Return-Path", "is", "<>"}, false},
		{"plain", []string{"Return-Path", "is", ""}, false},
		{"plain", []string{"Reply-To", "is", "ann@home.example"}, true},
		{"plain", []string{"To", "is", "eve@example.com"}, true},
		{"plain", []string{"To", "is not", "eve@example.com"}, false},
		{"plain", []string{"Cc", "in", "carl@example.com"}, true},
		{"plain", []string{"Cc", "is", "dan@example.net"}, true},
		{"plain", []string{"'From' Name", "is", "smith, ann"}, true},
		{"list", []string{"'From' Name", "is", "Ann"}, true},
		{"signed", []string{"'From' Name", "is not", "x"}, true},
		{"plain", []string{"Any To or Cc", "is", "dan@*"}, true},
		{"plain", []string{"Any To or Cc", "is not", "dan@*"}, true},
		{"plain", []string{"Each To or Cc", "is", "*@example.com"}, false},
		{"plain", []string{"Each To or Cc", "in", "*@example.com,*@example.net"}, true},
		{"plain", []string{"Each To or Cc", "is not", "*@example.com"}, false},
		{"plain", []string{"Each To or Cc", "not in", "*@example.biz"}, true},
		{"broken", []string{"Each To or Cc", "is", "*"}, false},
		{"broken", []string{"Each To or Cc", "is not", "*"}, true},
		{"plain", []string{"Subject", "is", "invoice 4711 for november"}, true},
		{"utf8", []string{"Subject", "is", "ПРИВЕТ, МИР"}, true},
		{"koi8", []string{"Subject", "is", "привет"}, true},
		{"koi8", []string{"'From' Name", "is", "иван"}, true},
		{"jis", []string{"Subject", "is", "三〇*REPORT"}, true},
		{"jis", []string{"Subject", "is", "三*report"}, true},
		{"utf8", []string{"'From' Name", "is", "jörg müller"}, true},
		{"mixed", []string{"Subject", "is", "*win*"}, true},
		{"eight", []string{"Subject", "is", "gr*und*"}, true},
		{"eight", []string{"From", "is", "joerg@example.org"}, true},
		{"broken", []string{"Subject", "is", ""}, true},
		{"broken", []string{"From", "is", "ann@example.org*"}, true},
		{"broken", []string{"Header Field", "is", "X-Last: kept"}, true},
		{"plain", []string{"Message-ID", "is", "<17.a@*>"}, true},
		{"plain", []string{"Message Size", "greater than", "100"}, true},
		{"plain", []string{"Message Size", "less than", "1K"}, true},
		{"plain", []string{"Message Size", "greater than", "1M"}, false},
		{"plain", []string{"Header Field", "is", "x-spam: yes*"}, true},
		{"plain", []string{"Header Field", "is", "X-Spam:yes*9.1"}, true},
		{"plain", []string{"Header Field", "is not", "X-Spam:*"}, false},
		{"plain", []string{"Header Field", "is not", "Dkim-Signature:*"}, true},
		{"plain", []string{"Header Field", "in", "X-A: *, X-Spam: *"}, true},
		{"plain", []string{"Header Field", "is", "Received:*mail.example.com with*"}, true},
		{"plain", []string{"Header Field", "is", "*4711*"}, true},
		{"plain", []string{"Any Recipient", "is", "dan@example.net"}, true},
		{"plain", []string{"Any Recipient", "is not", "dan@example.net"}, true},
		{"plain", []string{"Each Recipient", "is", "dan@example.net"}, false},
		{"plain", []string{"Each Recipient", "is not", "eve@*"}, true},
		{"plain", []string{"Any Route", "is", "SMTP*"}, true},
		{"plain", []string{"Each Route", "is", "SMTP*"}, false},
		{"plain", []string{"Each Route", "in", "SMTP(*,LOCAL(*"}, true},
		{"plain", []string{"Source", "in", "trusted,authenticated"}, false},
		{"plain", []string{"Source", "not in", "trusted,authenticated"}, true},
		{"plain", []string{"Submit Address", "is", "SMTP [192.0.2.*]"}, true},
		{"signed", []string{"Security", "is", "signed"}, true},
		{"smime", []string{"Security", "in", "encrypted"}, true},
		{"plain", []string{"Security", "is not", "encrypted"}, true},
		{"plain", []string{"Human Generated"}, true},
		{"list", []string{"Human Generated", "---"}, false},
		{"dsn", []string{"Human Generated", "---", ""}, false},
		{"autoreply", []string{"Human Generated"}, false},
		{"plain", []string{"Time Of Day", "in", "22:00-06:00"}, true},
		{"plain", []string{"Time Of Day", "in", "08:00-17:00, 23:30-24:00"}, true},
		{"plain", []string{"Time Of Day", "in", "23:00-23:30"}, false},
		{"plain", []string{"Time Of Day", "not in", "00:00-06:00"}, true},
		{"plain", []string{"Current Day", "in", "Mon,Wednesday"}, true},
		{"plain", []string{"Current Day", "is not", "wed"}, false},
		{"plain", []string{"Current Date", "greater than", "25 Nov 2026"}, true},
		{"plain", []string{"Current Date", "greater than", "25 Nov 2026 23:30:00"}, false},
		{"plain", []string{"Current Date", "less than", "1 Dec 2026 00:00:00"}, true},
	} {
		m := eml(t, tt.message)
		s := compile(t, oneRule([][]string{tt.condition}))
		if got := len(slices.Collect(s.Run(m))) == 1; got != tt.want {
			t.Errorf("%s: %q = %v, want %v", tt.message, tt.condition, got, tt.want)
		}
		if d := s.Explain(m); (d[0].State == Met) != tt.want || d[0].Conditions[0].Holds != tt.want {
			t.Errorf("%s: Explain %q = %+v, want %v", tt.message, tt.condition, d, tt.want)
		}
	}
}

func TestSource(t *testing.T) {
	for _, tt := range []struct {
		change              func(m *Message)
		trusted, authorized bool
	}{
		{func(*Message) {}, false, false},
		{func(m *Message) { m.Client = true }, true, false},
		{func(m *Message) { m.Envelope.Auth = "ann@example.com" }, false, true},
		{func(m *Message) { m.Envelope.Source = mail.PIPE }, true, false},
		{func(m *Message) { m.Envelope.Source = 0 }, false, false},
	} {
		m := eml(t, "plain")
		tt.change(m)
		for word, want := range map[string]bool{trusted: tt.trusted, authenticated: tt.authorized} {
			s := compile(t, oneRule([][]string{{"Source", "is", word}}))
			if got := len(slices.Collect(s.Run(m))) == 1; got != want {
				t.Errorf("%+v: %s = %v, want %v", m.Envelope, word, got, want)
			}
		}
	}
}

func TestANullReturnPathIsNotHuman(t *testing.T) {
	m := eml(t, "plain")
	m.Envelope.ReturnPath = mail.Address{}
	s := compile(t, oneRule([][]string{{"Return-Path", "is", "<>"}}))
	if len(slices.Collect(s.Run(m))) != 1 {
		t.Error("the null return path is not <>")
	}
	s = compile(t, oneRule([][]string{{"Human Generated"}}))
	if len(slices.Collect(s.Run(m))) != 0 {
		t.Error("a person has written it")
	}
}

func run(s *Set, m *Message) (all []string) {
	for a := range s.Run(m) {
		all = append(all, a.Rule+": "+a.String())
		m.Header = a.Edit(m.Header)
	}
	return all
}

func TestOrder(t *testing.T) {
	log := func(text string) [][]string { return [][]string{{"Write To Log", text}} }
	s := compile(t, &File{Rules: []Rule{
		{Name: "low", Priority: 1, Actions: log("1")},
		{Name: "off", Priority: Inactive, Actions: log("0")},
		{Name: "first of two", Priority: 5, Actions: log("a")},
		{Name: "second of two", Priority: 5, Actions: log("b")},
		{Name: "high", Priority: 9, Actions: log("9")},
	}})
	want := []string{"high: Write To Log 9", "first of two: Write To Log a", "second of two: Write To Log b", "low: Write To Log 1"}
	if got := run(s, eml(t, "plain")); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if r := s.Rules(); r[4].Name != "off" {
		t.Errorf("the last is %q, want off", r[4].Name)
	}
}

func TestWhatEndsTheRules(t *testing.T) {
	for _, end := range [][]string{{"Stop Processing"}, {"Discard"}, {"Reject with", "no"}, {"Reject with"}} {
		s := compile(t, &File{Rules: []Rule{
			{Name: "a", Priority: 2, Actions: [][]string{{"Write To Log", "x"}, end, {"Write To Log", "y"}}},
			{Name: "b", Priority: 1, Actions: [][]string{{"Write To Log", "z"}}},
		}})
		got := run(s, eml(t, "plain"))
		if len(got) != 2 || got[0] != "a: Write To Log x" {
			t.Errorf("%q: got %q, want two actions", end, got)
		}
		d := s.Explain(eml(t, "plain"))
		if len(d[0].Actions) != 2 || d[1].State != NotReached {
			t.Errorf("%q: Explain = %+v", end, d)
		}
	}
}

func TestLaterConditionsSeeWhatActionsChange(t *testing.T) {
	s := compile(t, &File{Rules: []Rule{
		{Name: "mark", Priority: 9, Actions: [][]string{{"Add Header", "X-Mark: one\nX-Two: 2"}, {"Tag Subject", "[in]"}}},
		{Name: "see", Priority: 8, Conditions: [][]string{{"Header Field", "is", "X-Mark: one"}, {"Subject", "is", "[in] Invoice*"}},
			Actions: [][]string{{"Write To Log", "seen"}}},
		{Name: "not", Priority: 7, Conditions: [][]string{{"Header Field", "is not", "X-Two:*"}}, Actions: [][]string{{"Discard"}}},
	}})
	m := eml(t, "plain")
	old := bytes.Clone(m.Header)
	want := []string{"mark: Add Header X-Mark: one\nX-Two: 2", "mark: Tag Subject [in]", "see: Write To Log seen"}
	d := s.Explain(m)
	if d[1].State != Met || d[2].State != NotMet || !bytes.Equal(m.Header, old) {
		t.Errorf("Explain = %+v", d)
	}
	if got := run(s, m); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for range s.Run(m) {
		break // the caller may
	}
}

func TestEdit(t *testing.T) {
	for _, tt := range []struct{ name, head, action, param, want string }{
		{"at the end", "A: b\n\n", "Add Header", "X: y", "A: b\nX: y\n\n"},
		{"no blank line", "A: b", "Add Header", "X: y", "A: b\nX: y\n"},
		{"empty", "", "Add Header", "X: y", "X: y\n"},
		{"only a blank line", "\n", "Add Header", "X: y", "X: y\n\n"},
		{"a text behind", "A: b\n\nbody\n", "Add Header", "X: y", "A: b\nX: y\n\nbody\n"},
		{"encoded", "A: b\n\n", "Add Header", "X: ü", "A: b\nX: =?utf-8?q?=C3=BC?=\n\n"},
		{"folded", "A: b\n\n", "Add Header", "X: y\n z", "A: b\nX: y\n z\n\n"},
		{"tag", "Subject: a\n\n", "Tag Subject", "[x]", "Subject: [x] a\n\n"},
		{"tag a folded one", "SUBJECT:\n a\n b\nB: c\n\n", "Tag Subject", "[x]", "Subject: [x]\n a\n b\nB: c\n\n"},
		{"tag an empty one", "Subject:\n\n", "Tag Subject", "[x]", "Subject: [x]\n\n"},
		{"tag none", "A: b\n\n", "Tag Subject", "[x]", "A: b\nSubject: [x]\n\n"},
		{"tag twice", "Subject: [x] a\n\n", "Tag Subject", "[X]", "Subject: [x] a\n\n"},
		{"two encoded words", "Subject: =?utf-8?q?=C3=BC?=\n\n", "Tag Subject", "ä", "Subject: =?utf-8?q?=C3=A4_?= =?utf-8?q?=C3=BC?=\n\n"},
		{"tag at the end", "Subject: a", "Tag Subject", "[x]", "Subject: [x] a"},
	} {
		s := compile(t, oneRule(nil, []string{tt.action, tt.param}))
		for a := range s.Run(&Message{Header: []byte(tt.head), Envelope: &mail.Envelope{}}) {
			if got := string(a.Edit([]byte(tt.head))); got != tt.want {
				t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
			}
		}
	}
}

func TestExplainShowsWhatWasSeen(t *testing.T) {
	for _, tt := range []struct {
		message   string
		condition []string
		want      string
	}{
		{"plain", []string{"From", "is", "x"}, "Ann.Smith@Example.ORG"},
		{"plain", []string{"'From' Name", "is", "x"}, "Smith, Ann"},
		{"plain", []string{"Each To or Cc", "is", "x"}, "bob@example.com, eve@example.com, carl@example.com, dan@example.net"},
		{"utf8", []string{"Subject", "is", "x"}, "Привет, мир"},
		{"plain", []string{"Header Field", "is", "x-spam: no"}, "X-Spam: YES, score=9.1"},
		{"plain", []string{"Header Field", "is", "x-none: no"}, ""},
		{"plain", []string{"Any Route", "is", "x"}, "LOCAL(bob@example.com)bob@example.com, SMTP(example.net)dan@example.net"},
		{"list", []string{"Human Generated"}, "it has List-Id"},
		{"plain", []string{"Human Generated"}, ""},
		{"plain", []string{"Current Day", "is", "Mon"}, "Wed"},
		{"plain", []string{"Time Of Day", "in", "01:00-02:00"}, "23:30"},
	} {
		d := compile(t, oneRule([][]string{tt.condition})).Explain(eml(t, tt.message))
		if got := d[0].Conditions[0].Value; got != tt.want {
			t.Errorf("%s %q: value %q, want %q", tt.message, tt.condition, got, tt.want)
		}
	}
}

func TestEmptyAndFilters(t *testing.T) {
	var none *Set
	example := Example()
	if !none.Empty() || !compile(t, &File{}).Empty() || !compile(t, &example).Empty() || compile(t, oneRule(nil)).Empty() {
		t.Error("Empty is wrong")
	}
	s := compile(t, &File{Rules: []Rule{
		{Name: "a", Priority: 1, Actions: [][]string{{"ExternalFilter", "spam"}, {"ExternalFilter", "virus"}}},
		{Name: "b", Priority: 9, Actions: [][]string{{"ExternalFilter", "virus"}}},
		{Name: "c", Priority: 0, Actions: [][]string{{"ExternalFilter", "off"}}},
	}})
	if got := s.Filters(); !slices.Equal(got, []string{"virus", "spam"}) || none.Filters() != nil {
		t.Errorf("Filters = %q", got)
	}
}

func TestManyRun(t *testing.T) {
	s := compile(t, hundred())
	for range 4 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			m := eml(t, "plain")
			for range 200 {
				if got := len(slices.Collect(s.Run(m))); got != 1 {
					t.Fatalf("%d actions, want 1", got)
				}
			}
		})
	}
}

// hundred are Rules as servers have them; one of them is met.
func hundred() *File {
	f := &File{Lists: map[string][]string{"bad": {"*@spam.example", "x@y.example"}}}
	for i := range 100 {
		n := string(rune('a'+i%26)) + strings.Repeat("x", i%7)
		conditions := [][][]string{
			{{"Header Field", "is", "X-Spam-" + n + ": yes*"}},
			{{"Subject", "is", "*" + n + " offer*win*"}},
			{{"From", "in", "*@" + n + ".example, #bad"}},
			{{"Any Recipient", "is", n + "@example.com"}, {"Source", "not in", "trusted"}},
			{{"Any Route", "is", "LIST(*"}, {"Message Size", "greater than", "10M"}},
		}[i%5]
		f.Rules = append(f.Rules, Rule{Name: n + string(rune('0'+i/10)) + string(rune('0'+i%10)), Priority: Priority(1 + i%9),
			Conditions: conditions, Actions: [][]string{{"Discard"}}})
	}
	f.Rules[50].Conditions, f.Rules[50].Actions = nil, [][]string{{"Write To Log", "met"}}
	return f
}

// BenchmarkRun100 is 100 Rules over a header of 4 KiB.
func BenchmarkRun100(b *testing.B) {
	s := compile(b, hundred())
	m := eml(b, "plain")
	for len(m.Header) < 4096 {
		m.Header = insert(m.Header, []byte("X-Trace-"+string(rune('A'+len(m.Header)%26))+": some value, as programs on the way leave it behind; n="+
			strings.Repeat("1", len(m.Header)%40)+"\n"))
	}
	b.SetBytes(int64(len(m.Header)))
	b.ReportAllocs()
	for b.Loop() {
		for a := range s.Run(m) {
			if a.Kind != WriteToLog {
				b.Fatal(a)
			}
		}
	}
}
