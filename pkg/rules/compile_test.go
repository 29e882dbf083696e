package rules

import (
	"strings"
	"testing"
	"time"

	"cgq/pkg/program"
)

func TestWhatIsWrongIsSaid(t *testing.T) {
	condition := func(c ...string) *File { return oneRule([][]string{c}) }
	action := func(a ...string) *File { return oneRule(nil, a) }
	for _, tt := range []struct {
		file *File
		want string
	}{
		{&File{Rules: []Rule{{Actions: [][]string{{"Discard"}}}}}, `rule[1].name: Rule "": a Rule needs a name`},
		{&File{Rules: []Rule{{Name: "a\nb", Actions: [][]string{{"Discard"}}}}}, `a name is one line`},
		{&File{Rules: []Rule{{Name: "a", Priority: 10, Actions: [][]string{{"Discard"}}}}}, `10 is no priority; there are 9`},
		{&File{Rules: []Rule{{Name: "a"}}}, `rule[1].actions: Rule "a": it has no action`},
		{&File{Rules: []Rule{{Name: "a", Actions: [][]string{{"Discard"}}}, {Name: "A", Actions: [][]string{{"Discard"}}}}}, `rule[2].name: Rule "A": Rule 1 has this name already`},
		{&File{Lists: map[string][]string{"a b": nil}}, `lists: "a b" is no name of a list`},
		{&File{Lists: map[string][]string{"a": nil, "A": nil}}, `two lists of this name`},
		{&File{Lists: map[string][]string{"a": {"x,y"}}}, `lists.a: "x,y" is no address`},
		{condition(), `condition 1: 0 words; write ["From"`},
		{condition("From", "is", "a", "b"), `4 words`},
		{condition("Subjct", "is", "a"), `there is no condition "Subjct"; did you mean "Subject"?`},
		{condition("Weather", "is", "a"), `there is no condition "Weather"; there are From, Sender`},
		{condition("From"), `"From" has no operator; write ["From", "is", "*@example.com"]`},
		{condition("From", "like", "a"), `"From" does not take "like"; it takes "is", "is not", "in", "not in", as in ["From", "is"`},
		{condition("Message Size", "is", "1"), `it takes "less than", "greater than"`},
		{condition("Human Generated", "is", "x"), `"Human Generated" stands alone`},
		{condition("Existing Mailbox", "is", "x"), `"Existing Mailbox" cannot be used here: it is of an Account`},
		{condition("Preference", "is", "x"), `"Preference" cannot be used here`},
		{condition("FreeBusy", "is", "x"), `"FreeBusy" cannot be used here`},
		{condition("From", "in", " , "), `the list is empty`},
		{condition("From", "in", "#Enemies"), `there is no list "#Enemies"`},
		{condition("From", "is", "a\x00"), `it has a control character`},
		{condition("From", "is", "a\xff"), `it is not UTF-8`},
		{condition("Header Field", "is", "X-Spam"), `"X-Spam" is no field`},
		{condition("Header Field", "is", ": x"), `": x" is no field`},
		{condition("Message Size", "less than", "big"), `"big" is no size; write 100000, 512K or 10M`},
		{condition("Message Size", "less than", "-1"), `is no size`},
		{condition("Message Size", "less than", "9999999999G"), `is no size`},
		{condition("Source", "is", "local"), `"local" is never so; there are trusted, authenticated`},
		{condition("Security", "in", "signed,sealed"), `"sealed" is never so; there are encrypted, signed`},
		{condition("Current Day", "in", "Mon,Tus"), `"Tus" is never so; there are Sun, Mon`},
		{condition("Time Of Day", "in", "25:00-26:00"), `"25:00-26:00" is no time of day`},
		{condition("Time Of Day", "in", "9-17"), `is no time of day`},
		{condition("Time Of Day", "in", ""), `is no time of day`},
		{condition("Time Of Day", "in", "10:00-10:00"), `is no time of day`},
		{condition("Current Date", "less than", "2026-12-24"), `"2026-12-24" is no date; write 24 Dec 2026 12:00:00`},
		{action(), `action 1: 0 words`},
		{action("Add Header", "a", "b"), `3 words`},
		{action("Discrad"), `there is no action "Discrad"; did you mean "Discard"?`},
		{action("Discard", "now"), `"Discard" stands alone`},
		{action("Add Header"), `"Add Header" needs a parameter; write ["Add Header", "X-Seen: yes"]`},
		{action("Mark", "Seen"), `"Mark" cannot be used here: it is of an Account`},
		{action("Store Encrypted in", "x"), `cannot be used here`},
		{action("Copy Attachments into", "x"), `cannot be used here`},
		{action("Remember 'From' in", "x"), `cannot be used here`},
		{action("Accept Request", "x"), `cannot be used here`},
		{action("Send IM", "x"), `cgqd has no such service`},
		{action("Add Header", "no colon"), `line 1: "no colon" has no colon`},
		{action("Add Header", ": x"), `has no name before the colon`},
		{action("Add Header", "X Y: x"), `"X Y" cannot be the name of a field`},
		{action("Add Header", "X: a\n\nbody"), `line 2 is empty, and an empty line ends a header`},
		{action("Add Header", "X: a\n \nbody"), `line 2 is empty`},
		{action("Add Header", "X: a\rB: c"), `line 1: it has a control character`},
		{action("Add Header", "X: a\x00"), `line 1: it has a control character`},
		{action("Tag Subject", "a\nBcc: x@y"), `it has a control character, and it goes into one line`},
		{action("Reject with", "a\nb"), `it goes into one line`},
		{action("Reject with", strings.Repeat("x", 401)), `400 bytes at most`},
		{action("Write To Log", "a\nb"), `it goes into one line`},
		{action("ExternalFilter", "a\x1b"), `it goes into one line`},
		{action("Redirect to", "ann@"), `no domain after @`},
		{action("Redirect to", "<>"), `the null return path is no recipient`},
		{action("Mirror to", " , "), `no address`},
		{action("Forward to", "a@b c@d"), `"Forward to": not an address`},
		{action("Store in", "INBOX"), `"INBOX" is not the full name of a mailbox; write ["Store in", "~archive@example.com/Incoming"]`},
		{action("Store in", "~a@b.example"), `is not the full name`},
		{action("Store in", "~a/b"), `"a" has no domain`},
		{action("Store in", "~a@b/c#d"), `neither # nor`},
		{action("Store in", "~a@b/../c"), `is no name of a mailbox`},
		{action("Store in", "~a@b/"+strings.Repeat("x", 64)), `more than 63 bytes together`},
		{action("Execute", "[FILE]"), `no program`},
		{action("Execute", "[LOUD] /bin/x"), `there is no flag [LOUD]; there are [FILE], [RETPATH], [RCPT] and [STDERR]`},
		{action("Execute", "[FILE /bin/x"), `has no closing bracket`},
		{action("Execute", `/bin/x "a`), `a double quote is not closed`},
		{action("Execute", `""`), `no program`},
		{action("Reply with", "[klingon]\nhi"), `[klingon] in the first line is no charset`},
		{action("Reply with", "a\x07"), `it has a control character`},
		{action("Reply with", "+To: a@b\n\nx"), `a reply goes to who wrote the message; use React with`},
		{action("Reply with", "+Message-ID: a\n\nx"), `the field Message-ID is written by cgqd`},
		{action("Reply with", "+Content-Type: image/png\n\nx"), `is no text`},
		{action("Reply with", "+Subject\n\nx"), `"Subject" has no colon`},
		{action("React with", "hello"), `its header has no To`},
		{action("React with", "+To: nobody at all\n\nx"), `"React with": To: not an address: "nobody at all"`},
		{action("Reply with", strings.Repeat("x", 65<<10)), `65536 are allowed`},
	} {
		_, err := Compile(tt.file)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %s", tt.file.Rules, err, tt.want)
		}
		if err2 := tt.file.Validate(); err != nil && (err2 == nil || err2.Error() != err.Error()) {
			t.Errorf("Validate = %v, Compile = %v", err2, err)
		}
	}
}

func TestAllProblemsAreSaidAtOnce(t *testing.T) {
	f := oneRule([][]string{{"Nonsense"}, {"From", "is", "x"}, {"From"}}, []string{"Nothing"})
	if err := f.Validate(); err == nil || strings.Count(err.Error(), "\n") != 2 ||
		!strings.Contains(err.Error(), "rule[1].conditions: Rule \"r\": condition 3: ") {
		t.Errorf("got %v, want three lines", err)
	}
}

func TestExecuteIsSplitWithoutAShell(t *testing.T) {
	for _, tt := range []struct {
		param string
		want  program.Line
	}{
		{"/bin/x", program.Line{Args: []string{"/bin/x"}}},
		{`[file] [RCPT][RETPATH] [STDERR] /bin/x "a b" c"d"e "" $HOME;ls \n`,
			program.Line{Args: []string{"/bin/x", "a b", "cde", "", "$HOME;ls", `\n`}, File: true, RetPath: true, Rcpt: true, Stderr: true}},
		{`x "a\"b\\c\d"`, program.Line{Args: []string{"x", `a"b\c\d`}}},
	} {
		s := compile(t, oneRule(nil, []string{"Execute", tt.param}))
		got := s.rules[0].actions[0].Command
		if strings.Join(got.Args, "|") != strings.Join(tt.want.Args, "|") || got.File != tt.want.File ||
			got.Rcpt != tt.want.Rcpt || got.RetPath != tt.want.RetPath || got.Stderr != tt.want.Stderr {
			t.Errorf("%s: got %+v, want %+v", tt.param, got, tt.want)
		}
	}
}

func TestStoreInNamesTheMailbox(t *testing.T) {
	a := compile(t, oneRule(nil, []string{"Store in", "~archive@example.com/In/2026"})).rules[0].actions[0]
	if a.Mailbox != "In/2026" || len(a.Addresses) != 1 || a.Addresses[0].String() != "In/2026#archive@example.com" {
		t.Errorf("%+v", a)
	}
}

func TestPictures(t *testing.T) {
	for _, tt := range []struct {
		picture, text string
		want          bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"*", "abc", true}, {"a*", "abc", true}, {"*c", "abc", true},
		{"a*c", "ac", true}, {"a*a", "a", false}, {"*b*", "abc", true}, {"*b*b*", "abc", false}, {"a**c", "abbc", true},
		{"*ab*ba*", "aba", false}, {"*ab*ba*", "abba", true}, {"a*b*c", "aXbXbc", true}, {"Ä*", "äx", true},
	} {
		p := newPicture(tt.picture)
		if got := p.match(fold(tt.text)); got != tt.want {
			t.Errorf("%q ~ %q = %v, want %v", tt.picture, tt.text, got, tt.want)
		}
	}
}

// A picture that makes matchers which try again slow.
func TestHostileTextTakesLinearTime(t *testing.T) {
	p := newPicture(strings.Repeat("*a", 500) + "*b")
	text := strings.Repeat("a", 1<<20)
	if p.match(text) {
		t.Error("there is no b")
	}
}

// Headers that are made to be slow to read.
func TestHostileHeadersTakeLinearTime(t *testing.T) {
	conditions := [][]string{{"From", "is not", "*a*b*c"}, {"Each To or Cc", "not in", "*a*b*,#Friends"}, {"Subject", "is not", "*a*a*a*b"},
		{"'From' Name", "is not", "x"}, {"Header Field", "is not", "*z*z*:*"}, {"Message-ID", "is not", "x*"}}
	s := compile(t, oneRule(conditions, []string{"React with", "+To: a@b.example\nX-All: ^S ^N ^F ^I\n\n^S"}))
	for _, part := range []string{"<", "(", "\"", "[", ",", ":", "\\", "=?a?q?", "=?utf-8?q?a?= ", "a@b,", "<a@b>", "(\"", "<\"[", "a\n "} {
		text := strings.Repeat(part, (1<<18)/len(part))
		m := eml(t, "plain")
		m.Header = []byte("From: " + text + "\nTo: " + text + "\nSubject: " + text + "\nReferences: " + text + "\nMessage-ID: " + text + "\n\n")
		began := time.Now()
		for a := range s.Run(m) {
			if _, err := a.Make(m, "example.com", "1"); err != nil {
				t.Errorf("%q: %v", part, err)
			}
		}
		s.Explain(m)
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%q took %v", part, took)
		}
	}
}

// reference is the textbook's matcher: row by row, whether the picture so far fits.
func reference(picture, text string) bool {
	fits := make([]bool, len(text)+1)
	fits[0] = true
	for i := range len(picture) {
		next := make([]bool, len(text)+1)
		if picture[i] == '*' {
			seen := false
			for j := range fits {
				seen = seen || fits[j]
				next[j] = seen
			}
		} else {
			for j := 1; j <= len(text); j++ {
				next[j] = fits[j-1] && text[j-1] == picture[i]
			}
		}
		fits = next
	}
	return fits[len(text)]
}

func FuzzPicture(f *testing.F) {
	f.Add("a*b*c", "abc")
	f.Add("**", "")
	f.Add("*ab*ba*", "aba")
	f.Fuzz(func(t *testing.T, picture, text string) {
		if len(picture) > 200 || len(text) > 2000 {
			return
		}
		p := newPicture(picture)
		if got, want := p.match(fold(text)), reference(fold(picture), fold(text)); got != want {
			t.Errorf("%q ~ %q = %v, want %v", picture, text, got, want)
		}
	})
}
