package router

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/tools/txtar"

	"cgq/pkg/mail"
	"cgq/pkg/module"
)

var update = flag.Bool("update", false, "write what is expected")

// A plug is a module that claims as the real ones do.
type plug struct {
	name  string
	claim func(a mail.Address, final bool) (module.Route, bool)
}

func (p plug) Name() string { return p.name }

func (p plug) Claim(_ context.Context, a mail.Address, final bool) (module.Route, error) {
	if to, ok := p.claim(a, final); ok {
		return to, nil
	}
	return module.Route{}, module.ErrNotMine
}

func (plug) Transfer(context.Context, module.Queue) {}

func isLocal(domain string) bool { return domain == "main.test" || domain == "second.test" }

var plugs = []module.Module{
	plug{"LOCAL", func(a mail.Address, _ bool) (module.Route, bool) {
		name, ok := strings.CutSuffix(strings.ToLower(a.Domain), ".local")
		if ok {
			return module.Route{Queue: name + "@main.test", Address: a}, true
		}
		return module.Route{Queue: strings.ToLower(a.String()), Address: a}, isLocal(a.Domain)
	}},
	plug{"PIPE", func(a mail.Address, _ bool) (module.Route, bool) {
		return module.Route{Queue: "prog", Address: a, Relay: true}, strings.EqualFold(a.Domain, "pipe")
	}},
	plug{"SMTP", func(a mail.Address, final bool) (module.Route, bool) {
		if hop, ok := mail.ParseHop(a.Domain); ok {
			a.Domain = strings.TrimSuffix(strings.ToLower(a.Domain), "._via")
			if i := strings.LastIndexByte(a.Local, '%'); i >= 0 {
				a = mail.Address{Local: a.Local[:i], Domain: a.Local[i+1:]}
			}
			return module.Route{Queue: hop.String(), Address: a, Relay: true}, true
		}
		return module.Route{Queue: strings.ToLower(a.Domain), Address: a, Relay: true}, final
	}},
}

func newRouter(t *Table) *Router {
	r := New(func() string { return "main.test" }, nil, plugs...)
	r.SetLocal(isLocal)
	r.Use(t)
	return r
}

// Each file in testdata is a table and what becomes of addresses: those to ask about
// begin with ?, those to ask about as return paths with "from".
func TestTables(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			ar := txtar.Parse(text)
			if len(ar.Files) != 2 || ar.Files[0].Name != "router.txt" || ar.Files[1].Name != "trace" {
				t.Fatal("want router.txt and trace")
			}
			r := newRouter(table(t, string(ar.Files[0].Data)))
			want := string(ar.Files[1].Data)
			got := traces(t, r, want)
			if *update {
				ar.Files[1].Data = []byte(got)
				if err := os.WriteFile(name, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// traces answers the questions in a text, anew.
func traces(t *testing.T, r *Router, text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if from, ok := strings.CutPrefix(line, "from "); ok {
			from, _, _ = strings.Cut(from, ": ")
			a, err := mail.ParsePath(from)
			if err != nil {
				t.Fatal(err)
			}
			verdict := "welcome"
			if err := r.Sender(t.Context(), a); err != nil {
				verdict = err.Error()
			}
			b.WriteString("from " + from + ": " + verdict + "\n")
		}
		q, ok := strings.CutPrefix(line, "? ")
		if !ok {
			continue
		}
		a, err := mail.ParsePath(q)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString("? " + q + "\n")
		steps, to, err := r.Trace(t.Context(), a)
		for n, s := range steps {
			if n == 5 && len(steps) > 10 {
				b.WriteString("  …\n")
				break
			}
			b.WriteString("  " + s.String() + "\n")
		}
		routed, again := r.Route(t.Context(), a)
		if routed != to || (err == nil) != (again == nil) {
			t.Errorf("%s: Trace %v, %v; Route %v, %v", q, to, err, routed, again)
		}
		switch {
		case err != nil:
			b.WriteString("  " + err.Error() + "\n")
		case to.Relay:
			b.WriteString("  " + to.String() + ", clients only\n")
		default:
			b.WriteString("  " + to.String() + "\n")
		}
	}
	return b.String()
}

func TestEveryProblemIsNamed(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"a.test", "no ="},
		{"<a@a.test = b", "no > after"},
		{"<a@a.test> b", "no = after"},
		{"= b.test", "nothing left"},
		{"<> = b", "nothing left"},
		{"a.test =", "nothing right"},
		{"a.test = ; b.test", "nothing right"},
		{"Rely: a.test = b.test", `no prefix "Rely:"`},
		{"a.test:25 = b.test", `no prefix "a.test:"`},
		{"a@a.test = b.test", "stands in <>"},
		{"<a@> = b", "no domain after @"},
		{"<a> = b@", "no domain after @"},
		{"<a> = <b@b.test>", "no <>"},
		{"<a> = host.test._via", "write user@host.test._via"},
		{"<a> = [192.0.2.1]", "write user@[192.0.2.1]"},
		{"<a b@a.test> = b", `stands in quotes: write "a b"`},
		{"<a@b@a.test> = b", "stands in quotes"},
		{"<a> = prog -x@pipe", `write "prog -x"`},
		{"a.test = pipe", "which program"},
		{"*.test = PIPE", "which program"},
		{"<*@a.test> = *@pipe", "the name of the program has no *"},
		{`<*-*@a.test> = "p* *"@pipe`, "the name of the program has no *"},
		{`<*@a.test> = "[RCPT] \"a *\" x"@pipe`, "the name of the program has no *"},
		{`<*@a.test> = "[*] p"@pipe`, "no flag [*]"},
		{`<a> = "p [rcpt]"@pipe`, "stands in front of the program"},
		{`<a> = "[FILE]"@pipe`, "no program"},
		{`<a> = "p \"x"@pipe`, "quote is not closed"},
		{`<"a@a.test> = b`, "no > after"},
		{`<a> = "b@pipe`, "no closing quote"},
		{`<a> = "b\`, "a \\ at the end"},
		{`<"a"a.test> = b`, "no @ after the quotes"},
		{"a..test = b.test", "not a name of a domain"},
		{"a.test = b test", "not a name of a domain"},
		{"a.test = -b.test", "not a name of a domain"},
		{"a.test = ._via", "names no host"},
		{"a.test = b:0", "names no host"},
		{"a.test = b:99999", "names no host"},
		{"a.test = почта.рф._via", "in ASCII"},
		{"a.test = [x]", "names no host"},
		{"a.test = [IPv6:192.0.2.1]", "names no host"},
		{"*.a.test = *.*.test", "2 * right of the =, and 1 left"},
		{"<a> = *@b.test", "1 * right of the =, and 0 left"},
		{"NULL = b.test", "the Router's own"},
		{"<a@error> = b", "the Router's own"},
		{"<spamtrap> = b", "the Router's own"},
		{"*.пример.рф = b.test", "xn--"},
		{"a\u200db.test = b.test", "xn--"},
		{"<" + strings.Repeat("a", 65) + "> = b", "65 bytes"},
		{"a.test = \xff", "not UTF-8"},
		{"a.test = b\x01.test", "control character"},
	} {
		tab, err := Parse("Settings/router.txt", []byte("; fine\nfine.test = a.test\r\n\n"+tt.line+"\n"))
		if err == nil {
			t.Errorf("%q was taken: %+v", tt.line, tab)
			continue
		}
		if text := err.Error(); !strings.HasPrefix(text, "Settings/router.txt:4: ") || !strings.Contains(text, tt.want) || strings.Contains(text, "\n") {
			t.Errorf("%q: %s; want line 4, %s", tt.line, text, tt.want)
		}
	}
	_, err := Parse("r", []byte("x\nfine.test = a.test\ny\n"))
	if err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("two bad lines: %v", err)
	}
}

func TestTheDefaultTable(t *testing.T) {
	r := newRouter(table(t, Default))
	for in, want := range map[string]string{
		"root": "LOCAL(postmaster@main.test)postmaster@main.test", "Mailer-Daemon@MAIN.test": "LOCAL(postmaster@main.test)postmaster@main.test",
		"root@second.test": "LOCAL(root@second.test)root@second.test", "ann@a.test": "SMTP(a.test)ann@a.test",
	} {
		if to, err := r.Route(t.Context(), address(t, in)); err != nil || to.String() != want {
			t.Errorf("Route(%s) = %v, %v; want %s", in, to, err, want)
		}
	}
}

func TestASpamTrapLooksLikeNobody(t *testing.T) {
	_, err := newRouter(table(t, "<bait> = SPAMTRAP")).Route(t.Context(), address(t, "bait@main.test"))
	var no *module.Rejection
	if !errors.As(err, &no) || !errors.Is(err, ErrSpamTrap) || no.Error() != "5.1.1 account unknown" || err.Error() != no.Error() {
		t.Errorf("Route = %v; want 5.1.1 account unknown that is ErrSpamTrap", err)
	}
}

func TestUseWhileRouting(t *testing.T) {
	one, two := table(t, "old.test = one.test\none.test = end.test"), table(t, "old.test = two.test\n")
	r := newRouter(one)
	var work sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		work.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				to, err := r.Route(t.Context(), mail.Address{Local: "a", Domain: "old.test"})
				if err != nil || to.Queue != "end.test" && to.Queue != "two.test" {
					t.Errorf("Route = %v, %v: of neither table", to, err)
					return
				}
			}
		})
	}
	for range 1000 {
		r.Use(two)
		r.Use(one)
	}
	close(stop)
	work.Wait()
}
