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

	"cgq/pkg/mail"
	"cgq/pkg/settings"
)

// rspamd is a filter that asks a handler.
func rspamd(t *testing.T, h http.HandlerFunc, network string) Filter {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	url := ""
	if network == "unix" {
		url = "unix:" + filepath.Join(t.TempDir(), "rspamd.sock")
		l, err := net.Listen("unix", url[len("unix:"):])
		if err != nil {
			t.Fatal(err)
		}
		s.Listener.Close()
		s.Listener = l
	}
	s.Start()
	t.Cleanup(s.Close)
	if url == "" {
		url = s.URL
	}
	return Filter{Name: "av", Kind: "rspamd", URL: url, Password: "secret", Timeout: settings.Duration(10 * time.Second)}
}

// Rspamd is told the envelope in fields of HTTP, and gets the text as it is.
func TestRspamdIsTold(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			var fields http.Header
			var path, text string
			s := newSite(t, rspamd(t, func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				fields, path, text = r.Header, r.URL.Path, string(b)
				_, _ = io.WriteString(w, `{"action":"no action"}`)
			}, network))
			r := message("Subject: hello\n", strings.Repeat("line\n", 50_000))
			r.Envelope.Trace.Helo = "client\r\nX-Evil: yes"
			if _, err := s.Filter(t.Context(), "av", r); err != nil {
				t.Fatal(err)
			}
			if whole := "Subject: hello\n\n" + strings.Repeat("line\n", 50_000); text != whole || path != "/checkv2" {
				t.Errorf("%s got %d bytes, %.40q", path, len(text), text)
			}
			want := map[string][]string{"From": {"<bob@example.net>"}, "Rcpt": {"<ann@example.com>", `<"a b"@example.com>`}, "Ip": {"192.0.2.7"},
				"Helo": {"clientX-Evil: yes"}, "User": {"bob@example.org"}, "Queue-Id": {"4711"}, "Mta-Name": {"mx.example.com"},
				"Password": {"secret"}, "X-Evil": nil}
			for name, value := range want {
				if !reflect.DeepEqual(fields[name], value) {
					t.Errorf("%s is %q, want %q", name, fields[name], value)
				}
			}
		})
	}
}

// What rspamd says, and what comes of it.
func TestRspamdAnswers(t *testing.T) {
	refused := func(class, subject, detail uint16, text string) Answer {
		return refusal(mail.Status{class, subject, detail}, 0, text)
	}
	for _, tt := range []struct {
		name, say string
		want      Answer
		note      string
		down      string
	}{
		{name: "no action", say: `{"action":"no action","score":1.5,"symbols":{"B":{},"A":{}}}`, note: "no action, score 1.50: A B"},
		{name: "fields", say: `{"action":"no action","milter":{"add_headers":{"X-B":{"value":"b","order":1},"X-A":["one",{"value":"two\r\nthree\n"}],
			"X-\u001bC":"x","X-D":"d\u001b[0m"},"remove_headers":{"X-Spam":0,"X-Last":-1}},"dkim-signature":"v=1;\r\n\tb=abc"}`,
			want: Answer{Add: []string{"X-A: one", "X-A: two\n three", "X-B: b", "X-D: d[0m", "DKIM-Signature: v=1;\n\tb=abc"},
				Change: []Change{{"X-Last", -1, ""}, {"X-Spam", 0, ""}}, Notes: []string{leftOut("X-\x1bC")}}},
		{name: "several signatures", say: `{"action":"no action","dkim-signature":["a","b"]}`, want: Answer{Add: []string{"DKIM-Signature: a", "DKIM-Signature: b"}}},
		{name: "several of one field are removed", say: `{"action":"no action","milter":{"remove_headers":{"X-A":[1,2],"X-B":1.0,"X-C":[-1,-2]}}}`,
			want: Answer{Change: []Change{{"X-A", 2, ""}, {"X-A", 1, ""}, {"X-B", 1, ""}, {"X-C", -2, ""}, {"X-C", -1, ""}}}},
		{name: "add header", say: `{"action":"add header"}`, want: Answer{Add: []string{"X-Spam: Yes"}}},
		{name: "rewrite subject", say: `{"action":"rewrite subject","subject":"*** SPAM ***\r\n x"}`, want: Answer{Change: []Change{{"Subject", 1, "*** SPAM *** x"}}}},
		{name: "greylist", say: `{"action":"greylist"}`, want: refused(4, 7, 1, "try again later")},
		{name: "soft reject", say: `{"action":"soft reject","messages":{"smtp_message":"slowly\r\n250 ok"}}`, want: refused(4, 7, 1, "slowly 250 ok")},
		{name: "reject", say: `{"action":"reject","messages":{"smtp_message":"Gtube pattern"}}`, want: refused(5, 7, 1, "Gtube pattern")},
		{name: "reject without words", say: `{"action":"reject"}`, want: refused(5, 7, 1, "spam is not taken here")},
		{name: "discard", say: `{"action":"discard"}`, want: Answer{Verdict: Discard}},
		{name: "quarantine", say: `{"action":"quarantine"}`, want: later("quarantine: rspamd says so")},
		{name: "an action of its own", say: `{"action":"dance"}`, down: "none that is known"},
		{name: "empty tables of Lua", say: `{"action":"no action","symbols":[],"milter":{"add_headers":[],"remove_headers":[]}}`},
		{name: "skipped", say: `{"action":"no action","is_skipped":true}`},
		{name: "error", say: `{"error":"out of memory"}`, down: "out of memory"},
		{name: "empty", say: ``, down: "no answer"},
		{name: "not JSON", say: `<html>`, down: "no answer"},
		{name: "no object", say: `[]`, down: "no answer"},
		{name: "a value that is none", say: `{"action":"no action","milter":{"add_headers":{"X-A":{"x":1}}}}`, down: "X-A"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, rspamd(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				_, _ = io.WriteString(w, tt.say)
			}, "tcp"))
			a, err := s.Filter(t.Context(), "av", message("Subject: a\n", "text\n"))
			if tt.down != "" {
				if down := new(Unavailable); !errors.As(err, &down) || !strings.Contains(down.Why, tt.down) {
					t.Errorf("the answer is %+v, %v; want that it is down: %s", a, err, tt.down)
				}
				return
			}
			if err != nil || len(a.Notes) == 0 || !strings.HasPrefix(a.Notes[0], tt.note) {
				t.Fatalf("the answer is %+v, %v", a, err)
			}
			if a.Notes = a.Notes[1:]; len(a.Notes) == 0 {
				a.Notes = nil
			}
			if !reflect.DeepEqual(a, tt.want) {
				t.Errorf("the answer is %+v; want %+v", a, tt.want)
			}
		})
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

// An rspamd that does wrong is not available; nothing endless is read.
func TestRspamdDoesWrong(t *testing.T) {
	for name, tt := range map[string]struct {
		do   http.HandlerFunc
		want string
	}{
		"503":       {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "busy", http.StatusServiceUnavailable) }, "503"},
		"redirects": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, "302"},
		"hangs":     {func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); <-r.Context().Done() }, "timed out"},
		"hangs in the answer": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, `{"action":`)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, "timed out"},
		"is endless": {func(w http.ResponseWriter, _ *http.Request) {
			for _, err := io.WriteString(w, `{"action":"`); err == nil; {
				_, err = w.Write(bytes.Repeat([]byte("x"), 1<<16))
			}
		}, "more than 4194304 bytes"},
		"dies": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := rspamd(t, tt.do, "tcp")
			f.Timeout = settings.Duration(time.Second)
			s := newSite(t, f)
			a, err := s.Filter(t.Context(), "av", message("A: b\n", "c\n"))
			if down := new(Unavailable); !errors.As(err, &down) || !strings.Contains(down.Why, tt.want) {
				t.Errorf("the answer is %+v, %v; want %s", a, err, tt.want)
			}
		})
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
	s := newSite(t, rspamd(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"action":"no action"}`)
	}, "tcp"))
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
