package extfilter

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"cgq/pkg/mail"
	"cgq/pkg/serverlog"
	"cgq/pkg/settings"
)

// TestMain is a helper, when it is called as one.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "helper" {
		be(os.Args[2])
		return
	}
	os.Exit(m.Run())
}

// be is a helper as they are in the field: a loop over lines. What it does is said by the
// Subject of the message.
func be(kind string) {
	in := bufio.NewScanner(os.Stdin)
	say := func(format string, args ...any) { fmt.Printf(format+"\n", args...) }
	var late []string
	for in.Scan() {
		seq, rest, _ := strings.Cut(in.Text(), " ")
		command, file, _ := strings.Cut(rest, " ")
		switch command {
		case "INTF":
			switch kind {
			case "old":
				say("%s INTF 2", seq)
			case "mute":
			case "nonsense":
				say("%s hello", seq)
			default:
				say("* a helper for tests")
				say("%s INTF %s", seq, strings.TrimPrefix(kind, "speaks"))
			}
			continue
		case "QUIT":
			say("%s OK", seq)
			return
		}
		text, err := os.ReadFile(file)
		if err != nil {
			say("%s ERROR \"%s\"", seq, err)
			continue
		}
		_, subject, _ := strings.Cut(string(text), "Subject: ")
		subject, _, _ = strings.Cut(subject, "\n")
		switch word, _, _ := strings.Cut(subject, " "); word {
		case "hang":
		case "slow":
			time.Sleep(300 * time.Millisecond)
			say("%s OK", seq)
		case "complain":
			for range 10_000 {
				fmt.Fprintln(os.Stderr, "it hurts")
			}
			say("%s OK", seq)
		case "die":
			fmt.Fprintln(os.Stderr, "I am about to quit")
			os.Exit(1)
		case "die-once":
			if os.Remove(file+".once") != nil && os.WriteFile(file+".once", nil, 0o600) == nil {
				os.Exit(1)
			}
			say("%s OK", seq)
		case "flood":
			for range 100_000 {
				say("* %s", strings.Repeat("x", 100))
			}
			say("%s OK", seq)
		case "garbage":
			say("%s wants to say something", seq)
		case "long":
			say("%s ERROR \"%s\"", seq, strings.Repeat("x", 10_000))
			say("%s OK", seq)
		case "twice":
			say("%s OK", seq)
			say("%s DISCARD", seq)
		case "other":
			say("4711 OK")
			say("%s OK", seq)
		case "babble":
			for range 1000 {
				say("blah")
			}
		case "wait": // until another one comes, and answer that first
			late = append(late, seq)
			continue
		default:
			say("%s %s", seq, subject)
		}
		for _, seq := range late {
			say("%s ADDHEADER \"X-Late: yes\" OK", seq)
		}
		late = nil
	}
}

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// A site has filters in a base directory.
type site struct {
	*Filters
	base string
	log  buffer
}

func newSite(t *testing.T, all ...Filter) *site {
	t.Helper()
	s := &site{base: t.TempDir()}
	log, _ := serverlog.New(&s.log, "EXTFILTER", serverlog.All)
	s.Filters = New(s.base, func() string { return "mx.example.com" }, log)
	set := &Settings{all}
	if err := set.Validate(); err != nil {
		t.Fatal(err)
	}
	s.Use(set)
	t.Cleanup(s.Close)
	return s
}

// helps is a filter by a helper of a kind.
func helps(kind string, change ...func(*Filter)) Filter {
	f := Filter{Name: "av", Kind: "helper", Program: fmt.Sprintf("%q helper %s", os.Args[0], kind), AutoRestart: After(time.Millisecond)}
	for _, c := range change {
		c(&f)
	}
	return f
}

func timeout(d time.Duration) func(*Filter) {
	return func(f *Filter) { f.Timeout = settings.Duration(d) }
}

// request is one with a Subject.
func (s *site) request(t *testing.T, subject string) *Request {
	t.Helper()
	f, err := os.CreateTemp(s.base, "*.msg")
	if err != nil {
		t.Fatal(err)
	}
	text := "Subject: " + subject + "\n\ntext\n"
	if _, err := f.WriteString("P I <>\n\n" + text); err != nil || f.Close() != nil {
		t.Fatal(err)
	}
	return &Request{ID: 7, Envelope: &mail.Envelope{Recipients: []mail.Recipient{{Address: address("b@example.net")}}}, Header: []byte("Subject: " + subject + "\n\n"), Size: int64(len(text)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil },
		Lend: func() (string, func(), error) { return filepath.Base(f.Name()), func() {}, nil }}
}

func (s *site) ask(t *testing.T, subject string) (Answer, error) {
	t.Helper()
	return s.Filter(t.Context(), "AV", s.request(t, subject))
}

func rejected(text string) Answer {
	return Answer{Verdict: Reject, Result: mail.Result{Action: mail.Failed, Status: mail.Status{5, 7, 1}, Text: text}}
}

func address(s string) mail.Address {
	a, err := mail.ParsePath(s)
	if err != nil {
		panic(err)
	}
	return a
}

// The answers of the protocol, over a process.
func TestHelperAnswers(t *testing.T) {
	s := newSite(t, helps("speaks4"))
	for _, tt := range []struct {
		subject string
		want    Answer
	}{
		{"OK", Answer{}},
		{`ADDHEADER "X-A: b\eX-C: d\e\tfolded\e" OK`, Answer{Add: []string{"X-A: b", "X-C: d\n\tfolded"}}},
		{`ADDHEADER "DKIM-Check-Result: pass"`, Answer{Add: []string{"DKIM-Check-Result: pass"}}},
		{`MIRRORTO a@b.example ADDROUTE <c@d.example> ADDHEADER "X-A: \"q\\" OK`,
			Answer{Add: []string{`X-A: "q\`}, MirrorTo: []mail.Address{address("a@b.example")}, Recipients: []mail.Address{address("c@d.example")}}},
		{`ERROR "a virus\e was found"`, rejected("a virus was found")},
		{`ERROR bare words`, rejected("bare words")},
		{`ERROR "5.7.0 confidential"`, refusal(mail.Status{5, 7, 0}, 0, "confidential")},
		{`ERROR "4.7.0 confidential"`, rejected("4.7.0 confidential")},
		{`DISCARD`, Answer{Verdict: Discard}},
		{`REJECTED "no licence"`, Answer{Verdict: Later,
			Result: mail.Result{Action: mail.Delayed, Status: mail.Status{4, 7, 1}, Text: "no licence"}}},
		{`FAILURE`, Answer{Notes: []string{"FAILURE: it has not handled the message, which passes"}}},
		{`ADDHEADER "no field" OK`, Answer{Notes: []string{`no header field, left out: "no field"`}}},
	} {
		got, err := s.ask(t, tt.subject)
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, %v; want %+v", tt.subject, got, err, tt.want)
		}
	}
	log := s.log.String()
	for _, want := range []string{" INTF 5", "EXTFILTER(av) inp(020): * a helper for tests", "speaks version 4"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not say %q:\n%s", want, log)
		}
	}
}

// A helper that does wrong: its message gets no answer that could be taken for one, and
// the next ones are answered.
func TestHelperDoesWrong(t *testing.T) {
	for _, tt := range []struct {
		subject string
		ok      bool // it is answered all the same
		log     string
		set     []func(*Filter)
	}{
		{"hang", false, "external helper timed out", []func(*Filter){timeout(time.Second)}},
		{"die", false, "ended 3 times", nil},
		{"die-once", true, "stderr", []func(*Filter){func(f *Filter) { f.WhenDown = "wait" }}},
		{"die", false, "auto_restart is 0s", []func(*Filter){func(f *Filter) { f.AutoRestart = After(0) }}},
		{"flood", true, "", nil},
		{"garbage", false, "no answer of the protocol", nil},
		{"long", false, "more than 4096 bytes", nil},
		{"complain", true, "more than that is left out", nil},
		{"twice", true, "nobody has asked, or it was answered", nil},
		{"other", true, "nobody has asked", nil},
		{"babble", false, "100 lines in a row", nil},
	} {
		t.Run(tt.subject, func(t *testing.T) {
			set := helps("speaks5", tt.set...)
			never := set.AutoRestart == After(0)
			s := newSite(t, set)
			a, err := s.ask(t, tt.subject)
			var down *Unavailable
			if tt.ok && (err != nil || a.Verdict != Accept) || !tt.ok && (!errors.As(err, &down) || down.Wait != (set.WhenDown == "wait")) {
				t.Errorf("the answer is %+v, %v; answered: %v", a, err, tt.ok)
			}
			first := fmt.Sprint(err)
			if a, err := s.ask(t, "OK"); never != (err != nil) {
				t.Errorf("the next one: %+v, %v", a, err)
			}
			if all := s.log.String() + first; tt.log != "stderr" && !strings.Contains(all, tt.log) {
				t.Errorf("nothing says %q: %v\n%.2000s", tt.log, err, s.log.String())
			}
		})
	}
}

// Which versions are spoken with, and which helpers with none.
func TestHelperVersions(t *testing.T) {
	for kind, want := range map[string]string{"speaks3": "", "speaks4": "", "speaks5": "", "speaks9": "",
		"old": "it speaks version 2", "nonsense": "to INTF", "mute": ""} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, helps(kind, timeout(time.Second)))
			_, err := s.ask(t, "OK")
			if kind == "mute" {
				if err == nil || !strings.Contains(err.Error(), "timed out") {
					t.Errorf("one that does not answer: %v", err)
				}
				return
			}
			if (err != nil) != (want != "") || !strings.Contains(s.log.String(), want) {
				t.Errorf("%v; want %q in the log:\n%s", err, want, s.log.String())
			}
		})
	}
}

// A program that is not there: nobody waits for the time-out.
func TestHelperCannotBeStarted(t *testing.T) {
	s := newSite(t, Filter{Name: "av", Kind: "helper", Program: "/nowhere/at-all", Timeout: settings.Duration(time.Hour),
		AutoRestart: After(time.Hour)})
	_, err := s.ask(t, "OK")
	if down := new(Unavailable); !errors.As(err, &down) || !strings.Contains(down.Why, "/nowhere/at-all") {
		t.Errorf("the answer is %v, want why it is not available", err)
	}
}

// Answers come in any order, and several processes share what there is.
func TestHelperAnswersInAnyOrder(t *testing.T) {
	s := newSite(t, helps("speaks4"))
	var first Answer
	var err error
	done := make(chan struct{})
	r := s.request(t, "wait for another")
	go func() { defer close(done); first, err = s.Filter(t.Context(), "av", r) }()
	for !strings.Contains(s.log.String(), "FILE") {
		time.Sleep(time.Millisecond)
	}
	if a, err := s.ask(t, `ADDHEADER "X-Soon: yes" OK`); err != nil || len(a.Add) != 1 || a.Add[0] != "X-Soon: yes" {
		t.Errorf("the second one: %+v, %v", a, err)
	}
	<-done
	if err != nil || len(first.Add) != 1 || first.Add[0] != "X-Late: yes" {
		t.Errorf("the first one: %+v, %v", first, err)
	}
}

func TestManyHelpers(t *testing.T) {
	s := newSite(t, helps("speaks4", func(f *Filter) { f.Processes, f.InFlight = 3, 2 }))
	var all sync.WaitGroup
	for n := range 60 {
		all.Go(func() {
			want := fmt.Sprintf("X-N: %d", n)
			a, err := s.ask(t, `ADDHEADER "`+want+`" OK`)
			if err != nil || len(a.Add) != 1 || a.Add[0] != want {
				t.Errorf("%d: %+v, %v", n, a, err)
			}
		})
	}
	all.Wait()
}

// Who goes away while he waits hears nothing any more; the helper stays, and its late
// answer is nobody's.
func TestGivenUp(t *testing.T) {
	s := newSite(t, helps("speaks4"))
	ctx, cancel := context.WithCancel(t.Context())
	r := s.request(t, "wait for another")
	done := make(chan error)
	go func() { _, err := s.Filter(ctx, "av", r); done <- err }()
	for !strings.Contains(s.log.String(), "FILE") {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Filter = %v", err)
	}
	for range 3 {
		if a, err := s.ask(t, "OK"); err != nil || a.Verdict != Accept || len(a.Add) > 0 {
			t.Errorf("the next one: %+v, %v", a, err)
		}
	}
	if log := s.log.String(); strings.Contains(log, "ended") || strings.Contains(log, "ignored") {
		t.Errorf("the log says\n%s", log)
	}
}

// What a helper had beside the message of which it dies is answered all the same.
func TestHelperDiesOfOneMessage(t *testing.T) {
	s := newSite(t, helps("speaks4"))
	var all sync.WaitGroup
	for n := range 10 {
		subject := "OK"
		if n%5 == 2 {
			subject = "die"
		}
		r := s.request(t, subject)
		all.Go(func() {
			_, err := s.Filter(t.Context(), "av", r)
			if (err != nil) != (subject == "die") || err != nil && !strings.Contains(err.Error(), errOften.Error()) {
				t.Errorf("%s: %v", subject, err)
			}
		})
	}
	all.Wait()
}

// A helper that has much to do is not stopped because of those who have waited for it.
func TestBusyHelperIsNotStopped(t *testing.T) {
	s := newSite(t, helps("speaks4", timeout(time.Second), func(f *Filter) { f.InFlight = 1 }))
	var all sync.WaitGroup
	for range 6 {
		r := s.request(t, "slow")
		all.Go(func() {
			if _, err := s.Filter(t.Context(), "av", r); err != nil && !strings.Contains(err.Error(), "timed out") {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if log := s.log.String(); strings.Contains(log, "ended") {
		t.Errorf("it was stopped:\n%s", log)
	}
}

// A helper that hangs is stopped, also when he who has asked did not wait for that.
func TestHangingHelperIsStopped(t *testing.T) {
	s := newSite(t, helps("speaks4", timeout(time.Second)))
	ctx, cancel := context.WithCancel(t.Context())
	r := s.request(t, "hang")
	done := make(chan error)
	go func() { _, err := s.Filter(ctx, "av", r); done <- err }()
	for !strings.Contains(s.log.String(), "FILE") {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Filter = %v", err)
	}
	for !strings.Contains(s.log.String(), "timed out, and is stopped") {
		time.Sleep(time.Millisecond)
	}
	if _, err := s.ask(t, "OK"); err != nil {
		t.Error(err)
	}
}

// Settings change while filters are asked.
func TestUse(t *testing.T) {
	s := newSite(t, helps("speaks4"))
	if _, err := s.ask(t, "OK"); err != nil {
		t.Fatal(err)
	}
	kept := s.all["av"]
	s.Use(&Settings{[]Filter{helps("speaks4"), {Name: "off", Kind: "helper", Program: "x", Disabled: true}}})
	if s.all["av"] != kept {
		t.Error("the filter is another one, though nothing has changed")
	}
	if a, err := s.Filter(t.Context(), "off", nil); err != nil || a.Verdict != Accept || len(a.Notes) != 1 {
		t.Errorf("a disabled one: %+v, %v", a, err)
	}
	s.Use(&Settings{[]Filter{helps("speaks5")}})
	if s.all["av"] == kept {
		t.Error("the filter is the same, though it has changed")
	}
	if _, err := s.ask(t, "OK"); err != nil {
		t.Error(err)
	}
	if _, err := s.Filter(t.Context(), "off", nil); !errors.Is(err, ErrUnknown) {
		t.Errorf("one that is not there any more: %v", err)
	}
	s.Close()
	if _, err := s.ask(t, "OK"); err == nil {
		t.Error("a filter answers after the end")
	}
}

func TestSettingsSayWhatIsWrong(t *testing.T) {
	for _, tt := range []struct {
		filter Filter
		want   string
	}{
		{Filter{Kind: "helper", Program: "x"}, "filter[1].name: is empty"},
		{Filter{Name: "a", Kind: "virus"}, `filter[1].kind: "virus" is none of`},
		{Filter{Name: "a", Kind: "helper"}, "filter[1].program"},
		{Filter{Name: "a", Kind: "helper", Program: `"x`}, "filter[1].program"},
		{Filter{Name: "a", Kind: "helper", Program: "x", Processes: 65}, "filter[1].processes: 65"},
		{Filter{Name: "a", Kind: "helper", Program: "x", InFlight: -1}, "filter[1].in_flight: -1"},
		{Filter{Name: "a", Kind: "helper", Program: "x", Timeout: 1}, "filter[1].timeout"},
		{Filter{Name: "a", Kind: "helper", Program: "x", WhenDown: "pass"}, "filter[1].when_down"},
		{Filter{Name: "a", Kind: "milter", Address: "8891"}, "filter[1].address"},
		{Filter{Name: "a", Kind: "rspamd", URL: "127.0.0.1"}, "filter[1].url"},
		{Filter{Name: "a", Kind: "rspamd", URL: "http://h", SpamHeader: "x\ny"}, "filter[1].spam_header"},
	} {
		if err := (&Settings{[]Filter{tt.filter}}).Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %s", tt.filter, err, tt.want)
		}
	}
	twice := &Settings{[]Filter{{Name: "a", Kind: "milter", Address: "h:1"}, {Name: "A", Kind: "milter", Address: "inet:1@h"}}}
	if err := twice.Validate(); err == nil || !strings.Contains(err.Error(), `filter[2].name: "A" is there twice`) {
		t.Errorf("two of a name: %v", err)
	}
}

// What the file says, and what it need not say.
func TestSettingsOfTheFile(t *testing.T) {
	const text = `
[[filter]]
name = "standard"
kind = "helper"
program = "scan"
[[filter]]
name = "never again"
kind = "helper"
program = "scan"
auto_restart = "0s"
[[filter]]
name = "soon"
kind = "helper"
program = "scan"
auto_restart = "100ms"
processes = 2
`
	var s Settings
	if err := settings.Decode("filters.toml", []byte(text), &s); err != nil {
		t.Fatal(err)
	}
	for i, want := range []time.Duration{5 * time.Second, 0, 100 * time.Millisecond} {
		f := s.Filters[i].complete()
		if f.AutoRestart.D() != want || f.Timeout.D() != 2*time.Minute || f.InFlight != 16 || f.WhenDown != "refuse" {
			t.Errorf("%s: %+v", f.Name, f)
		}
		if f != f.complete() {
			t.Errorf("%s is another one when it is complete", f.Name)
		}
	}
	err := settings.Decode("filters.toml", []byte(text+"[[filter]]\nname = \"soon\"\nkind = \"helper\"\nprogram = \"scan\"\nauto_restart = 5\n"), &s)
	if err == nil || !strings.Contains(err.Error(), "filters.toml:21: filter.auto_restart: ") {
		t.Errorf("a number without a unit: %v", err)
	}
	if document, err := s.Document(); err != nil || settings.Decode("filters.toml", []byte(document), new(Settings)) != nil {
		t.Errorf("the file of a new server: %v\n%s", err, document)
	}
}

// Whatever a helper says: an answer, or an error; a header field never brings another line.
func FuzzParseAnswer(f *testing.F) {
	for _, s := range []string{"OK", `ADDHEADER "X: y\e z" OK`, `ERROR "a\"b"`, "DISCARD", "REJECTED", `MIRRORTO <a@b> OK`, `ADDHEADER "`, "INTF 4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		a, err := parseAnswer(line)
		if err != nil {
			return
		}
		for _, field := range a.Add {
			for i, l := range strings.Split(field, "\n") {
				if i == 0 && !isField(l) || i > 0 && (l == "" || l[0] != ' ' && l[0] != '\t') || strings.ContainsAny(l, "\r\x00") {
					t.Errorf("%q adds %q", line, field)
				}
			}
		}
		if a.Verdict == Reject && (a.Result.Text == "" || strings.ContainsAny(a.Result.Text, "\r\n")) {
			t.Errorf("%q is rejected with %q", line, a.Result.Text)
		}
	})
}
