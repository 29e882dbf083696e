package enqueuer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/extfilter"
	"cgq/pkg/mail"
	"cgq/pkg/rules"
)

// rule makes a Set of one Rule that every message meets which comes by SMTP.
func rule(t *testing.T, actions ...[]string) *rules.Set {
	t.Helper()
	set, err := rules.Compile(&rules.File{Rules: []rules.Rule{{Name: "one", Priority: 5,
		Conditions: [][]string{{"Submit Address", "is", "SMTP*"}}, Actions: actions}}})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func sorted(d *destination) []string {
	got := d.delivered()
	slices.Sort(got)
	return got
}

// A verdict is an External Filter that says so, and keeps what it was shown.
type verdict struct {
	answer extfilter.Answer
	err    error
	mu     sync.Mutex
	asked  int
	header string
	text   string
	file   string
}

func (v *verdict) Filter(_ context.Context, name string, r *extfilter.Request) (extfilter.Answer, error) {
	if name != "av" {
		return extfilter.Answer{}, extfilter.ErrUnknown
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asked++
	v.header = string(r.Header)
	text, err := r.Open()
	if err != nil {
		return extfilter.Answer{}, err
	}
	defer text.Close()
	b, err := io.ReadAll(text)
	if err != nil {
		return extfilter.Answer{}, err
	}
	v.text = string(b)
	name, back, err := r.Lend()
	if err != nil {
		return extfilter.Answer{}, err
	}
	defer back()
	v.file = name
	return v.answer, v.err
}

func (v *verdict) say(a extfilter.Answer, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.answer, v.err = a, err
}

const hello = "Received: from x by y; z\nFrom: ann@away.example\nSubject: hello\nMessage-ID: <1@away.example>\n\ntext\n"

var both = []string{"nobody", "anybody"} // Enqueue Asynchronously

// What Rules do to a message, whose submitter listens, or not: what arrives where.
func TestRules(t *testing.T) {
	type outcome struct {
		err    mail.Status // in synchronous mode
		got    string      // delivered here, with the sources
		sent   string      // delivered elsewhere
		header string      // of what was delivered first, a part of it
	}
	plain := "[1 SMTP ann@here.example]"
	for _, tt := range []struct {
		name    string
		actions [][]string
		want    outcome
	}{
		{"Discard", [][]string{{"Discard"}}, outcome{got: "[]", sent: "[]"}},
		{"Reject with", [][]string{{"Reject with", "not here"}}, outcome{err: mail.Status{5, 7, 1}, got: "[]", sent: "[2 DSN sender@away.example]"}},
		{"Add Header", [][]string{{"Add Header", "X-Seen: yes"}}, outcome{got: plain, sent: "[]", header: "\nX-Seen: yes\n\ntext"}},
		{"Tag Subject", [][]string{{"Tag Subject", "[ext]"}}, outcome{got: plain, sent: "[]", header: "\nSubject: [ext] hello\n"}},
		{"Mirror to", [][]string{{"Mirror to", "bob@here.example"}},
			outcome{got: "[1 SMTP ann@here.example 2 SRULE bob@here.example]", sent: "[]"}},
		{"Redirect to and Discard", [][]string{{"Redirect to", "x@away.example"}, {"Discard"}},
			outcome{got: "[]", sent: "[2 SRULE x@away.example]"}},
		{"Reply with", [][]string{{"Reply with", "+Subject: Re: ^S\n\nthanks"}}, outcome{got: plain, sent: "[2 SRULE ann@away.example]"}},
		{"Mirror to, then Reject with", [][]string{{"Mirror to", "bob@here.example"}, {"Reject with", "not here"}},
			outcome{err: mail.Status{5, 7, 1}, got: "[]", sent: "[2 DSN sender@away.example]"}},
		{"Write To Log", [][]string{{"Write To Log", "seen"}, {"Stop Processing"}}, outcome{got: plain, sent: "[]"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, mode := range both {
				synctest.Test(t, func(t *testing.T) {
					s := newSite(t, crashdisk.New(-1))
					s.settings.Asynchronously = mode
					s.rules = rule(t, tt.actions...)
					_, err := s.Submit(t.Context(), from(mail.SMTP, "127.0.0.1", "ann@here.example"), strings.NewReader(hello))
					want := tt.want
					if mode == "nobody" && want.err != (mail.Status{}) {
						refused(t, "Submit", err, want.err)
						s.nothingLeft(t)
						want.sent = "[]"
					} else if err != nil {
						t.Fatal(err)
					}
					s.run(t)
					if got, sent := fmt.Sprint(sorted(s.here)), fmt.Sprint(s.away.delivered()); got != want.got || sent != want.sent {
						t.Errorf("%s: delivered %s and sent %s, want %s and %s", mode, got, sent, want.got, want.sent)
					}
					if got := s.here.texts(); want.header != "" && !strings.Contains(strings.Join(got, ""), want.header) {
						t.Errorf("%s: what was delivered is %q, want %q in it", mode, got, want.header)
					}
					s.emptied(t)
				})
			}
		})
	}
}

// The answers of a filter, and what comes of them.
func TestExternalFilterAction(t *testing.T) {
	virus := mail.Result{Action: mail.Failed, Status: mail.Status{5, 7, 1}, Text: "EICAR found"}
	soft := mail.Result{Action: mail.Delayed, Status: mail.Status{4, 7, 1}, Text: "greylisted"}
	down := &extfilter.Unavailable{Name: "av", Why: "it has died"}
	waits := &extfilter.Unavailable{Name: "av", Why: "it has died", Wait: true}
	for _, tt := range []struct {
		name   string
		answer extfilter.Answer
		err    error
		sync   mail.Status // of the negative reply
		got    string
		sent   string
		header string
		later  bool // it is delivered only when the filter has changed its mind
	}{
		{"OK", extfilter.Answer{}, nil, mail.Status{}, "[1 SMTP ann@here.example]", "[]", "", false},
		{"ADDHEADER", extfilter.Answer{Add: []string{"X-A: b\n c", "X-D: e"}}, nil, mail.Status{}, "[1 SMTP ann@here.example]", "[]",
			"\nX-A: b\n c\nX-D: e\n\ntext", false},
		{"changes", extfilter.Answer{Change: []extfilter.Change{{Name: "subject", Index: 1, Value: "other"}, {Name: "Message-ID", Index: 1}}}, nil,
			mail.Status{}, "[1 SMTP ann@here.example]", "[]", "\nsubject: other\nX-Before: yes\n\ntext", false},
		{"MIRRORTO", extfilter.Answer{MirrorTo: []mail.Address{address("bob@here.example")}}, nil, mail.Status{},
			"[1 SMTP ann@here.example 2 SRULE bob@here.example]", "[]", "", false},
		{"ADDROUTE", extfilter.Answer{Recipients: []mail.Address{address("nobody@here.example")}}, nil, mail.Status{},
			"[1 SMTP ann@here.example]", "[3 DSN sender@away.example]", "", false},
		{"ERROR", extfilter.Answer{Verdict: extfilter.Reject, Result: virus}, nil, mail.Status{5, 7, 1}, "[]", "[2 DSN sender@away.example]", "", false},
		{"DISCARD", extfilter.Answer{Verdict: extfilter.Discard}, nil, mail.Status{}, "[]", "[]", "", false},
		{"REJECTED", extfilter.Answer{Verdict: extfilter.Later, Result: soft}, nil, mail.Status{}, "[1 SMTP ann@here.example]", "[]", "", true},
		{"for now", extfilter.Answer{Verdict: extfilter.Reject, Result: soft}, nil, mail.Status{4, 7, 1}, "[1 SMTP ann@here.example]", "[]", "", true},
		{"down, refuse", extfilter.Answer{}, down, mail.Status{4, 3, 0}, "[1 SMTP ann@here.example]", "[]", "", true},
		{"down, wait", extfilter.Answer{}, waits, mail.Status{}, "[1 SMTP ann@here.example]", "[]", "", true},
		{"unknown", extfilter.Answer{}, extfilter.ErrUnknown, mail.Status{4, 3, 0}, "[1 SMTP ann@here.example]", "[]", "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, mode := range both {
				synctest.Test(t, func(t *testing.T) {
					s := newSite(t, crashdisk.New(-1))
					s.settings.Asynchronously = mode
					s.rules = rule(t, []string{"Add Header", "X-Before: yes"}, []string{"ExternalFilter", "av"})
					s.filters.say(tt.answer, tt.err)
					id, err := s.Submit(t.Context(), from(mail.SMTP, "127.0.0.1", "ann@here.example"), strings.NewReader(hello))
					stop := s.start(t)
					time.Sleep(time.Second)
					if mode == "nobody" && tt.sync != (mail.Status{}) {
						if err == nil || !errors.Is(tt.err, extfilter.ErrUnknown) {
							refused(t, "Submit", err, tt.sync)
						}
						stop()
						s.nothingLeft(t)
						if got := fmt.Sprint(s.here.delivered(), s.away.delivered()); got != "[] []" {
							t.Errorf("it was refused, and delivered: %s", got)
						}
						return
					}
					if err != nil {
						t.Fatal(err)
					}
					if tt.later {
						if got := s.where(id); !slices.Equal(got, []string{"ENQUEUER(incoming)ann@here.example"}) {
							t.Errorf("%s: it is in %v, want it with the Enqueuer", mode, got)
						}
						if m, _ := s.kernel.Message(id); m.Recipients[0].Delayed.IsZero() || m.Recipients[0].LastError.Text == "" {
							t.Errorf("%s: nobody sees why it waits: %+v", mode, m.Recipients[0])
						}
						s.filters.say(extfilter.Answer{}, nil)
					}
					time.Sleep(3 * time.Hour)
					stop()
					if got, sent := fmt.Sprint(sorted(s.here)), fmt.Sprint(s.away.delivered()); got != tt.got || sent != tt.sent {
						t.Errorf("%s: delivered %s and sent %s, want %s and %s", mode, got, sent, tt.got, tt.sent)
					}
					if got := s.here.texts(); tt.header != "" && !strings.Contains(strings.Join(got, ""), tt.header) {
						t.Errorf("%s: what was delivered is %q, want %q in it", mode, got, tt.header)
					}
					if v := s.filters; !strings.Contains(v.header, "X-Before: yes") || !strings.HasPrefix(v.text, v.header) ||
						!strings.HasSuffix(v.text, "\n\ntext\n") || !strings.HasPrefix(v.file, "Queue/lent/") {
						t.Errorf("%s: the filter was shown %q, %q, %q", mode, v.header, v.text, v.file)
					}
					s.emptied(t)
				})
			}
		})
	}
}

// A large message, which is received in a file, meets Rules as a small one does.
func TestRulesOverLargeMessages(t *testing.T) {
	for _, mode := range both {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t, crashdisk.New(-1))
			s.settings.Asynchronously = mode
			s.rules = rule(t, []string{"Add Header", "X-Seen: yes"}, []string{"ExternalFilter", "av"}, []string{"Mirror to", "bob@here.example"})
			body := strings.Repeat("a line of text\n", 2000)
			_, err := s.Submit(t.Context(), from(mail.SMTP, "127.0.0.1", "ann@here.example"), strings.NewReader("Subject: large\n\n"+body))
			if err != nil {
				t.Fatal(err)
			}
			s.run(t)
			texts := s.here.texts()
			if len(texts) != 2 {
				t.Fatalf("%d were delivered", len(texts))
			}
			for i, text := range append(texts, s.filters.text) {
				if head, rest, _ := strings.Cut(text, "\n\n"); !strings.HasSuffix(head, "Subject: large\nX-Seen: yes") || rest != body {
					t.Errorf("%s: %d: %q and %d bytes, want %d", mode, i, head, len(rest), len(body))
				}
			}
		})
	}
}

// What Rules have made does not meet them: no message goes round inside the server, and
// none that was redirected is discarded by the same Rule.
func TestRulesDoNotMeetWhatRulesMade(t *testing.T) {
	for _, mode := range both {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t, crashdisk.New(-1))
			s.settings.Asynchronously = mode
			set, err := rules.Compile(&rules.File{Rules: []rules.Rule{{Name: "all", Priority: 5, Actions: [][]string{
				{"Mirror to", "bob@here.example"}, {"ExternalFilter", "av"}, {"Add Header", "X-Seen: yes"}}}}})
			if err != nil {
				t.Fatal(err)
			}
			s.rules = set
			s.filters.say(extfilter.Answer{MirrorTo: []mail.Address{address("ann@here.example")}}, nil)
			if _, err := s.submit(t, from(mail.SMTP, "127.0.0.1", "ann@here.example")); err != nil {
				t.Fatal(err)
			}
			s.run(t)
			got := sorted(s.here)
			if want := []string{"1 SMTP ann@here.example", "2 SRULE bob@here.example", "3 SRULE ann@here.example"}; !slices.Equal(got, want) {
				t.Errorf("%s: delivered %v, want %v", mode, got, want)
			}
		})
	}
}

// Reports meet the Rules as everything does; one that a Rule rejects is dropped.
func TestRulesOverReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, crashdisk.New(-1))
		set, err := rules.Compile(&rules.File{Rules: []rules.Rule{{Name: "no reports", Priority: 5,
			Conditions: [][]string{{"Return-Path", "is", "<>"}}, Actions: [][]string{{"Reject with", "no"}}}}})
		if err != nil {
			t.Fatal(err)
		}
		s.rules = set
		if _, err := s.submit(t, from(mail.SMTP, "127.0.0.1", "ann@here.example", "nobody@here.example")); err != nil {
			t.Fatal(err)
		}
		s.run(t)
		if got := s.away.delivered(); len(got) > 0 {
			t.Errorf("sent %v", got)
		}
		s.emptied(t)
	})
}

// The process dies when the Rules have been applied and what they made is durable: nothing
// of it is done again. It dies before: all of it is done.
func TestRulesAreAppliedOnce(t *testing.T) {
	for step := 0; ; step++ {
		done := false
		d := crashdisk.New(step)
		synctest.Test(t, func(t *testing.T) {
			accepted := func() bool {
				s, err := trySite(d, "")
				if err != nil {
					return false
				}
				defer func() { _ = s.close() }()
				s.settings.Asynchronously = "anybody"
				s.rules = rule(t, []string{"Add Header", "X-Seen: yes"}, []string{"Mirror to", "bob@here.example"}, []string{"Mirror to", "x@away.example"})
				id, err := s.submit(t, from(mail.SMTP, "127.0.0.1", "ann@here.example"))
				if err != nil {
					return false
				}
				s.here.shut()
				s.away.shut()
				stop := s.start(t)
				time.Sleep(time.Minute)
				stop()
				done = s.kernel.Len() == 3 && s.where(id)[0] == "LOCAL(ann@here.example)ann@here.example" && s.spool.Checkpoint() == nil
				return true
			}()
			s := newSite(t, d.Restart(rand.New(rand.NewPCG(1, uint64(step)))))
			s.rules = rule(t, []string{"Add Header", "X-Seen: yes"}, []string{"Mirror to", "bob@here.example"}, []string{"Mirror to", "x@away.example"})
			s.resume(t)
			s.run(t)
			got := append(s.here.delivered(), s.away.delivered()...)
			if accepted && len(got) != 3 || !accepted && len(got) != 0 && len(got) != 3 {
				t.Errorf("step %d: accepted %v; delivered %v", step, accepted, got)
			}
		})
		if done {
			t.Log(step, "steps")
			break
		}
	}
}

// Execute: the program decides.
func TestExecute(t *testing.T) {
	for _, tt := range []struct {
		name, script, flags string
		want                mail.Status
		text                string
	}{
		{"0", "cat > in; exit 0", "", mail.Status{}, ""},
		{"1", "exit 1", "", mail.Status{5, 7, 1}, "a program of this server"},
		{"75", "exit 75", "", mail.Status{4, 3, 0}, "try again later"},
		{"stderr", "echo 'no, thank  you' >&2; exit 1", "[STDERR]", mail.Status{5, 7, 1}, "no, thank you"},
		{"stderr with what a terminal obeys", `printf 'no\033[31m\001 way' >&2; exit 1`, "[STDERR]", mail.Status{5, 7, 1}, "5.7.1 no [31m way"},
		{"stderr is a secret", "echo 'secret' >&2; exit 1", "", mail.Status{5, 7, 1}, "a program of this server"},
		{"signal", "kill -9 $$", "", mail.Status{4, 3, 0}, "try again later"},
		{"limit", "sleep 1000", "", mail.Status{4, 3, 0}, "try again later"},
		{"arguments", `test "$*" = "own -f Queue/lent/1.msg -p sender@away.example -r ann@here.example"`,
			"[FILE] [RETPATH] [RCPT]", mail.Status{}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, crashdisk.New(-1))
			s.settings.ExecuteTime = 1e9
			program := filepath.Join(s.base, "program")
			if err := os.WriteFile(program, []byte("#!/bin/sh\n"+tt.script+"\n"), 0o700); err != nil { //nolint:gosec // it is run
				t.Fatal(err)
			}
			s.rules = rule(t, []string{"Execute", tt.flags + " " + program + " own"})
			_, err := s.Submit(t.Context(), from(mail.SMTP, "127.0.0.1", "ann@here.example"), strings.NewReader(hello))
			if tt.want == (mail.Status{}) {
				if err != nil {
					t.Fatal(err)
				}
			} else if refused(t, "Submit", err, tt.want); err != nil && !strings.Contains(err.Error(), tt.text) {
				t.Errorf("the submitter hears %v, want %q", err, tt.text)
			}
			if tt.name == "0" {
				b, err := os.ReadFile(filepath.Join(s.base, "in"))
				if err != nil || !strings.HasSuffix(string(b), hello) {
					t.Errorf("the program has read %q, %v", b, err)
				}
			}
		})
	}
}

// A message of which a Rule says that Account Rules are skipped says so to its module.
func TestSkipAccountRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, crashdisk.New(-1))
		s.rules = rule(t, []string{"Skip account Rules"})
		id, err := s.submit(t, from(mail.SMTP, "127.0.0.1", "ann@here.example"))
		if err != nil {
			t.Fatal(err)
		}
		s = s.dies(t)
		s.resume(t)
		s.run(t)
		if !s.here.skipped[id] {
			t.Error("the module was not told")
		}
	})
}
