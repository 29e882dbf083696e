package dsn_test

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"cgq/pkg/dsn"
	"cgq/pkg/mail"
)

var update = flag.Bool("update", false, "write the golden files")

func address(s string) mail.Address {
	a, err := mail.ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}

var now = time.Date(2026, 11, 23, 12, 30, 0, 42, time.FixedZone("", 3600))

const original = `Received: from client.example by mail.example.org with ESMTP id 4711
From: ann@example.org
Subject: minutes of
 the meeting

Dear Bob,
.
and so on
`

// refused is a report about one recipient whom a host has refused.
func refused() *dsn.Report {
	return &dsn.Report{
		From: address("MAILER-DAEMON@example.org"), To: address("ann@example.org"), ReportingMTA: "mail.example.org",
		Now: now, ID: 4711, EnvelopeID: "QQ 314=+", Submitted: now.Add(-time.Hour), Subject: "minutes of the meeting",
		Original: strings.NewReader(original),
		Recipients: []dsn.Recipient{{
			To: address("bob@example.com"), Original: "rfc822;Bob@Example.COM", Module: "SMTP", Queue: "example.com",
			Last: now.Add(-time.Second),
			Result: mail.Result{Action: mail.Failed, Status: mail.Status{5, 1, 1}, Code: 550,
				Text: "no such user here", MTA: "mx.example.com"},
		}},
	}
}

// reports are the golden ones.
func reports() map[string]*dsn.Report {
	full := refused()
	full.Return = mail.ReturnFull

	several := refused()
	several.Recipients = append(several.Recipients,
		dsn.Recipient{To: address("carl@example.org"), Module: "LOCAL", Queue: "carl@example.org",
			Result: mail.Result{Action: mail.Failed, Status: mail.Status{5, 2, 2}, Text: "account is full (quota exceeded)"}},
		dsn.Recipient{To: address(`"d  e"@example.net`),
			Result: mail.Result{Action: mail.Failed, Status: mail.Status{5, 7, 1},
				Text: "Закрыто навсегда: 閉店 👨‍👩‍👧\nfor good"}},
		dsn.Recipient{To: address("eve@late.example"), Module: "SMTP", Queue: "late.example", Until: now.Add(72 * time.Hour),
			Result: mail.Result{Action: mail.Delayed, Status: mail.Status{4, 4, 1},
				Text: "connection with mx.late.example is broken"}},
	)

	delayed := refused()
	delayed.Recipients = several.Recipients[3:]
	delayed.Original = nil

	receipt := refused()
	receipt.Recipients = []dsn.Recipient{
		{To: address("bob@example.com"), Module: "SMTP", Queue: "example.com",
			Result: mail.Result{Action: mail.Relayed, Code: 250, Text: "ok", MTA: "mx.example.com"}},
		{To: address("carl@example.org"), Module: "LOCAL", Queue: "carl@example.org",
			Result: mail.Result{Action: mail.Delivered, Text: "Delivered to the user mailbox"}},
	}

	global := refused()
	global.To = address("дана@пример.рф")
	global.Subject = "=?utf-8?b?0J/RgNC40LLQtdGC?= и пока"
	global.Recipients[0].To, global.Recipients[0].Original = address("боб+x@пример.рф"), `utf-8;боб@пример.рф`
	global.Original = strings.NewReader("From: дана@пример.рф\nSubject: Привет\n\nБоб!\n")
	global.Return = mail.ReturnFull
	expanded := refused()
	expanded.Recipients = []dsn.Recipient{{To: address("staff@example.org"), Module: "LIST", Queue: "staff@example.org",
		Result: mail.Result{Action: mail.Expanded, Text: "posted to 12 members"}}}

	own := refused()
	own.Recipients[0].Class = "unknown-address"
	own.Words = words(dsn.File{Language: "en", Texts: map[string]dsn.Words{"en": {
		Intro: "This is {server}.\n\nA person reads replies to postmaster@example.org.", Outro: "-- \nexample.org, the mail people",
		SubjectFailed: "{subject}: not delivered", Advice: map[string]string{"unknown-address": "Call 1234."}}}})

	all := map[string]*dsn.Report{
		"refused": refused(), "full": full, "several": several, "delayed": delayed, "receipt": receipt, "global": global,
		"expanded": expanded, "own": own,
	}
	for _, tag := range []string{"en", "de", "fr", "es"} {
		r := refused()
		r.Words = words(dsn.File{Language: tag})
		r.Recipients[0].Class = "unknown-address"
		r.Recipients = append(append(r.Recipients, several.Recipients[1:]...), receipt.Recipients...)
		r.Recipients = append(r.Recipients, expanded.Recipients...)
		r.Recipients[1].Class = "full"
		all["language-"+tag] = r
	}
	return all
}

// words are those of the language of a File.
func words(f dsn.File) *dsn.Words {
	if err := f.Validate(); err != nil {
		panic(err)
	}
	return f.Languages().Choose(nil)
}

func compose(t testing.TB, r *dsn.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := dsn.Compose(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestGolden(t *testing.T) {
	for name, r := range reports() {
		t.Run(name, func(t *testing.T) {
			got := compose(t, r)
			file := filepath.Join("testdata", name+".eml")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("differs from %s (run with -update, then read the diff):\n%s", file, got)
			}
			if again := compose(t, reports()[name]); again != got {
				t.Errorf("the same report gives other bytes:\n%s", again)
			}
			if i := strings.IndexByte(got, '\r'); i >= 0 {
				t.Errorf("a CR at byte %d: the Queue has LF line ends", i)
			}
		})
	}
}

func TestReportsThatCannotBe(t *testing.T) {
	for name, spoil := range map[string]func(*dsn.Report){
		"null return path": func(r *dsn.Report) { r.To = mail.Address{} },
		"no recipient":     func(r *dsn.Report) { r.Recipients = nil },
		"ReportingMTA":     func(r *dsn.Report) { r.ReportingMTA = "" },
		"discarded":        func(r *dsn.Report) { r.Recipients[0].Result.Action = mail.Discarded },
	} {
		t.Run(name, func(t *testing.T) {
			r := refused()
			spoil(r)
			var b bytes.Buffer
			if err := dsn.Compose(&b, r); err == nil || !strings.Contains(err.Error(), name) || b.Len() > 0 {
				t.Errorf("Compose = %v after %d bytes; want an error with %q and nothing written", err, b.Len(), name)
			}
		})
	}
}

// A seeker is a reader that only pretends to seek.
type seeker struct{ io.Reader }

func (seeker) Seek(int64, int) (int64, error) { return 0, nil }

// A shortWriter takes n bytes.
type shortWriter struct{ n int }

var errFull = errors.New("disk full")

func (w *shortWriter) Write(p []byte) (int, error) {
	if w.n -= len(p); w.n < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestFaultsAreTold(t *testing.T) {
	r := refused()
	r.Original = seeker{iotest.ErrReader(errFull)}
	if err := dsn.Compose(io.Discard, r); !errors.Is(err, errFull) {
		t.Errorf("Compose of a message that cannot be read = %v; want %v", err, errFull)
	}
	for _, back := range []mail.Return{mail.ReturnHeaders, mail.ReturnFull} {
		r = refused()
		r.Return = back
		for n := range len(compose(t, r)) {
			r.Original = strings.NewReader(original)
			if err := dsn.Compose(&shortWriter{n}, r); !errors.Is(err, errFull) {
				t.Fatalf("Compose to a disk with %d bytes = %v; want %v", n, err, errFull)
			}
		}
	}
}
