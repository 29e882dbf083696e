package extfilter

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"cgq/pkg/mail"
)

// spamd is a site with a filter that asks a server of ours.
func spamd(t *testing.T, answer http.HandlerFunc) *site {
	t.Helper()
	h := httptest.NewServer(answer)
	t.Cleanup(h.Close)
	f := Filter{Name: "av", Kind: "rspamd", URL: h.URL, Password: "secret"}
	timeout(time.Second)(&f)
	return newSite(t, f)
}

func TestRspamdAnswers(t *testing.T) {
	refused := func(class uint16, text string) Answer {
		a := refusal(mail.Status{class, 7, 1}, 0, text)
		return a
	}
	for _, tt := range []struct {
		said string
		want Answer
		note string
	}{
		{`{"action":"no action","score":1.5,"symbols":{"B":{},"A":{}}}`, Answer{}, "no action, score 1.50: A B"},
		{`{"action":"add header","score":7}`, Answer{Add: []string{"X-Spam: Yes"}}, "add header, score 7.00: "},
		{`{"action":"rewrite subject","subject":"*** SPAM *** é\nX: y"}`,
			Answer{Change: []Change{{"Subject", 1, "=?utf-8?q?***_SPAM_***_=C3=A9_X:_y?="}}}, "rewrite subject, score 0.00: "},
		{`{"action":"greylist"}`, refused(4, "try again later"), "greylist, score 0.00: "},
		{`{"action":"soft reject","messages":{"smtp_message":"slow down"}}`, refused(4, "slow down"), "soft reject, score 0.00: "},
		{`{"action":"reject","messages":{"smtp_message":"Gtube\r\npattern"}}`, refused(5, "Gtube pattern"), "reject, score 0.00: "},
		{`{"action":"reject"}`, refused(5, "spam is not taken here"), "reject, score 0.00: "},
		{`{"action":"discard"}`, Answer{Verdict: Discard}, "discard, score 0.00: "},
		{`{"action":"quarantine"}`, Answer{Verdict: Later, Result: mail.Result{Action: mail.Delayed, Status: mail.Status{4, 7, 1},
			Text: "quarantine: rspamd says so"}}, "quarantine, score 0.00: "},
		{`{"action":"no action","milter":{"add_headers":{"X-A":"b","X-C":{"value":"d\n e\nf","order":1},"X-G":["h",{"value":"i"}]},
			"remove_headers":{"X-Old":0,"X-Last":-1,"X-Second":2}},"dkim-signature":"v=1; a=b;\r\n\tc=d"}`,
			Answer{Add: []string{"X-A: b", "X-C: d\n e\n f", "X-G: h", "X-G: i", "DKIM-Signature: v=1; a=b;\n\tc=d"},
				Change: []Change{{"X-Last", -1, ""}, {"X-Old", 0, ""}, {"X-Second", 2, ""}}}, "no action, score 0.00: "},
	} {
		s := spamd(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, tt.said) })
		tt.want.Notes = []string{tt.note}
		if got, err := s.ask(t, "x"); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, %v; want %+v", tt.said, got, err, tt.want)
		}
	}
}

// No answer, and what is none, is never taken for one.
func TestRspamdDoesWrong(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"hangs": func(_ http.ResponseWriter, r *http.Request) { // it sees the end of the connection when it has read
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		},
		"status":  func(w http.ResponseWriter, _ *http.Request) { http.Error(w, `{"action":"no action"}`, 500) },
		"garbage": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") },
		"empty":   func(http.ResponseWriter, *http.Request) {},
		"none":    func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{}`) },
		"unknown": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"action":"dance"}`) },
		"error": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"error":"no","action":"no action"}`)
		},
		"field": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"action":"no action","milter":{"add_headers":{"X":7}}}`)
		},
		"half": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"action":"no action"}`)
		},
		"huge": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"action":"no action","x":"`+strings.Repeat("x", maxRspamd)+`"}`)
		},
		"elsewhere": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := spamd(t, answer)
			a, err := s.ask(t, "x")
			if down := new(Unavailable); !errors.As(err, &down) || down.Wait {
				t.Errorf("the answer is %+v, %v; want that it is not available", a, err)
			}
		})
	}
}

// What rspamd is told.
func TestRspamdIsTold(t *testing.T) {
	var got http.Header
	var text string
	s := spamd(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got, text = r.Header, r.Method+" "+r.URL.Path+" "+string(b)
		_, _ = io.WriteString(w, `{"action":"no action"}`)
	})
	r := s.request(t, "x")
	r.Envelope = &mail.Envelope{ReturnPath: address("ann@example.org"), Auth: "ann@example.org\r\nX: y", Peer: netip.MustParseAddr("::ffff:192.0.2.1"),
		Recipients: []mail.Recipient{{Address: address("b@example.net")}, {Address: address("<\"c d\"@example.net>")}}, Trace: mail.Trace{Helo: "client.test"}}
	if _, err := s.Filter(t.Context(), "av", r); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{"From": {"<ann@example.org>"}, "Rcpt": {"<b@example.net>", `<"c d"@example.net>`}, "Ip": {"192.0.2.1"},
		"Helo": {"client.test"}, "User": {"ann@example.orgX: y"}, "Queue-Id": {"7"}, "Mta-Name": {"mx.example.com"}, "Password": {"secret"}} {
		if !reflect.DeepEqual(got[name], want) {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
	if text != "POST /checkv2 Subject: x\n\ntext\n" {
		t.Errorf("it got %q", text)
	}
}

func FuzzRspamdAnswer(f *testing.F) {
	f.Add(`{"action":"no action","milter":{"add_headers":{"X":["a",{"value":"b\nc"}]},"remove_headers":{"Y":1}},"dkim-signature":["v"]}`)
	f.Add(`{"action":"rewrite subject","subject":"a\nb"}`)
	c := newRspamd(rspamdOptions{url: "http://h", spamHeader: standardSpam})
	f.Fuzz(func(t *testing.T, said string) {
		a, err := c.answer([]byte(said))
		if err != nil {
			return
		}
		for _, field := range a.Add {
			for i, l := range strings.Split(field, "\n") {
				if i == 0 && !isField(l) || i > 0 && (l == "" || l[0] != ' ' && l[0] != '\t') || strings.ContainsAny(l, "\r\x00") {
					t.Errorf("%q adds %q", said, field)
				}
			}
		}
		for _, c := range a.Change {
			if !isField(c.Name+":") || strings.ContainsAny(strings.ReplaceAll(c.Value, "?=\n =?", ""), "\r\n\x00") {
				t.Errorf("%q changes %+v", said, c)
			}
		}
		if a.Verdict == Reject && strings.ContainsAny(a.Result.Text, "\r\n") {
			t.Errorf("%q is rejected with %q", said, a.Result.Text)
		}
	})
}
