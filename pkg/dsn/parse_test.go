package dsn_test

import (
	"bufio"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-message"
	"pgregory.net/rapid"

	house "cgq/pkg/mail"
)

// A parsed report is what a program finds in one.
type parsed struct {
	header mail.Header
	parts  []parsedPart
}

type parsedPart struct {
	kind, encoding string
	body           string // decoded
}

// parse reads a report with the standard library.
func parse(t testing.TB, text string) parsed {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatalf("ReadMessage: %v\n%s", err, text)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || params["report-type"] != "delivery-status" {
		t.Fatalf("Content-Type %s %v, %v", kind, params, err)
	}
	p := parsed{header: m.Header}
	for r := multipart.NewReader(m.Body, params["boundary"]); ; {
		part, err := r.NextRawPart()
		if err == io.EOF {
			return p
		}
		if err != nil {
			t.Fatalf("NextPart: %v\n%s", err, text)
		}
		var in io.Reader = part
		if part.Header.Get("Content-Transfer-Encoding") == "quoted-printable" {
			in = quotedprintable.NewReader(part)
		}
		body, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		kind, _, err := mime.ParseMediaType(part.Header.Get("Content-Type"))
		if err != nil {
			t.Fatal(err)
		}
		p.parts = append(p.parts, parsedPart{kind, part.Header.Get("Content-Transfer-Encoding"), string(body)})
	}
}

// blocks reads the header blocks of a delivery-status part.
func blocks(t testing.TB, status string) []textproto.MIMEHeader {
	t.Helper()
	var all []textproto.MIMEHeader
	r := textproto.NewReader(bufio.NewReader(strings.NewReader(status + "\n\n")))
	for {
		h, err := r.ReadMIMEHeader()
		if err != nil && err != io.EOF {
			t.Fatalf("delivery-status: %v\n%s", err, status)
		}
		if len(h) == 0 {
			return all
		}
		all = append(all, h)
	}
}

func TestStandardLibraryReadsIt(t *testing.T) {
	for name, r := range reports() {
		t.Run(name, func(t *testing.T) {
			p := parse(t, compose(t, r))
			want := 3
			if r.Original == nil {
				want = 2
			}
			if len(p.parts) != want {
				t.Fatalf("%d parts, want %d", len(p.parts), want)
			}
			if from, err := p.header.AddressList("From"); err != nil || from[0].Address != "MAILER-DAEMON@example.org" {
				t.Errorf("From = %v, %v", from, err)
			}
			if to, err := p.header.AddressList("To"); err != nil || to[0].Address != r.To.String() {
				t.Errorf("To = %v, %v; want %s", to, err, r.To)
			}
			if at, err := p.header.Date(); err != nil || at.Unix() != now.Unix() {
				t.Errorf("Date = %v, %v; want %v", at, err, now)
			}
			b := blocks(t, p.parts[1].body)
			if len(b) != 1+len(r.Recipients) {
				t.Fatalf("%d blocks, want one and %d", len(b), len(r.Recipients))
			}
			for i, rcpt := range r.Recipients {
				if got := b[1+i].Get("Action"); got != rcpt.Result.Action.String() {
					t.Errorf("recipient %d: Action %q, want %s", i, got, rcpt.Result.Action)
				}
				if got := b[1+i].Get("Final-Recipient"); rcpt.To.ASCII() && got != "rfc822; "+rcpt.To.String() {
					t.Errorf("recipient %d: Final-Recipient %q, want %s", i, got, rcpt.To)
				}
			}
		})
	}
}

func TestGoMessageReadsIt(t *testing.T) {
	for name, r := range reports() {
		t.Run(name, func(t *testing.T) {
			e, err := message.Read(strings.NewReader(compose(t, r)))
			if err != nil {
				t.Fatal(err)
			}
			var kinds []string
			err = e.Walk(func(_ []int, e *message.Entity, err error) error {
				kind, _, _ := e.Header.ContentType()
				kinds = append(kinds, kind)
				return err
			})
			if err != nil || len(kinds) < 3 || kinds[0] != "multipart/report" || kinds[2] != "message/delivery-status" {
				t.Errorf("Walk: %v, %v", kinds, err)
			}
		})
	}
}

const script = `
import sys, email, email.policy
m = email.message_from_binary_file(sys.stdin.buffer, policy=email.policy.default)
print(m.get_content_type(), m["Subject"])
for d in [m] + list(m.walk()): assert not d.defects, d.defects
parts = m.get_payload()
print(" ".join(p.get_content_type() for p in parts))
print(" ".join(str(b["Action"]) for b in parts[1].get_payload()[1:]))
print(parts[0].get_content().splitlines()[0])
`

func TestPythonReadsIt(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		missing(t, "python3")
	}
	const subject, kinds = "multipart/report Undeliverable mail: ", "text/plain message/delivery-status "
	for name, want := range map[string]string{
		"refused": subject + "minutes of the meeting\n" + kinds + "text/rfc822-headers\n" +
			"failed\nFailed to deliver to '<bob@example.com>'\n",
		"several": subject + "minutes of the meeting\n" + kinds + "text/rfc822-headers\n" +
			"failed failed failed delayed\nFailed to deliver to '<bob@example.com>'\n",
		"full": subject + "minutes of the meeting\n" + kinds + "message/rfc822\n" +
			"failed\nFailed to deliver to '<bob@example.com>'\n",
		"global": subject + "Привет и пока\n" + kinds + "message/global\n" +
			"failed\nFailed to deliver to '<боб+x@пример.рф>'\n",
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(python, "-c", script)
			cmd.Env = append(cmd.Environ(), "PYTHONIOENCODING=utf-8")
			cmd.Stdin = strings.NewReader(compose(t, reports()[name]))
			out, err := cmd.CombinedOutput()
			if err != nil || string(out) != want {
				t.Errorf("python3: %v\n%s\nwant\n%s", err, out, want)
			}
		})
	}
}

func TestWhatGoesBack(t *testing.T) {
	long := "Subject: x\n" + strings.Repeat("X-Field: "+strings.Repeat("v", 500)+"\n", 200)
	for _, tt := range []struct {
		name, original string
		back           house.Return
		limit          int64
		kind, encoding string
		body           string
	}{
		{"header", original, 0, 0, "text/rfc822-headers", "7bit", original[:strings.Index(original, "\n\n")+2]},
		{"full", original, house.ReturnFull, 0, "message/rfc822", "7bit", original},
		{"full, no final newline", "A: b\n\nx", house.ReturnFull, 0, "message/rfc822", "7bit", "A: b\n\nx"},
		{"full, long lines", "A: b\n\n" + strings.Repeat("x", 5000) + "\n", house.ReturnFull, 0, "message/rfc822", "7bit",
			"A: b\n\n" + strings.Repeat("x", 5000) + "\n"},
		{"full, a CR that is there", "A: b\n\nx\ry\r\n", house.ReturnFull, 0, "message/rfc822", "7bit", "A: b\n\nx\ry\r\n"},
		{"full, 8-bit", "A: b\n\ncaf\xe9\n", house.ReturnFull, 0, "message/rfc822", "8bit", "A: b\n\ncaf\xe9\n"},
		{"full within the limit", "A: b\n\nx", house.ReturnFull, 7, "message/rfc822", "7bit", "A: b\n\nx"},
		{"full over the limit", "A: b\n\nx", house.ReturnFull, 6, "text/rfc822-headers", "7bit", "A: b\n\n"},
		{"header, 8-bit body", "A: b\n\ncaf\xe9\n", 0, 0, "text/rfc822-headers", "7bit", "A: b\n\n"},
		{"header, UTF-8", "A: é\n\nx", 0, 0, "message/global-headers", "8bit", "A: é\n\n"},
		{"header, 8-bit", "A: \xe9\n\nx", 0, 0, "text/rfc822-headers", "8bit", "A: \xe9\n\n"},
		{"full, UTF-8 header", "A: é\n\nx", house.ReturnFull, 0, "message/global", "8bit", "A: é\n\nx"},
		{"no header", "\nx", 0, 0, "text/rfc822-headers", "7bit", "\n"},
		{"empty", "", house.ReturnFull, 0, "message/rfc822", "7bit", ""},
		{"whole fields of a long header", long, 0, 0, "text/rfc822-headers", "7bit", long[:(64<<10-11)/510*510+11]},
		{"one endless field", "X: " + strings.Repeat("y", 70000), 0, 0, "text/rfc822-headers", "7bit", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := refused()
			r.Original, r.Return, r.Limit = strings.NewReader(tt.original), tt.back, tt.limit
			if _, err := r.Original.Seek(3, 0); err != nil { // it is read from its beginning
				t.Fatal(err)
			}
			got := parse(t, compose(t, r)).parts[2]
			if want := (parsedPart{tt.kind, tt.encoding, tt.body}); got != want {
				t.Errorf("goes back %.300q\nwant %.300q", got, want)
			}
		})
	}
}

func TestNobodyCanCloseThePart(t *testing.T) {
	guess := func(n any) string { return fmt.Sprintf("_===4711.%v===_", n) }
	for _, n := range []any{
		0, 1, 2, 77, "9223372036854775806", "9223372036854775807", "99999999999999999999999", "007", "",
	} {
		for _, end := range []string{"\n", "\r"} {
			lines := []string{"", "--" + guess(n), "Content-Type: text/html", "", "fake", "--" + guess(n) + "--", ""}
			fake := strings.Join(lines, end)
			for _, pad := range []int{0, 32<<10 - 40, 32<<10 - 8, 32 << 10, 100_000} {
				r := refused()
				text := "A: b\n\n" + strings.Repeat("x", pad) + fake
				r.Original, r.Return = strings.NewReader(text), house.ReturnFull
				out := compose(t, r)
				p := parse(t, out)
				if len(p.parts) != 3 || p.parts[2].body != text {
					t.Errorf("boundary %v after %d bytes: %d parts", n, pad, len(p.parts))
				}
				_, params, _ := mime.ParseMediaType(p.header.Get("Content-Type"))
				if strings.Contains(text, params["boundary"]) {
					t.Errorf("boundary %q is in the text", params["boundary"])
				}
			}
		}
	}
}

// hostile draws texts that want to be more than words.
func hostile() *rapid.Generator[string] {
	piece := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
		"\r\n", "\n", "\r", "\x00", "\r\n\r\n", "\n\n", "\nAction: delivered", "\r\nBcc: x@y",
		"--_===4711.0===_", "\n--_===4711.1===_--",
		"\u2028", "\u202e", "\x1b[2J", "\xff\xfe", "=?utf-8?q?=0A?=", "\nFailed to deliver to '<x@y>'",
		"; ", strings.Repeat("x", 3000),
		strings.Repeat("é", 1500), strings.Repeat(" ", 2000), strings.Repeat("\n", 500), "\u0085", ":", "\t",
	}), rapid.Custom(func(t *rapid.T) string { return string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) }))
	return rapid.Custom(func(t *rapid.T) string { return strings.Join(rapid.SliceOfN(piece, 0, 6).Draw(t, "pieces"), "") })
}

func TestHostileTextStaysText(t *testing.T) {
	names := func(h map[string][]string) (all []string) {
		for k, v := range h {
			all = append(all, fmt.Sprint(k, len(v)))
		}
		slices.Sort(all)
		return all
	}
	clean := parse(t, compose(t, refused()))
	rapid.Check(t, func(rt *rapid.T) {
		r := refused()
		rcpt := &r.Recipients[0]
		r.Subject, r.EnvelopeID = hostile().Draw(rt, "subject"), "e"+hostile().Draw(rt, "envid")
		r.ReportingMTA = "m" + hostile().Draw(rt, "reporting mta")
		rcpt.Original = "rfc822;" + hostile().Draw(rt, "orcpt")
		rcpt.Queue = hostile().Draw(rt, "queue")
		rcpt.Result.Text, rcpt.Result.MTA = hostile().Draw(rt, "text"), "h"+hostile().Draw(rt, "mta")
		rcpt.To.Local = hostile().Draw(rt, "local") // ParseAddress would not let it through
		p := parse(t, compose(t, r))
		if got, want := names(p.header), names(clean.header); !slices.Equal(got, want) {
			rt.Fatalf("header fields %v, want %v", got, want)
		}
		if len(p.parts) != 3 || p.parts[2] != clean.parts[2] {
			rt.Fatalf("parts %q", p.parts)
		}
		b := blocks(t, p.parts[1].body)
		for i, want := range blocks(t, clean.parts[1].body) {
			if len(b) != 2 || !slices.Equal(names(b[i]), names(want)) {
				rt.Fatalf("blocks %v", b)
			}
		}
		if n := strings.Count("\n"+p.parts[0].body, "\nFailed to deliver to"); n != 1 {
			rt.Fatalf("%d blocks for people:\n%s", n, p.parts[0].body)
		}
		if strings.ContainsFunc(p.parts[1].body, func(c rune) bool { return c >= 0x7f || c < ' ' && c != '\n' }) {
			rt.Fatalf("delivery-status is not ASCII: %q", p.parts[1].body)
		}
		for line := range strings.Lines(compose(t, r)) {
			if len(line) > 998 {
				rt.Fatalf("a line of %d bytes: %.100q", len(line), line)
			}
		}
		if n := len(p.parts[0].body) + len(p.parts[1].body); n > 100_000 {
			rt.Fatalf("%d bytes of words", n)
		}
	})
}

func TestAdminTextIsKept(t *testing.T) {
	const text = "Закрыто 閉店 🙂 naïve – “done”"
	r := refused()
	r.Recipients[0].Module = ""
	r.Recipients[0].Result = house.Result{Action: house.Failed, Status: house.Status{5, 7, 1}, Text: text}
	want := "Failed to deliver to '<bob@example.com>'\n " + text + "\n"
	if got := parse(t, compose(t, r)).parts[0].body; strings.ReplaceAll(got, "\r\n", "\n") != want {
		t.Errorf("text part %q, want %q", got, want)
	}
}
