package submission_test

import (
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"cgq/pkg/header"
	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/submission"
)

var options = submission.Options{Domain: "here.example", From: mail.Address{Local: "ann", Domain: "here.example"},
	FullName: "Ann Example", Now: time.Date(2026, 11, 23, 22, 15, 1, 0, time.UTC), Recipients: true}

// read returns the text, with the Message-ID that was made, and the recipients.
func read(t *testing.T, in io.Reader, o submission.Options) (text, to string, err error) {
	t.Helper()
	m, err := submission.Read(in, o)
	if err != nil {
		return "", "", err
	}
	b, err := io.ReadAll(m)
	for _, a := range m.Recipients {
		to += a.String() + " "
	}
	return madeID.ReplaceAllString(string(b), "Message-ID: <made>"), strings.TrimSpace(to), err
}

var madeID = regexp.MustCompile(`Message-ID: <20261123221501\.[A-Z2-7]+@here\.example>`)

const (
	date = "Date: Mon, 23 Nov 2026 22:15:01 +0000\n"
	made = "From: Ann Example <ann@here.example>\n" + date + "Message-ID: <made>\n"
	all  = "From: x@x.example\nDate: now\nMessage-ID: <1@x.example>\n"
)

func TestRead(t *testing.T) {
	for _, tt := range []struct{ name, in, want, to string }{
		{"whole", all + "To: bob\n\ntext\n", all + "To: bob\n\ntext\n", "bob@here.example"},
		{"nothing", "", made + "\n", ""},
		{"only a header", "To: bob", "To: bob\n" + made + "\n", "bob@here.example"},
		{"only a body", "hello there\nTo: bob\n", made + "\nhello there\nTo: bob\n", ""},
		{"a blank line first", "\nTo: bob\n", made + "\nTo: bob\n", ""},
		{"a body that begins at once", "To: bob\nhello there\n", "To: bob\n" + made + "\nhello there\n", "bob@here.example"},
		{"a fold first", " To: bob\n", made + "\n To: bob\n", ""},
		{"CRLF", all + "To: bob,\r\n carol\r\n\r\na\r\n\r\nb\rc\r\r\nd\r", all + "To: bob,\n carol\n\na\n\nb\rc\nd\n",
			"bob@here.example carol@here.example"},
		{"of a mailbox", "From ann Mon Nov 23\nTo: bob\n\ntext", "To: bob\n" + made + "\ntext\n", "bob@here.example"},
		{"all kinds", all + "To: a@a.example\nCC: B <b@b.example>\nBcc: c@c.example,\n\td@d.example\nSubject: s\n\nx\n",
			all + "To: a@a.example\nCC: B <b@b.example>\nSubject: s\n\nx\n", "a@a.example b@b.example c@c.example d@d.example"},
		{"blind ones only", all + "BCC : c@c.example\n\nx\n", all + "\nx\n", "c@c.example"},
		{"resent", all + "To: a@a.example\nBcc: b@b.example\nResent-To: c@c.example\nResent-Bcc: d@d.example\n\nx\n",
			all + "To: a@a.example\nResent-To: c@c.example\n\nx\n", "c@c.example d@d.example"},
		{"twice", all + "To: a@A.example, a@a.example\nCc: a@a.example\n\n", all + "To: a@A.example, a@a.example\nCc: a@a.example\n\n", "a@A.example"},
		{"nobody", all + "To: undisclosed-recipients:;\n\n", all + "To: undisclosed-recipients:;\n\n", ""},
		{"the Router's own", all + "To: null\n\n", all + "To: null\n\n", "null"},
		{"fields of others", "Return-Path: <x@x.example>\nContent-Length: 5\n" + all + "\n", all + "\n", ""},
		{"a long line", all + "Subject: " + strings.Repeat("x", 100_000) + "\n\n" + strings.Repeat("y", 100_000) + "\n.\n",
			all + "Subject: " + strings.Repeat("x", 100_000) + "\n\n" + strings.Repeat("y", 100_000) + "\n.\n", ""},
		{"NUL in the body", all + "\na\x00b\n", all + "\na\x00b\n", ""},
	} {
		for _, in := range []io.Reader{strings.NewReader(tt.in), iotest.OneByteReader(strings.NewReader(tt.in)),
			iotest.DataErrReader(strings.NewReader(tt.in))} {
			text, to, err := read(t, in, options)
			if err != nil || text != tt.want || to != tt.to {
				t.Errorf("%s: got %.300q to %q, %v; want %.300q to %q", tt.name, text, to, err, tt.want, tt.to)
			}
		}
	}
	o := options
	o.Recipients = false
	if text, to, err := read(t, strings.NewReader(all+"To: no address at all\nBcc: x\n\n"), o); text != all+"To: no address at all\n\n" || to != "" || err != nil {
		t.Errorf("without -t: %q to %q, %v", text, to, err)
	}
}

func TestFullName(t *testing.T) {
	for name, want := range map[string]string{
		"":               "ann@here.example",
		"Ann":            "Ann <ann@here.example>",
		"Ann, (the) \"1": `"Ann, (the) \"1" <ann@here.example>`,
		"Änn":            "=?utf-8?q?=C3=84nn?= <ann@here.example>",
		"A\nBcc: b@c":    `"A Bcc: b@c" <ann@here.example>`,
	} {
		o := options
		o.FullName = name
		text, _, err := read(t, strings.NewReader("\n"), o)
		if got, _ := header.Get([]byte(text), "From"); err != nil || got != want || len(text) != len("From: ")+len(want)+len("\n"+date+"Message-ID: <made>\n\n") {
			t.Errorf("%q: %q, %v; want From: %s", name, text, err, want)
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	for name, in := range map[string]string{
		"NUL":             "Subject: a\x00b\n\n",
		"no address":      "To: ann at home\n\n",
		"no domain":       "To: ann@\n\n",
		"a bare CR":       "To: a@b.example\rx\n\n",
		"half an address": "To: <ann@here.example, bob@here.example\n\n",
		"a long header":   strings.Repeat("Subject: x\n", 100_000),
		"a long field":    "Subject: " + strings.Repeat("x", 2<<20),
	} {
		_, _, err := read(t, strings.NewReader(in), options)
		var r *module.Rejection
		if !errors.As(err, &r) || r.Result.Action != mail.Failed {
			t.Errorf("%s: %v, want a rejection", name, err)
		}
	}
	broken := errors.New("the pipe is broken")
	for _, in := range []string{"", "To: bob", "To: bob\n\nte"} {
		if _, _, err := read(t, io.MultiReader(strings.NewReader(in), iotest.ErrReader(broken)), options); !errors.Is(err, broken) {
			t.Errorf("behind %q: %v, want %v", in, err, broken)
		}
	}
}

// Whatever comes in, what goes out is a header, a blank line and the same body.
func FuzzRead(f *testing.F) {
	for _, s := range []string{"", "\n", "To: a\nBcc: b\n c\n\ntext", "From x\nTo: <a>,b (c)\r\n\r\n.\r", "Bcc", "a\r\n", " x\n", "To:\n\n\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text, _, err := read(t, strings.NewReader(s), options)
		slow, _, again := read(t, iotest.OneByteReader(strings.NewReader(s)), options)
		if (err == nil) != (again == nil) || text != slow {
			t.Fatalf("%q, %v; byte by byte %q, %v", text, err, slow, again)
		}
		if err != nil {
			return
		}
		head := text[:header.Len([]byte(text))]
		if !strings.HasSuffix(text, "\n") || !strings.HasSuffix(head, "\n\n") || strings.Contains(text, "\r\n") || strings.Contains(head, "\x00") {
			t.Fatalf("%q becomes %q", s, text)
		}
		for f := range header.Fields([]byte(head)) {
			if f.Is("Bcc") || f.Is("Resent-Bcc") || f.Is("Return-Path") {
				t.Fatalf("%q keeps %q", s, f.Name)
			}
		}
		for _, name := range []string{"From", "Date", "Message-ID"} {
			if _, ok := header.Get([]byte(head), name); !ok {
				t.Fatalf("%q has no %s: %q", s, name, head)
			}
		}
	})
}
