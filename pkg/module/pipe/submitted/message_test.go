package submitted

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"cgq/pkg/mail"
)

var update = flag.Bool("update", false, "write the golden files anew")

// dump is what becomes of a file, for a person to read.
func dump(in []byte, m mapping) string {
	k := maker{mapping: &m, domain: "here.example", now: time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC),
		unique: func() string { return "0123" }}
	msg, err := k.make(bytes.NewReader(in), int64(len(in)))
	if err == nil {
		_, err = inspect(bytes.NewReader(in[msg.body:]))
	}
	if err != nil {
		return "bad: " + err.Error() + "\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "from %s\n", msg.env.ReturnPath.Path())
	for _, r := range msg.env.Recipients {
		fmt.Fprintf(&b, "to %s\n", r.Address.Path())
	}
	fmt.Fprintf(&b, "source %s", msg.env.Source)
	if msg.env.Auth != "" {
		fmt.Fprintf(&b, ", account %s", msg.env.Auth)
	}
	if msg.env.EnvelopeID != "" {
		fmt.Fprintf(&b, ", envelope ID %q", msg.env.EnvelopeID)
	}
	if msg.env.SMTPUTF8 {
		b.WriteString(", SMTPUTF8")
	}
	text, err := io.ReadAll(newBody(bytes.NewReader(in[msg.body:]), func() error { return nil }))
	if err != nil {
		return err.Error()
	}
	fmt.Fprintf(&b, "\n\n%s%s", msg.head, text)
	return b.String()
}

// Each file becomes the envelope and the text that stand beside it: RFC 5322 with the
// product's fields (chapter: The Submitted Folder).
func TestFilesBecomeMessages(t *testing.T) {
	null, other := mail.Address{}, mail.Address{Local: "other", Domain: "old.example"}
	mappings := map[string]mapping{
		"foreign":      {source: mail.POP, account: "old@here.example", returnPath: &other},
		"forced":       {source: mail.PIPE, returnPath: &other, force: true},
		"setting-null": {source: mail.PIPE, returnPath: &null},
	}
	files, err := filepath.Glob("testdata/*.sub")
	if err != nil || len(files) == 0 {
		t.Fatalf("files %v, %v", files, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), sub)
		t.Run(name, func(t *testing.T) {
			in, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			m, special := mappings[name]
			if !special {
				m = mapping{source: mail.PIPE}
			}
			got := dump(in, m)
			golden := strings.TrimSuffix(file, sub) + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil || got != string(want) {
				t.Errorf("got\n%s\nwant\n%s%v", got, want, err)
			}
			// As a file of another system it is the same message.
			if crlf := dump(bytes.ReplaceAll(in, []byte("\n"), []byte("\r\n")), m); !bytes.Contains(in, []byte("\r")) && crlf != got {
				t.Errorf("with CR LF it is\n%s\nwithout\n%s", crlf, got)
			}
		})
	}
}

func TestAddressLists(t *testing.T) {
	for _, tt := range []struct{ list, want string }{
		{"ann@a.example", "<ann@a.example>"},
		{"Ann <ann@a.example>, bob@b.example", "<ann@a.example> <bob@b.example>"},
		{`"Doe, Jane" <jane@a.example>`, "<jane@a.example>"},
		{`"a b"@a.example, <"c d"@a.example>`, `<"a b"@a.example> <"c d"@a.example>`},
		{"ann@a.example (Ann, of (a) b)", "<ann@a.example>"},
		{"friends: ann@a.example, Bob <bob@b.example>; eve@e.example", "<ann@a.example> <bob@b.example> <eve@e.example>"},
		{"undisclosed-recipients:;", ""},
		{"", ""},
		{" , ,", ""},
		{"postmaster", "<postmaster>"},
		{"<>", "<>"},
		{"<@relay.example:ann@a.example>", "<ann@a.example>"},
		{"a@[192.0.2.1]", "<a@[192.0.2.1]>"},
		{"a@[IPv6:2001:db8::1], b@b.example", "<a@[IPv6:2001:db8::1]> <b@b.example>"},
		{"=?utf-8?q?A?= <a@a.example>", "<a@a.example>"},
		{"jürgen@bücher.example", "<jürgen@bücher.example>"},
		{"Ann ann@a.example", "not an address"},
		{"<ann@a.example", "<ann@a.example>"},
		{`"Ann"`, "<Ann>"},
		{"<>, ann@@a.example", "not an address"},
		{"a@b.example\x01", "not an address"},
	} {
		all, err := addresses(tt.list)
		var words []string
		for _, a := range all {
			words = append(words, a.Path())
		}
		got := strings.Join(words, " ")
		if errors.Is(err, mail.ErrAddress) {
			got = "not an address"
		}
		if got != tt.want {
			t.Errorf("addresses(%q) = %q, want %q", tt.list, got, tt.want)
		}
	}
}

func FuzzAddresses(f *testing.F) {
	for _, s := range []string{"a@b", `"x" <a@b>, (c) d`, "g:a,b;", "<", `"\`, "(((", "[", ":;,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		all, err := addresses(s)
		if err == nil && len(all) > len(s)+1 {
			t.Errorf("addresses(%q) = %v", s, all)
		}
	})
}

func FuzzMake(f *testing.F) {
	f.Add([]byte("To: a@b.example\n\ntext"))
	f.Add([]byte("From x\nBcc: a@b.example\r\n x\r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		out := dump(in, mapping{source: mail.PIPE})
		if strings.HasPrefix(out, "bad: ") {
			return
		}
		_, text, _ := strings.Cut(out, "\n\n")
		if strings.ContainsAny(text, "\r\x00") {
			t.Errorf("%q became %q", in, out)
		}
		head, _, _ := strings.Cut(text, "\n\n")
		for line := range strings.SplitSeq(strings.ToLower(head), "\n") {
			if strings.HasPrefix(line, "bcc:") || strings.HasPrefix(line, "envelope-to:") {
				t.Errorf("%q became %q", in, out)
			}
		}
	})
}

// However the bytes come, the body is the same.
func TestBodyHasLF(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "a": "a\n", "a\n": "a\n", "a\r\nb\r\n": "a\nb\n", "a\rb": "a\nb\n", "a\r": "a\n", "\r\r\n": "\n\n", "\n\r\n": "\n\n",
		strings.Repeat("x\r\n", 1000): strings.Repeat("x\n", 1000),
	} {
		for name, r := range map[string]func(io.Reader) io.Reader{"whole": func(r io.Reader) io.Reader { return r },
			"bytes": iotest.OneByteReader, "with the end": iotest.DataErrReader} {
			for _, size := range []int{1, 2, 3, 4096} {
				got, err := readBy(newBody(r(strings.NewReader(in)), func() error { return nil }), size)
				if err != nil || got != want {
					t.Errorf("%s, %d at a time: %q became %q, %v; want %q", name, size, in, got, err, want)
				}
			}
		}
	}
}

func readBy(r io.Reader, size int) (string, error) {
	var all []byte
	p := make([]byte, size)
	for {
		n, err := r.Read(p)
		all = append(all, p[:n]...)
		if err == io.EOF {
			return string(all), nil
		}
		if err != nil || len(all) > 1<<20 {
			return string(all), err
		}
	}
}

func TestChangedFilesAreNotRead(t *testing.T) {
	r := newBody(strings.NewReader("text"), func() error { return errChanged })
	if got, err := io.ReadAll(r); !errors.Is(err, errChanged) {
		t.Errorf("read %q, %v; want %v", got, err, errChanged)
	}
}

func TestHeadersAreBounded(t *testing.T) {
	long := append(slices.Concat([]byte("To: a@b.example\n"), bytes.Repeat([]byte("X: y\n"), maxHeader/4)), "\ntext\n"...)
	if got := dump(long, mapping{source: mail.PIPE}); !strings.HasPrefix(got, "bad: its header is longer") {
		t.Errorf("got %.100q", got)
	}
	endless := bytes.Repeat([]byte("x"), 3*maxHeader)
	if got := dump(endless, mapping{source: mail.PIPE}); !strings.HasPrefix(got, "bad: ") {
		t.Errorf("got %.100q", got)
	}
}
