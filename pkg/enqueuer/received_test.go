package enqueuer_test

import (
	"bytes"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/header"
	"cgq/pkg/mail"
)

var update = flag.Bool("update", false, "write the golden files")

// The Received field that a message gets, of every way in (RFC 5321 §4.4). The date at
// its end is the one of the envelope.
func TestReceived(t *testing.T) {
	smtp := func(peer string, to ...string) *mail.Envelope { return from(mail.SMTP, peer, to...) }
	for name, e := range map[string]*mail.Envelope{
		"smtp-v4":       smtp("192.0.2.1", "ann@here.example"),
		"smtp-v4-in-v6": smtp("::ffff:192.0.2.1", "ann@here.example"),
		"smtp-v6":       smtp("2001:db8::1", "ann@here.example"),
		"several":       smtp("192.0.2.1", "ann@here.example", "bob@here.example"),
		"odd-recipient": func() *mail.Envelope {
			e := smtp("127.0.0.1", `"a b;(c) <d>"@away.example`)
			e.Domain = "second.example"
			return e
		}(),
		"authenticated": func() *mail.Envelope {
			e := smtp("192.0.2.1", "x@away.example")
			e.Auth, e.Trace.With = "ann@here.example", "ESMTPSA"
			return e
		}(),
		"hostile-helo": func() *mail.Envelope {
			e := smtp("192.0.2.1", "ann@here.example")
			e.Auth = "a)\nX-Evil: yes"
			e.Trace = mail.Trace{Helo: "x)\r\nSubject: (forged\\\x00\x7f\u2028\u0085é\xff\t by", With: "SMTP"}
			return e
		}(),
		"long-helo": func() *mail.Envelope {
			e := smtp("192.0.2.1", "ann@here.example")
			e.Trace = mail.Trace{Helo: strings.Repeat("h", 254) + "é"}
			return e
		}(),
		"no-helo": func() *mail.Envelope {
			e := smtp("192.0.2.1", "ann@here.example")
			e.Trace = mail.Trace{}
			return e
		}(),
		"pipe": func() *mail.Envelope {
			e := from(mail.PIPE, "", "ann@here.example")
			e.Trace = mail.Trace{}
			return e
		}(),
		"dsn": func() *mail.Envelope {
			e := from(mail.DSN, "", "ann@here.example")
			e.ReturnPath, e.Trace = mail.Address{}, mail.Trace{}
			return e
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, crashdisk.New(-1))
			id, err := s.submit(t, e)
			if err != nil {
				t.Fatal(err)
			}
			field, rest, _ := bytes.Cut([]byte(s.text(t, id)), []byte("Subject: hello\n"))
			if string(rest) != "\ntext\n" {
				t.Errorf("behind the field and the Subject stands %q", rest)
			}
			date := regexp.MustCompile(`; (.*)\n$`).FindSubmatch(field)
			if date == nil {
				t.Fatalf("no date in %q", field)
			}
			if at, err := time.Parse(time.RFC1123Z, string(date[1])); err != nil || at.Unix() != e.Submitted.Unix() {
				t.Errorf("the date is %s, %v; submitted %v", date[1], err, e.Submitted)
			}
			got := bytes.Replace(field, date[1], []byte("DATE"), 1)
			file := filepath.Join("testdata", "TestReceived", name+".golden")
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil { //nolint:gosec // a file of the project
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s%v", got, want, err)
			}
		})
	}
}

// Whatever a stranger calls himself: the message has one field more, which is ASCII and
// in short lines.
func TestReceivedIsOneField(t *testing.T) {
	s := newSite(t, crashdisk.New(-1))
	rapid.Check(t, func(r *rapid.T) {
		e := from(mail.SMTP, "192.0.2.1", "ann@here.example")
		e.Peer = netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(r, "peer")))
		e.Trace.Helo = rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()),
			func(b []byte) string { return string(b) })).Draw(r, "helo")
		e.Auth = rapid.String().Draw(r, "auth")
		id, err := s.submit(t, e)
		if err != nil {
			r.Fatal(err)
		}
		text := []byte(s.text(t, id))
		n := 0
		for f := range header.Fields(text) {
			if n++; n == 1 && (!f.Is("Received") || f.Start != 0 || !bytes.HasPrefix(text[f.End:], []byte("Subject: hello\n"))) {
				r.Fatalf("the text begins %q", text)
			}
			for line := range bytes.Lines(text[f.Start:f.End]) {
				if len(line) > 998 {
					r.Fatalf("a line of %d bytes: %q", len(line), line)
				}
			}
			for _, c := range string(text[f.Start:f.End]) {
				if c >= utf8.RuneSelf || c < ' ' && c != '\n' {
					r.Fatalf("%q in %q", c, text[f.Start:f.End])
				}
			}
		}
		if n != 2 {
			r.Fatalf("%d fields in %q, want two", n, text)
		}
		if err := s.spool.Empty(); err != nil {
			r.Fatal(err)
		}
	})
}
