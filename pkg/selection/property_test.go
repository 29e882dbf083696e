package selection_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"cgq/pkg/mail"
	"cgq/pkg/selection"
)

// Few words, so that subjects and selections often meet.
var (
	locals   = rapid.SampledFrom([]string{"", "ann", "Ann", "bob", "b*b", "ü", "Ü", "a b", `q"q`, "\u212a", "k", "İ", "x\xffy"})
	domains  = rapid.SampledFrom([]string{"", "example.com", "Example.COM", "example.net", "bücher.example", "BÜCHER.example", "[127.0.0.1]"})
	modules  = rapid.SampledFrom([]string{"SMTP", "LOCAL"})
	sources  = rapid.SampledFrom([]string{"SMTP", "DSN", "LIST"})
	texts    = rapid.SampledFrom([]string{"", "450 Greylisted", "greylisted\r\nagain", "ÄRGER", "ärger", "a\xffb", "\ufffd", "\\ \"quoted\"", strings.Repeat("x", 300) + "Z"})
	patterns = rapid.SampledFrom([]string{"~^a", "~B", "~.", `~\bgrey`, "~(?s)grey.*again", "~[A-Z]", "~ü|k", `~\\`, "~(?-i)A"})
	wilds    = rapid.SampledFrom([]string{"*", "a*", "*@example.com", "*N*@*.COM", "**b", "*ü*", "x*x", "*.*", "b*b*b"})
)

func address(t *rapid.T, name string) mail.Address {
	return mail.Address{Local: locals.Draw(t, name+" local"), Domain: domains.Draw(t, name+" domain")}
}

func subject(t *rapid.T) *row {
	return &row{
		id:     mail.ID(rapid.IntRange(1, 5).Draw(t, "id")),
		module: modules.Draw(t, "module"), queue: domains.Draw(t, "queue"),
		state: rapid.SampledFrom(selection.States()).Draw(t, "state"), source: sources.Draw(t, "source"),
		sender: address(t, "sender"), rcpt: address(t, "rcpt"), auth: locals.Draw(t, "auth"),
		err: texts.Draw(t, "error"), subject: texts.Draw(t, "subject"),
		submitted: now.Add(-time.Duration(rapid.IntRange(-1, 5).Draw(t, "age")) * time.Hour),
		size:      int64(rapid.IntRange(0, 5).Draw(t, "size")) << 10, attempts: rapid.IntRange(0, 2).Draw(t, "attempts"),
	}
}

var (
	addresses = rapid.Custom(func(t *rapid.T) string {
		for {
			if a := address(t, "value"); a.IsZero() || a.Local != "" {
				if _, err := mail.ParsePath(a.String()); err == nil {
					return a.String()
				}
			}
		}
	})
	names      = rapid.OneOf(locals, domains).Filter(plain)
	parts      = rapid.SampledFrom([]string{"grey", "GREY", "\r\n", "ä", "Ä", "\ufffd", `\`, `"`, "z", "*"})
	conditions = rapid.Custom(func(t *rapid.T) string {
		n := rapid.IntRange(0, 5).Draw(t, "n")
		form := rapid.SampledFrom([]string{">%dU", ">=%dU", "<%dU", "<= %dU", "%dU..", "..%dU", "%dU..9U"}).Draw(t, "form")
		return fmt.Sprintf(form, n)
	})
	where = rapid.SampledFrom([]string{"", "true", "attempts > 0", "attempts == 1 || size > 2000", "attempts > 0 // some",
		"error contains 'GREY'\n", "id in [1, 2]", "id in [2, 3, 4] && (attempts < 2)", "id in [1] && (attempts < 2) || (true)",
		`wild(rcpt, "*@example.*")`, "sender == '<>' and not (error matches `x$`)"})
)

func plain(s string) bool {
	return s != "" && utf8.ValidString(s) && !strings.Contains(s, "@") && !strings.HasPrefix(s, "~")
}

// list draws values, none of them more often than not.
func list(t *rapid.T, name string, g ...*rapid.Generator[string]) []string {
	if rapid.IntRange(0, 3).Draw(t, name+" set") > 0 {
		return nil
	}
	return rapid.SliceOfN(rapid.OneOf(g...), 1, 3).Draw(t, name)
}

func terms(t *rapid.T) selection.Terms {
	unit := func(list []string, unit string) []string {
		for i := range list {
			list[i] = strings.ReplaceAll(list[i], "U", unit)
		}
		return list
	}
	var ids []mail.ID
	if rapid.IntRange(0, 3).Draw(t, "ids set") == 0 {
		ids = rapid.SliceOfN(rapid.Map(rapid.IntRange(1, 5), func(i int) mail.ID { return mail.ID(i) }), 1, 4).Draw(t, "ids")
	}
	return selection.Terms{
		IDs: ids, Module: list(t, "module", modules), State: list(t, "state", rapid.SampledFrom(append(selection.States(), "active", "Ready"))),
		Queue: list(t, "queue", names, wilds, patterns), Source: list(t, "source", sources),
		Sender: list(t, "sender", addresses, wilds, patterns), Recipient: list(t, "rcpt", addresses, wilds, patterns),
		SenderDomain: list(t, "sender domain", names, wilds, patterns), RecipientDomain: list(t, "rcpt domain", names, wilds, patterns),
		Auth: list(t, "auth", names, wilds, patterns), Error: list(t, "error", parts, patterns), Subject: list(t, "subject", parts, patterns),
		Age: unit(list(t, "age", conditions), "h"), Size: unit(list(t, "size", conditions), "k"),
		Where: where.Draw(t, "where"),
	}
}

// try compiles terms; those that can never hold are not tried further.
func try(t *rapid.T, terms selection.Terms) *selection.Selection {
	s, err := selection.Compile(terms)
	if e := new(*selection.Error); errors.As(err, e) && (*e).Why == "nothing can be both" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatalf("Compile(%+v) = %v", terms, err)
	}
	return s
}

func holds(t *rapid.T, s *selection.Selection, r *row) bool {
	ok, err := s.Matches(r, now)
	if err != nil {
		t.Fatalf("%s: Matches(%+v) = %v", s, r, err)
	}
	return ok
}

func TestStringSelectsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := try(t, terms(t))
		again := try(t, selection.Terms{Where: s.String()})
		if again.String() != s.String() {
			t.Fatalf("String of the selection by String = %s, want %s", again, s)
		}
		for range 10 {
			r := subject(t)
			if got, want := holds(t, again, r), holds(t, s, r); got != want {
				t.Fatalf("%s\nmatches %+v: %v by the expression, %v by the terms", s, r, got, want)
			}
		}
	})
}

// Each term alone; all of them together; and each value alone.
func TestTermsAreAndValuesAreOr(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all, r := terms(t), subject(t)
		got := holds(t, try(t, all), r)
		want := holds(t, try(t, selection.Terms{IDs: all.IDs}), r) && holds(t, try(t, selection.Terms{Where: all.Where}), r)
		for _, age := range all.Age {
			want = want && holds(t, try(t, selection.Terms{Age: []string{age}}), r)
		}
		for _, size := range all.Size {
			want = want && holds(t, try(t, selection.Terms{Size: []string{size}}), r)
		}
		for _, get := range []func(*selection.Terms) *[]string{
			func(t *selection.Terms) *[]string { return &t.Module }, func(t *selection.Terms) *[]string { return &t.Queue },
			func(t *selection.Terms) *[]string { return &t.State }, func(t *selection.Terms) *[]string { return &t.Source },
			func(t *selection.Terms) *[]string { return &t.Sender }, func(t *selection.Terms) *[]string { return &t.Recipient },
			func(t *selection.Terms) *[]string { return &t.SenderDomain }, func(t *selection.Terms) *[]string { return &t.RecipientDomain },
			func(t *selection.Terms) *[]string { return &t.Auth }, func(t *selection.Terms) *[]string { return &t.Error },
			func(t *selection.Terms) *[]string { return &t.Subject },
		} {
			values := *get(&all)
			want = want && (values == nil || slices.ContainsFunc(values, func(v string) bool {
				var one selection.Terms
				*get(&one) = []string{v}
				return holds(t, try(t, one), r)
			}))
		}
		if got != want {
			t.Fatalf("%+v\nmatches %+v: %v, and its terms one by one %v", all, r, got, want)
		}
	})
}

func TestMayMatchPassesNothingOver(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := try(t, terms(t))
		for range 10 {
			r := subject(t)
			if holds(t, s, r) && (!s.MayMatch(r.module, r.queue) || !s.HasState(r.state)) {
				t.Fatalf("%s matches %+v, but MayMatch is %v, HasState %v", s, r, s.MayMatch(r.module, r.queue), s.HasState(r.state))
			}
		}
	})
}

// wildBySteps is what wild means, without thinking of speed.
func wildBySteps(pattern, text string) bool {
	if pattern == "" {
		return text == ""
	}
	if pattern[0] == '*' {
		return wildBySteps(pattern[1:], text) || text != "" && wildBySteps(pattern, text[1:])
	}
	return text != "" && text[0] == pattern[0] && wildBySteps(pattern[1:], text[1:])
}

func TestWildcards(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringMatching(`[ab*]{1,8}`).Filter(func(s string) bool { return strings.Contains(s, "*") }).Draw(t, "pattern")
		text := rapid.StringMatching(`[ab]{0,8}`).Draw(t, "text")
		s := try(t, selection.Terms{Queue: []string{pattern}})
		if got, want := holds(t, s, &row{queue: text}), wildBySteps(pattern, text); got != want {
			t.Fatalf("%s matches %q: %v, want %v", pattern, text, got, want)
		}
	})
}

func FuzzCompile(f *testing.F) {
	for _, fd := range append(selection.Fields(), selection.Functions()...) {
		f.Add("", fd.Example)
	}
	for _, seed := range []string{"~a(", "*@x", "<>", ">2h", "1M..2M", "a\x1b[2J", "\xff", "99999999999999999999w..", "id in [1, 2] && (", "((((",
		"!!!!!true", "`a``b` == error", "b\"x\" == 1", "error == \"\\xff\\u{1F600}\\0\"", "true // x\n", "1 .. 2", "not  in", "a?.b", "{a:1}.a", "[1][0]",
		"error |lower() == ''", "if true {false} else {true}", "#.x", "size ?? 1", "size ** 99 > 1e999", "-9223372036854775808 == size"} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, value, where string) {
		each := []selection.Terms{{Where: where}, {Sender: []string{value}}, {SenderDomain: []string{value}}, {Queue: []string{value}}, {State: []string{value}},
			{Error: []string{value}}, {Age: []string{value}}, {Size: []string{value}}, {Auth: []string{value}, Where: where}}
		for _, terms := range each {
			s, err := selection.Compile(terms)
			if err != nil {
				if !printable(err) {
					t.Errorf("Compile(%+v) = %q, not printable", terms, err)
				}
				continue
			}
			text := s.String()
			again, err := selection.Compile(selection.Terms{Where: text})
			if err != nil {
				t.Fatalf("Compile(%+v) gives %s: %v", terms, text, err)
			}
			if strings.ContainsAny(text, "\n\r\x1b") || again.String() != text {
				t.Errorf("Compile(%+v) gives %q, and again %q", terms, text, again)
			}
			for _, r := range []*row{one(), null(), {}} {
				a, err1 := s.Matches(r, now)
				b, err2 := again.Matches(r, now)
				if a != b || (err1 == nil) != (err2 == nil) || err1 != nil && !printable(err1) {
					t.Errorf("%s: %v, %v and %v, %v for %+v", text, a, err1, b, err2, r)
				}
			}
		}
	})
}
