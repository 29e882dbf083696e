package header_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"cgq/pkg/header"
)

// forms is a text with LF and with CRLF line ends.
func forms(text string) []string { return []string{text, strings.ReplaceAll(text, "\n", "\r\n")} }

func TestHops(t *testing.T) {
	for _, tt := range []struct {
		name, msg string
		want      int
	}{
		{"empty", "", 0},
		{"none, one in the body", "Subject: x\n\nReceived: in the body\n", 0},
		{"two, any case", "Received: a\nRECEIVED : b\n\n", 2},
		{"folded counts once", "Received: a\n by b\n for c: d\n\n", 1},
		{"malformed lines skipped", "From mbox\nno colon\n: no name\nReceived: a\n\n", 1},
		{"a fold of a malformed line", "no colon\n Received: a\nReceived: b\n\n", 1},
		{"a fold at the top", " Received: a\nReceived: b\n\n", 1},
		{"8-bit name", "Re\xc3\xa7eived: a\n\n", 0},
		{"no blank line", "Received: a", 1},
		{"no body", "Received: a\n", 1},
		{"blank line at once", "\nReceived: a\n", 0},
		{"a longer name", "Received-SPF: pass\n\n", 0},
		{"a line of spaces is a fold", "Received: a\n \nReceived: b\n\n", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, msg := range forms(tt.msg) {
				if got := header.Hops([]byte(msg)); got != tt.want {
					t.Errorf("Hops(%q) = %d, want %d", msg, got, tt.want)
				}
			}
		})
	}
}

func TestFieldsAreInPlace(t *testing.T) {
	for _, msg := range forms("From mbox\nSubject: a\n\tb\nX : \n\nbody: no\n") {
		var got []string
		for f := range header.Fields([]byte(msg)) {
			got = append(got, fmt.Sprintf("%s|%s|%q", f.Name, f.Value, msg[f.Start:f.End]))
			if !strings.HasPrefix(msg[f.Start:], string(f.Name)) {
				t.Errorf("field %s does not start at %d of %q", f.Name, f.Start, msg)
			}
		}
		want := forms("Subject| a\n\tb|\"Subject: a\n\tb\n\"\nX| |\"X : \n\"")[0]
		joined := strings.NewReplacer(`\r`, "", `\n`, "\n", `\t`, "\t", "\r", "").Replace(strings.Join(got, "\n"))
		if joined != want {
			t.Errorf("Fields(%q) = %q, want %q", msg, joined, want)
		}
	}
}

func TestFieldsEndWhenAsked(t *testing.T) {
	n := 0
	for range header.Fields([]byte("A: 1\nB: 2\n\n")) {
		n++
		break
	}
	if n != 1 {
		t.Errorf("%d fields after break, want 1", n)
	}
}

func TestGet(t *testing.T) {
	for _, tt := range []struct {
		name, msg, want string
		ok              bool
	}{
		{"there", "Subject: hello\n\n", "hello", true},
		{"any case", "SUBJECT:hello\n\n", "hello", true},
		{"the first", "Subject: a\nSubject: b\n\n", "a", true},
		{"unfolded", "Subject: a\n b\n\tc\n\n", "a b\tc", true},
		{"folded at the start", "Subject:\n a\n\n", "a", true},
		{"empty", "Subject:\n\n", "", true},
		{"missing", "From: a\n\nSubject: body\n", "", false},
		{"no line end", "Subject: a", "a", true},
		{"8-bit value", "Subject: caf\xe9\n\n", "caf\xe9", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, msg := range forms(tt.msg) {
				if got, ok := header.Get([]byte(msg), "Subject"); got != tt.want || ok != tt.ok {
					t.Errorf("Get(%q, Subject) = %q, %v, want %q, %v", msg, got, ok, tt.want, tt.ok)
				}
			}
		})
	}
}

func TestLen(t *testing.T) {
	for _, tt := range []struct {
		msg  string
		body string
	}{
		{"", ""},
		{"A: b\n", ""},
		{"A: b\n\nbody\n", "body\n"},
		{"A: b\r\n\r\nbody", "body"},
		{"\nbody", "body"},
		{"A: b\r\n\nbody", "body"},
		{"A: b\n\r\rbody", ""},
	} {
		if got := tt.msg[header.Len([]byte(tt.msg)):]; got != tt.body {
			t.Errorf("body of %q = %q, want %q", tt.msg, got, tt.body)
		}
	}
}

func TestDecode(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"plain", "hello", "hello"},
		{"UTF-8, B", "=?UTF-8?B?0J/RgNC40LLQtdGC?= ok", "Привет ok"},
		{"ISO-8859-1, Q", "=?iso-8859-1?q?caf=E9?=", "café"},
		{"two words join", "=?utf-8?q?a?= =?utf-8?q?b?=", "ab"},
		{"unknown charset stays", "=?koi8-r?B?8NLJ18XU?=", "=?koi8-r?B?8NLJ18XU?="},
		{"not encoded after all", "=?what", "=?what"},
		{"not UTF-8", "caf\xe9", "caf\uFFFD"},
		{"control characters stay", "=?utf-8?q?a=0Ab?=", "a\nb"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := header.Decode(tt.text); got != tt.want {
				t.Errorf("Decode(%q) = %q, want %q", tt.text, got, tt.want)
			}
		})
	}
}

// long is a header as a mailing list leaves it.
var long = []byte(strings.Repeat("Received: from a (b [192.0.2.1])\r\n by c with ESMTP id 4711\r\n"+
	" for <d@e>; Mon, 2 Jan 2006\r\n", 12) + "Subject: x\r\n\r\nbody\r\n")

func TestHopsAllocatesNothing(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { header.Hops(long) }); n != 0 {
		t.Errorf("Hops allocates %v times, want 0", n)
	}
}

func BenchmarkHops(b *testing.B) {
	b.SetBytes(int64(len(long)))
	for b.Loop() {
		header.Hops(long)
	}
}

func FuzzFields(f *testing.F) {
	for _, s := range []string{
		"Received: a\r\n\r\n", "From x\n A: b\n", "A:\n\n", "\r\n", "A : b\r\n\tc", "\n:", "\x00: \xff\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		was := bytes.Clone(msg)
		at, body := 0, header.Len(msg)
		for f := range header.Fields(msg) {
			if f.Start < at || f.End <= f.Start || f.End > body {
				t.Fatalf("field %d:%d after %d, body at %d", f.Start, f.End, at, body)
			}
			at = f.End
			if !bytes.HasPrefix(msg[f.Start:], f.Name) || len(f.Name) == 0 || !bytes.Contains(msg[f.Start:f.End], f.Value) {
				t.Fatalf("field %q of %q", f.Name, msg[f.Start:f.End])
			}
			if strings.Contains(f.Text(), "\n") {
				t.Fatalf("Text = %q", f.Text())
			}
			if _, ok := header.Get(msg, string(f.Name)); !ok {
				t.Fatalf("Get does not find %q", f.Name)
			}
		}
		if header.Hops(msg) > bytes.Count(bytes.ToLower(msg[:body]), []byte("received")) {
			t.Fatal("more hops than there can be")
		}
		if !bytes.Equal(was, msg) {
			t.Fatal("the text has changed")
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add("=?utf-8?q?a=0A?=")
	f.Add("=?iso-8859-1?b?6Q==?=")
	f.Fuzz(func(t *testing.T, s string) {
		if got := header.Decode(s); !utf8.ValidString(got) {
			t.Errorf("Decode(%q) = %q, not UTF-8", s, got)
		}
	})
}
