package selection_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cgq/pkg/mail"
	"cgq/pkg/selection"
)

// A row is a Subject of constants.
type row struct {
	id                           mail.ID
	module, queue, state, source string
	sender, rcpt                 mail.Address
	auth, err, subject           string
	submitted                    time.Time
	size                         int64
	attempts                     int
}

func (r *row) ID() mail.ID             { return r.id }
func (r *row) Module() string          { return r.module }
func (r *row) Queue() string           { return r.queue }
func (r *row) State() string           { return r.state }
func (r *row) Sender() mail.Address    { return r.sender }
func (r *row) Recipient() mail.Address { return r.rcpt }
func (r *row) Auth() string            { return r.auth }
func (r *row) Source() string          { return r.source }
func (r *row) Submitted() time.Time    { return r.submitted }
func (r *row) Size() int64             { return r.size }
func (r *row) Attempts() int           { return r.attempts }
func (r *row) Error() string           { return r.err }
func (r *row) Subject() string         { return r.subject }

var now = time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)

// one is the subject of the tables.
func one() *row {
	return &row{
		id: 4711, module: "SMTP", queue: "example.com", state: "processing", source: "LIST",
		sender: mail.Address{Local: "Ann", Domain: "Example.NET"}, rcpt: mail.Address{Local: "bob b", Domain: "example.com"},
		auth: "ann@example.net", err: "450 4.7.1 Greylisted,\r\nÄrger", subject: "Re: Your Invoice",
		submitted: now.Add(-2 * time.Hour), size: 1 << 20, attempts: 3,
	}
}

// null is a report for one.
func null() *row {
	r := one()
	r.sender, r.auth, r.err, r.state, r.source = mail.Address{}, "", "", "ready", "DSN"
	return r
}

func compile(t testing.TB, terms selection.Terms) *selection.Selection {
	t.Helper()
	s, err := selection.Compile(terms)
	if err != nil {
		t.Fatalf("Compile(%+v) = %v", terms, err)
	}
	return s
}

func matches(t testing.TB, s *selection.Selection, r *row) bool {
	t.Helper()
	got, err := s.Matches(r, now)
	if err != nil {
		t.Fatalf("%s: Matches = %v", s, err)
	}
	return got
}

func TestTerms(t *testing.T) {
	for _, tt := range []struct {
		terms     selection.Terms
		one, null bool // whether they match
		text      string
	}{
		{selection.Terms{}, true, true, ``},
		{selection.Terms{All: true}, true, true, `true`},
		{selection.Terms{Limit: 5}, true, true, ``},
		{selection.Terms{IDs: []mail.ID{5, 4711, 5}}, true, true, `id in [5, 4711]`},
		{selection.Terms{IDs: []mail.ID{5}}, false, false, `id in [5]`},
		{selection.Terms{IDs: []mail.ID{4711}, Module: []string{"SMTP"}}, true, true, `id in [4711] && (module == "smtp")`},
		{selection.Terms{Module: []string{"smtp"}}, true, true, `module == "smtp"`},
		{selection.Terms{Module: []string{"LOCAL"}}, false, false, `module == "local"`},
		{selection.Terms{Queue: []string{"EXAMPLE.com", "other"}}, true, true, `queue in ["example.com", "other"]`},
		{selection.Terms{Queue: []string{"*.com", "~^x"}}, true, true, `(wild(queue, "*.com") || queue matches "^x")`},
		{selection.Terms{State: []string{"active"}}, true, false, `state == "processing"`},
		{selection.Terms{State: []string{"Ready", "HELD"}}, false, true, `state in ["held", "ready"]`},
		{selection.Terms{Sender: []string{"ann@example.net"}}, true, false, `sender == "ann@example.net"`},
		{selection.Terms{Sender: []string{"<ANN@example.net>"}}, true, false, `sender == "ann@example.net"`},
		{selection.Terms{Sender: []string{"<>"}}, false, true, `sender == "<>"`},
		{selection.Terms{Sender: []string{"<>", "*@example.net"}}, true, true, `(sender == "<>" || wild(sender, "*@example.net"))`},
		{selection.Terms{Sender: []string{"<a*@EXAMPLE.*>"}}, true, false, `wild(sender, "a*@example.*")`},
		{selection.Terms{Sender: []string{"~^ANN@"}}, true, false, `sender matches "^ANN@"`},
		{selection.Terms{Sender: []string{"*"}}, true, true, `wild(sender, "*")`},
		{selection.Terms{Recipient: []string{`"Bob B"@example.com`}}, true, true, `rcpt == "\"bob b\"@example.com"`},
		{selection.Terms{Recipient: []string{"bob@example.com"}}, false, false, `rcpt == "bob@example.com"`},
		{selection.Terms{SenderDomain: []string{"Example.net"}}, true, false, `sender_domain == "example.net"`},
		{selection.Terms{RecipientDomain: []string{"~com$"}}, true, true, `rcpt_domain matches "com$"`},
		{selection.Terms{Auth: []string{"*@example.net"}}, true, false, `wild(auth, "*@example.net")`},
		{selection.Terms{Source: []string{"list"}}, true, false, `source == "list"`},
		{selection.Terms{Error: []string{"GREYLIST"}}, true, false, `error contains "greylist"`},
		{selection.Terms{Error: []string{"ärger"}}, true, false, `error contains "ärger"`},
		{selection.Terms{Error: []string{"a*b"}}, false, false, `error contains "a*b"`},
		{selection.Terms{Error: []string{`~^4\d\d `, "x"}}, true, false, `(error contains "x" || error matches "^4\\d\\d ")`},
		{selection.Terms{Subject: []string{"your invoice"}}, true, true, `subject contains "your invoice"`},
		{selection.Terms{Age: []string{">2h"}}, false, false, `age > duration("2h")`},
		{selection.Terms{Age: []string{">=2h"}}, true, true, `age >= duration("2h")`},
		{selection.Terms{Age: []string{"2h..4h"}}, true, true, `age >= duration("2h") && age <= duration("4h")`},
		{selection.Terms{Age: []string{"..1d"}}, true, true, `age <= duration("24h")`},
		{selection.Terms{Age: []string{"1h59m.."}}, true, true, `age >= duration("1h59m")`},
		{selection.Terms{Age: []string{"<2h"}}, false, false, `age < duration("2h")`},
		{selection.Terms{Age: []string{">1h", "< 1w2d1.5h"}}, true, true, `age > duration("1h") && age < duration("217h30m")`},
		{selection.Terms{Size: []string{"1M.."}}, true, true, `size >= 1048576`},
		{selection.Terms{Size: []string{">1MiB"}}, false, false, `size > 1048576`},
		{selection.Terms{Size: []string{"1k..1024kb"}}, true, true, `size >= 1024 && size <= 1048576`},
		{selection.Terms{Size: []string{"<500"}}, false, false, `size < 500`},
		{selection.Terms{Where: "  state ==\n'Active' // the one\n"}, true, false, `state == "Active"`},
		{selection.Terms{Module: []string{"smtp"}, Where: "attempts > 3 || size > 3"}, true, true, `module == "smtp" && (attempts > 3 || size > 3)`},
		{selection.Terms{Where: "id in [1, 2] && (attempts == 3)"}, false, false, `id in [1, 2] && (attempts == 3)`},
		{selection.Terms{Where: "id in [1, 2] && (attempts == 4) || (attempts == 3)"}, true, true, `id in [1, 2] && (attempts == 4) || (attempts == 3)`},
		{selection.Terms{IDs: []mail.ID{4711, 12}, Where: "id in [4711, 13]"}, true, true, `id in [4711]`},
		{selection.Terms{IDs: []mail.ID{4711, 12}, Where: "id in [13]"}, false, false, `id in []`},
	} {
		t.Run(fmt.Sprintf("%+v", tt.terms), func(t *testing.T) {
			s := compile(t, tt.terms)
			if got := s.String(); got != tt.text {
				t.Errorf("String = %s, want %s", got, tt.text)
			}
			again := compile(t, selection.Terms{Where: s.String()})
			if got := again.String(); got != tt.text {
				t.Errorf("String of the selection by String = %s, want %s", got, tt.text)
			}
			for _, s := range []*selection.Selection{s, again} {
				if got := matches(t, s, one()); got != tt.one {
					t.Errorf("%s matches %+v: %v, want %v", s, one(), got, tt.one)
				}
				if got := matches(t, s, null()); got != tt.null {
					t.Errorf("%s matches %+v: %v, want %v", s, null(), got, tt.null)
				}
			}
		})
	}
}

func TestWhere(t *testing.T) {
	for _, tt := range []struct {
		where     string
		one, null bool
	}{
		{`sender == "ANN@example.NET"`, true, false},
		{`sender == "<>"`, false, true},
		{`sender_domain == ""`, false, true},
		{`sender endsWith "@EXAMPLE.net" && rcpt startsWith "\"Bob"`, true, false},
		{`wild(sender, "x", "A*@*.net")`, true, false},
		{`not wild(sender, "*")`, false, false},
		{`module in ["smtp", "LOCAL"]`, true, true},
		{`state == "active" ? attempts == 3 : false`, true, false},
		{`state not in ["Active", "held"]`, false, true},
		{`source != "dsn"`, true, false},
		{`error contains "GREYLISTED"`, true, false},
		{`error matches "greyLISTED.*ärger"`, false, false},
		{`error matches "(?s)greyLISTED.*ÄRGER"`, true, false},
		{`lower(error) contains "Greylist"`, true, false},
		{`len(error) == 0 or attempts in 2..4`, true, true},
		{`age >= duration("2h") && age.Hours() < 3`, true, true},
		{`age > duration("1w")`, false, false},
		{`submitted >= date("2026-08-01 10:00") && submitted < date("2026-08-01T12:00:01+02:00")`, true, true},
		{`submitted == date("2026-08-01T12:00:00+02:00") && submitted.Hour() == 10`, true, true},
		{`age.Minutes() == 120 && age.Seconds() == 7200 && submitted.Year() == 2026 && submitted.Day() == 1`, true, true},
		{`submitted.YearDay() == 213 && submitted.Minute() == 0 && submitted.Second() == 0 && submitted.Unix() == 1785578400`, true, true},
		{`size == bytes("1M") && size in 1..2000000`, true, true},
		{`max(attempts, 7) == 7 and min(attempts, 7) == 3 and abs(-attempts) == 3`, true, true},
		{`trim(subject) == "RE: your invoice"`, true, true},
		{`id == 4711 && size / 1024 == 1024 && attempts % 2 == 1`, true, true},
		{`auth == "" || ("Ann" + "@" + sender_domain) == auth`, true, true},
	} {
		s := compile(t, selection.Terms{Where: tt.where})
		if got := matches(t, s, one()); got != tt.one {
			t.Errorf("%s matches %+v: %v, want %v", tt.where, one(), got, tt.one)
		}
		if got := matches(t, s, null()); got != tt.null {
			t.Errorf("%s matches %+v: %v, want %v", tt.where, null(), got, tt.null)
		}
	}
}

func TestRunTimeErrorSaysWhere(t *testing.T) {
	s := compile(t, selection.Terms{Where: "size > 1 &&\nsize % (attempts - 3) == 1"})
	_, err := s.Matches(one(), now)
	want := "where: runtime error: integer divide by zero (2:6)\n | size % (attempts - 3) == 1\n | .....^"
	if e := new(*selection.Error); !errors.As(err, e) || err.Error() != want {
		t.Errorf("Matches = %v, want\n%s", err, want)
	}
	if ok, err := s.Matches(null(), now); ok || err == nil {
		t.Errorf("Matches again = %v, %v, want an error", ok, err)
	}
	other := null()
	other.attempts = 4
	if ok, err := s.Matches(other, now); ok || err != nil {
		t.Errorf("Matches after an error = %v, %v, want false", ok, err)
	}
}

func TestWhatASelectionNames(t *testing.T) {
	for _, tt := range []struct {
		terms            selection.Terms
		empty, hosts     bool
		limit            int
		ids              []mail.ID
		ready, smtp, com bool // HasState(ready), MayMatch(SMTP, example.org), MayMatch(LOCAL, example.com)
	}{
		{selection.Terms{}, true, true, 0, nil, true, true, true},
		{selection.Terms{Limit: 7}, true, true, 7, nil, true, true, true},
		{selection.Terms{All: true}, false, true, 0, nil, true, true, true},
		{selection.Terms{All: true, Module: []string{}, Age: []string{}}, false, true, 0, nil, true, true, true},
		{selection.Terms{Module: []string{"smtp"}}, false, true, 0, nil, true, true, false},
		{selection.Terms{Queue: []string{"*.COM"}}, false, true, 0, nil, true, false, true},
		{selection.Terms{State: []string{"ready"}, Limit: 1}, false, true, 1, nil, true, true, true},
		{selection.Terms{State: []string{"active"}}, false, true, 0, nil, false, true, true},
		{selection.Terms{Sender: []string{"a@b"}}, false, false, 0, nil, true, true, true},
		{selection.Terms{Module: []string{"smtp"}, Age: []string{">1h"}}, false, false, 0, nil, true, true, false},
		{selection.Terms{Where: "true"}, false, false, 0, nil, true, true, true},
		{selection.Terms{IDs: []mail.ID{9, 3, 9}}, false, false, 0, []mail.ID{3, 9}, true, true, true},
		{selection.Terms{Where: "id in [9, 3] && (true)"}, false, false, 0, []mail.ID{3, 9}, true, true, true},
		{selection.Terms{Where: "id in [9, 3] && true"}, false, false, 0, nil, true, true, true},
		{selection.Terms{Where: "id in []"}, false, false, 0, []mail.ID{}, true, true, true},
	} {
		s := compile(t, tt.terms)
		if s.Empty() != tt.empty || s.OfQueues() != tt.hosts || s.Limit() != tt.limit ||
			!slices.Equal(s.IDs(), tt.ids) || (s.IDs() == nil) != (tt.ids == nil) {
			t.Errorf("%+v: Empty %v, OfQueues %v, Limit %d, IDs %v; want %v, %v, %d, %v",
				tt.terms, s.Empty(), s.OfQueues(), s.Limit(), s.IDs(), tt.empty, tt.hosts, tt.limit, tt.ids)
		}
		ready, smtp, com := s.HasState("ready"), s.MayMatch("SMTP", "example.org"), s.MayMatch("LOCAL", "example.com")
		if ready != tt.ready || smtp != tt.smtp || com != tt.com {
			t.Errorf("%+v: HasState %v, MayMatch %v, %v; want %v, %v, %v", tt.terms, ready, smtp, com, tt.ready, tt.smtp, tt.com)
		}
	}
	if s := compile(t, selection.Terms{State: []string{"processing"}}); !s.HasState("active") {
		t.Error("processing does not allow active")
	}
}

// A selection is as long as it has to be: what String writes, Compile reads.
func TestLongSelectionsComeBack(t *testing.T) {
	ids := make([]mail.ID, 100_000)
	for i := range ids {
		ids[i] = mail.ID(2*i + 1)
	}
	terms := selection.Terms{IDs: ids, Module: []string{"smtp"}}
	for i := range 1000 {
		terms.Sender = append(terms.Sender, fmt.Sprintf("ann%d@example.com", i))
		terms.Recipient = append(terms.Recipient, fmt.Sprintf("*%d@example.com", i))
		terms.Error = append(terms.Error, fmt.Sprintf("part %d", i))
	}
	s := compile(t, terms)
	again := compile(t, selection.Terms{Where: s.String()})
	if len(again.IDs()) != len(ids) || again.String() != s.String() {
		t.Errorf("%d ids, %d bytes of text came back; want %d, %d", len(again.IDs()), len(again.String()), len(ids), len(s.String()))
	}
	r := one()
	r.sender, r.rcpt, r.err = mail.Address{Local: "ANN999", Domain: "example.com"}, mail.Address{Local: "x998", Domain: "example.com"}, "PART 997"
	for _, want := range []bool{true, false} {
		if got, got2 := matches(t, s, r), matches(t, again, r); got != want || got2 != want {
			t.Errorf("Matches = %v, by String %v; want %v", got, got2, want)
		}
		r.id++
	}
}

func TestManyMatchAtOnce(t *testing.T) {
	s := compile(t, selection.Terms{Sender: []string{"*@example.net", "~zzz"}, Where: `attempts == 3 && error contains "greylist"`})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 200 {
				r := one()
				r.attempts = (i + j) % 4
				if got, err := s.Matches(r, now); err != nil || got != (r.attempts == 3) {
					t.Errorf("%d attempts: Matches = %v, %v", r.attempts, got, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestFieldsAreTheLanguage(t *testing.T) {
	flags := []string{}
	for _, f := range append(selection.Fields(), selection.Functions()...) {
		s := compile(t, selection.Terms{Where: f.Example})
		if _, err := s.Matches(one(), now); err != nil {
			t.Errorf("%s: the example %s fails: %v", f.Name, f.Example, err)
		}
		if !strings.Contains(f.Example, f.Name) || f.Meaning == "" || f.Type == "" {
			t.Errorf("%s: meaning %q, type %q, example %q", f.Name, f.Meaning, f.Type, f.Example)
		}
		if f.Flag != "" {
			flags = append(flags, f.Flag)
		}
	}
	slices.Sort(flags)
	want := "age auth error ids-from module queue rcpt rcpt-domain sender sender-domain size source state subject"
	if got := strings.Join(flags, " "); got != want {
		t.Errorf("flags are %s, want %s", got, want)
	}
}
