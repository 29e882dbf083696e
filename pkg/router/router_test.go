package router

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/serverlog"
)

// A claimer claims domains: its own at once, everything else at last when it is
// greedy. It is asked and never works.
type claimer struct {
	name, own string
	greedy    bool
	err       error // the answer for its own
	asked     *[]string
}

func (c claimer) Name() string { return c.name }

func (c claimer) Claim(_ context.Context, a mail.Address, final bool) (module.Route, error) {
	pass := map[bool]string{false: "first", true: "final"}[final]
	*c.asked = append(*c.asked, c.name+" "+pass)
	switch {
	case a.Domain == c.own && c.err != nil:
		return module.Route{}, c.err
	case a.Domain == c.own:
		return module.Route{Queue: a.Local, Address: a}, nil
	case final && c.greedy:
		return module.Route{Queue: a.Domain, Address: a, Relay: true}, nil
	}
	return module.Route{}, module.ErrNotMine
}

func (c claimer) Transfer(context.Context, module.Queue) {}

func address(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func table(t testing.TB, text string) *Table {
	t.Helper()
	tab, err := Parse("router.txt", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func TestRoute(t *testing.T) {
	var asked []string
	local := claimer{name: "LOCAL", own: "main.example", asked: &asked}
	pipe := claimer{name: "PIPE", own: "pipe", err: module.Reject(5, 1, 1, "no such program"), asked: &asked}
	broken := claimer{name: "LIST", own: "list.example", err: errors.New("no disk"), asked: &asked}
	smtp := claimer{name: "SMTP", greedy: true, asked: &asked}
	both := "SMTP first, LOCAL first, PIPE first, LIST first"
	for _, tt := range []struct {
		address, want string // the route, or the error
		asked         string
	}{
		{"ann@main.example", "LOCAL(ann)ann@main.example", "SMTP first, LOCAL first"},
		{"ann", "LOCAL(ann)ann@main.example", "SMTP first, LOCAL first"},
		{`"a b"`, `LOCAL(a b)"a b"@main.example`, "SMTP first, LOCAL first"},
		{"ann@example.com", "SMTP(example.com)ann@example.com", both + ", SMTP final"},
		{"date@pipe", "5.7.1 no record of the Router table leads to this program", ""},
		{"date@PIPE", "5.7.1 no record of the Router table leads to this program", ""},
		{"today@main.example", "5.1.1 no such program", "SMTP first, LOCAL first, PIPE first"},
		{"x@list.example", "route <x@list.example>: LIST: no disk", both},
		{"NULL", "SYSTEM(NULL)NULL", ""},
		{"null", "SYSTEM(NULL)null", ""},
		{"ann@Null", "SYSTEM(NULL)ann@Null", ""},
		{"null@main.example", "LOCAL(null)null@main.example", "SMTP first, LOCAL first"},
		{"ERROR", "5.1.1 the address is routed to ERROR", ""},
		{"ann@error", "5.1.1 the address is routed to ERROR", ""},
	} {
		t.Run(tt.address, func(t *testing.T) {
			asked = nil
			r := New(func() string { return "main.example" }, nil, smtp, local, pipe, broken)
			r.Use(table(t, "<today> = date@pipe"))
			got, err := r.Route(t.Context(), address(t, tt.address))
			text := got.String()
			if err != nil {
				text = err.Error()
				if got != (Route{}) {
					t.Errorf("Route = %v beside an error", got)
				}
			}
			if text != tt.want {
				t.Errorf("Route(%s) = %s, want %s", tt.address, text, tt.want)
			}
			if a := strings.Join(asked, ", "); a != tt.asked {
				t.Errorf("asked: %s; want %s", a, tt.asked)
			}
			if null := got.Null(); null != strings.HasPrefix(tt.want, "SYSTEM(NULL)") {
				t.Errorf("%v.Null() = %v", got, null)
			}
			if relay := strings.HasPrefix(tt.want, "SMTP("); got.Relay != relay {
				t.Errorf("Relay = %v, want %v", got.Relay, relay)
			}
		})
	}
}

func TestRefusalsAreRejectionsAndFaultsAreNot(t *testing.T) {
	var asked []string
	fault := errors.New("no disk")
	closed := claimer{own: "m", err: module.Reject(4, 2, 1, "closed"), asked: &asked}
	for _, tt := range []struct {
		name, address string
		main          string
		mods          []module.Module
		want          mail.Status // zero: a fault
	}{
		{"nobody", "ann@example.com", "m", nil, mail.Status{5, 1, 2}},
		{"no main domain", "ann", "", []module.Module{claimer{own: "m", asked: &asked}}, mail.Status{5, 1, 2}},
		{"null return path", "", "m", nil, mail.Status{5, 1, 3}},
		{"ERROR", "error", "m", nil, mail.Status{5, 1, 1}},
		{"temporary", "ann@m", "m", []module.Module{closed}, mail.Status{4, 2, 1}},
		{"fault", "ann@m", "m", []module.Module{claimer{own: "m", err: fault, asked: &asked}}, mail.Status{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var a mail.Address
			if tt.address != "" {
				a = address(t, tt.address)
			}
			_, err := New(func() string { return tt.main }, nil, tt.mods...).Route(t.Context(), a)
			var r *module.Rejection
			switch {
			case tt.want == mail.Status{}:
				if errors.As(err, &r) || !errors.Is(err, fault) {
					t.Errorf("Route = %v; want the fault, wrapped", err)
				}
			case !errors.As(err, &r) || r.Result.Status != tt.want:
				t.Errorf("Route = %v; want a Rejection with %s", err, tt.want)
			}
		})
	}
}

func TestRewritingEnds(t *testing.T) {
	var asked []string
	r := New(func() string { return "m" }, nil, claimer{name: "LOCAL", own: "c", asked: &asked})
	r.Use(table(t, "a = b\nb = a\nold = c\ngone = NULL\n"))
	for _, tt := range []struct{ address, want string }{
		{"x@old", "LOCAL(x)x@c"},
		{"x@gone", "SYSTEM(NULL)x@NULL"},
		{"x@a", "5.4.6 the address is rewritten in a circle"},
	} {
		got, err := r.Route(t.Context(), address(t, tt.address))
		text := got.String()
		if err != nil {
			text = err.Error()
		}
		if text != tt.want {
			t.Errorf("Route(%s) = %s, want %s", tt.address, text, tt.want)
		}
	}
}

func TestLog(t *testing.T) {
	var asked []string
	var b bytes.Buffer
	timeless := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	log := slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: serverlog.All, ReplaceAttr: timeless}))
	r := New(func() string { return "m" }, log, claimer{name: "LOCAL", own: "m", asked: &asked})
	for _, s := range []string{"ann@m", "ann@example.com"} {
		_, _ = r.Route(t.Context(), address(t, s))
	}
	want := "level=DEBUG msg=\"LOCAL: '<ann@m>' accepted\"\n" +
		"level=DEBUG msg=\"'<ann@example.com>' refused: 5.1.2 no module takes this address\"\n"
	if b.String() != want {
		t.Errorf("log: %s; want %s", b.String(), want)
	}
}
