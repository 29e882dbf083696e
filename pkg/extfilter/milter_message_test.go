package extfilter

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-milter"

	"cgq/pkg/mail"
	"cgq/pkg/settings"
)

// message is a request with a text of its own.
func message(head, body string) *Request {
	text := head + "\n" + body
	return &Request{ID: 4711, Size: int64(len(text)), Header: []byte(head + "\n"),
		Envelope: &mail.Envelope{ReturnPath: address("bob@example.net"), Auth: "bob@example.org", Peer: netip.MustParseAddr("192.0.2.7"),
			Trace:      mail.Trace{Helo: "client.example.net"},
			Recipients: []mail.Recipient{{Address: address("ann@example.com")}, {Address: address(`"a b"@example.com`)}}},
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }}
}

// serves runs a script at a socket, and leaves out of the conversation what protocol says.
func (s *script) serves(t *testing.T, network string, protocol milter.OptProtocol) *site {
	t.Helper()
	where := "127.0.0.1:0"
	if network == "unix" {
		where = filepath.Join(t.TempDir(), "milter.sock")
	}
	l, err := net.Listen(network, where)
	if err != nil {
		t.Fatal(err)
	}
	server := &milter.Server{NewMilter: func() milter.Milter { return scripted{s: s} }, Protocol: protocol,
		Actions: milter.OptAddHeader | milter.OptChangeHeader | milter.OptAddRcpt | milter.OptQuarantine}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() { l.Close(); t.Log("the milter:", <-ended) })
	if where = l.Addr().String(); network == "unix" {
		where = "unix:" + where
	}
	return newSite(t, Filter{Name: "av", Kind: "milter", Address: where, Timeout: settings.Duration(30 * time.Second)})
}

// A milter behind a socket of the file system is told of a message what it wants to hear.
func TestMilterLeavesOut(t *testing.T) {
	script := &script{}
	s := script.serves(t, "unix", milter.OptNoConnect|milter.OptNoHelo|milter.OptNoMailFrom|milter.OptNoRcptTo|milter.OptNoBody)
	if _, err := s.Filter(t.Context(), "av", message("A: b\nX-Tight:c\n d\n", "body\n")); err != nil {
		t.Fatal(err)
	}
	if want := []string{"header A:b", "header X-Tight:c\n d", "eoh ", "body "}; !reflect.DeepEqual(script.heard, want) {
		t.Errorf("it has heard %q, want %q", script.heard, want)
	}
}

// A big body comes in pieces, none of them too long, and whole; and a header that is longer
// than what Rules look at is a header all the same.
func TestMilterHearsBigMessage(t *testing.T) {
	script := &script{}
	s := script.serves(t, "tcp", 0)
	head := strings.Repeat("X-Many: "+strings.Repeat("h", 990)+"\n", 100)
	r := message(head, strings.Repeat("\n", 100_000))
	r.Header = r.Header[:strings.LastIndex(head[:64<<10], "\n")+1]
	if _, err := s.Filter(t.Context(), "av", r); err != nil {
		t.Fatal(err)
	}
	fields, lines := 0, 0
	for _, said := range script.heard {
		step, text, _ := strings.Cut(said, " ")
		switch step {
		case "header":
			fields++
		case "chunk":
			if lines += strings.Count(text, "\r\n"); len(text) > milter.MaxBodyChunk {
				t.Errorf("a piece of %d bytes", len(text))
			}
		}
	}
	if fields != 100 || lines != 100_000 {
		t.Errorf("it has heard %d fields and %d lines, want 100 and 100000", fields, lines)
	}
}

// Edits that are not offered are no answer, and neither is a conversation that breaks off.
func TestMilterDoesWhatItMustNot(t *testing.T) {
	for name, tt := range map[string]struct {
		edit func(*milter.Modifier) error
		want string
	}{
		"another body":             {func(m *milter.Modifier) error { return m.ReplaceBody([]byte("x")) }, "must not do"},
		"another return path":      {func(m *milter.Modifier) error { return m.ChangeFrom("x@y.example") }, "must not do"},
		"a recipient less":         {func(m *milter.Modifier) error { return m.DeleteRecipient("ann@example.com") }, "must not do"},
		"a recipient that is none": {func(m *milter.Modifier) error { return m.AddRecipient("a b c") }, "adds a recipient"},
		"it gives up":              {func(*milter.Modifier) error { return errors.New("gone") }, "EOF"},
		"it changes for ever": {func(m *milter.Modifier) error {
			for {
				if err := m.AddHeader("X-A", strings.Repeat("b", 900)); err != nil {
					return fmt.Errorf("as it should be: %w", err)
				}
			}
		}, "more than 1048576 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			s := (&script{at: "body", reply: milter.RespAccept, edit: tt.edit}).serves(t, "tcp", 0)
			a, err := s.Filter(t.Context(), "av", message("Subject: a\n", "text\n"))
			if down := new(Unavailable); !errors.As(err, &down) || !strings.Contains(down.Why, tt.want) {
				t.Errorf("the answer is %+v, %v; want that it is down: %s", a, err, tt.want)
			}
		})
	}
}
