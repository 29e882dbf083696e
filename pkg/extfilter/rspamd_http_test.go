package extfilter

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"cgq/pkg/settings"
)

// A big text arrives whole, also at a socket of the file system.
func TestRspamdGetsTheText(t *testing.T) {
	var text string
	path := filepath.Join(t.TempDir(), "rspamd.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		text = string(b)
		_, _ = io.WriteString(w, `{"action":"no action"}`)
	}))
	h.Listener.Close()
	h.Listener = l
	h.Start()
	t.Cleanup(h.Close)
	s := newSite(t, Filter{Name: "av", Kind: "rspamd", URL: "unix:" + path})
	body := strings.Repeat("line\n", 50_000)
	if _, err := s.Filter(t.Context(), "av", message("Subject: hello\n", body)); err != nil || text != "Subject: hello\n\n"+body {
		t.Errorf("%v; it got %d bytes, %.40q", err, len(text), text)
	}
}

// The header in all the forms in which rspamd may speak of it.
func TestRspamdEdits(t *testing.T) {
	for _, tt := range []struct {
		said string
		want Answer
	}{
		{`{"action":"no action","symbols":[],"milter":{"add_headers":[],"remove_headers":[]}}`, Answer{}},
		{`{"action":"no action","milter":{"remove_headers":{"X-A":[1,2],"X-B":1.0,"X-C":[-1,-2]}}}`,
			Answer{Change: []Change{{"X-A", 2, ""}, {"X-A", 1, ""}, {"X-B", 1, ""}, {"X-C", -2, ""}, {"X-C", -1, ""}}}},
		{`{"action":"no action","dkim-signature":["a","b"]}`, Answer{Add: []string{"DKIM-Signature: a", "DKIM-Signature: b"}}},
		{`{"action":"no action","milter":{"add_headers":{"X-\u001bC":"x","X-D":"d\u001b[0m\u0000","X-E":"` + strings.Repeat("e", 1000) + `"}}}`,
			Answer{Add: []string{"X-D: d[0m"}, Notes: []string{leftOut("X-\x1bC"), leftOut("X-E")}}},
	} {
		s := spamd(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, tt.said) })
		tt.want.Notes = append([]string{"no action, score 0.00: "}, tt.want.Notes...)
		if got, err := s.ask(t, "x"); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, %v; want %+v", tt.said, got, err, tt.want)
		}
	}
}

// A Subject with letters outside ASCII is encoded in words that are not too long.
func TestRspamdSubject(t *testing.T) {
	got := encoded("Спам: " + strings.Repeat("очень длинная тема ", 10))
	for line := range strings.SplitSeq(got, "\n") {
		if len(line) > 76 || !strings.HasPrefix(strings.TrimSpace(line), "=?utf-8?") {
			t.Errorf("a line is %q", line)
		}
	}
	if strings.ContainsFunc(got, func(r rune) bool { return r >= 0x80 }) {
		t.Errorf("the Subject is %q", got)
	}
}

// Nothing endless is read, and no answer that does not come to its end waited for.
func TestRspamdIsEndless(t *testing.T) {
	for want, do := range map[string]http.HandlerFunc{
		"timed out": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, `{"action":`)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
		"more than 4194304 bytes": func(w http.ResponseWriter, _ *http.Request) {
			for _, err := io.WriteString(w, `{"action":"`); err == nil; {
				_, err = w.Write(bytes.Repeat([]byte("x"), 1<<16))
			}
		},
	} {
		a, err := spamd(t, do).ask(t, "x")
		if down := new(Unavailable); !errors.As(err, &down) || !strings.Contains(down.Why, want) {
			t.Errorf("the answer is %+v, %v; want %s", a, err, want)
		}
	}
}

// A connection that rspamd has closed while it was idle is no reason to refuse a message,
// whenever that is noticed: asking twice does no harm.
func TestRspamdClosesIdleConnections(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			in := bufio.NewReader(c)
			if q, err := http.ReadRequest(in); err == nil {
				_, _ = io.Copy(io.Discard, q.Body)
				const say = `{"action":"no action"}`
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: keep-alive\r\n\r\n%s", len(say), say)
				_, _ = http.ReadRequest(in) // the second one gets no answer
			}
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-ended })
	s := newSite(t, Filter{Name: "av", Kind: "rspamd", URL: "http://" + l.Addr().String(), Timeout: settings.Duration(10 * time.Second)})
	for n := range 3 {
		if _, err := s.Filter(t.Context(), "av", message("A: b\n", "c\n")); err != nil {
			t.Errorf("message %d: %v", n, err)
		}
	}
	s.Close()
}

// The text that cannot be read is nobody's fault but ours, and no part of it is answered for.
func TestTextCannotBeRead(t *testing.T) {
	broken := errors.New("the disk is broken")
	s := spamd(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"action":"no action"}`)
	})
	r := message("A: b\n", "c\n")
	r.Open = func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(strings.NewReader("A: b\n"), badReader{broken})), nil
	}
	if a, err := s.Filter(t.Context(), "av", r); err == nil || !strings.Contains(err.Error(), broken.Error()) {
		t.Errorf("the answer is %+v, %v", a, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(broken)
	if a, err := s.Filter(ctx, "av", r); !errors.Is(err, broken) {
		t.Errorf("the answer is %+v, %v", a, err)
	}
}

type badReader struct{ err error }

func (b badReader) Read([]byte) (int, error) { return 0, b.err }
