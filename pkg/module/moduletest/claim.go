package moduletest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"cgq/pkg/mail"
	"cgq/pkg/module"
)

func checkClaim(t testing.TB, f Fixture) {
	ctx := context.Background()
	first := make([]module.Route, len(f.Good))
	for i, a := range f.Good {
		r, err := f.Module.Claim(ctx, a, f.Final)
		if err != nil {
			t.Fatalf("Claim(%s, %v) = %v; want a route", a, f.Final, err)
		}
		first[i] = r
		if r.Address.IsZero() {
			t.Errorf("Claim(%s).Address is the null return path", a)
		}
		if why := unsound(r.Queue); why != "" {
			t.Errorf("Claim(%s).Queue = %q: %s", a, r.Queue, why)
		}
		if r.Queue != first[0].Queue {
			t.Errorf("Claim(%s).Queue = %q, of %s %q; want one queue", a, r.Queue, f.Good[0], first[0].Queue)
		}
		if f.Final {
			if _, err := f.Module.Claim(ctx, a, false); !errors.Is(err, module.ErrNotMine) {
				t.Errorf("Claim(%s, false) = %v; want ErrNotMine: it claims in the final pass", a, err)
			}
		}
		// RFC 5321 §2.4: domains are not case sensitive.
		upper := mail.Address{Local: a.Local, Domain: strings.ToUpper(a.Domain)}
		if r, err := f.Module.Claim(ctx, upper, f.Final); err != nil || r.Queue != first[i].Queue {
			t.Errorf("Claim(%s) = %q, %v; want the queue of %s: %q", upper, r.Queue, err, a, first[i].Queue)
		}
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				for i, a := range f.Good {
					if r, err := f.Module.Claim(ctx, a, f.Final); err != nil || r != first[i] {
						t.Errorf("Claim(%s) = %v, %v; was %v", a, r, err, first[i])
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

func checkForeign(t testing.TB, f Fixture) {
	if f.Foreign.IsZero() {
		t.Skip("the module takes every address")
	}
	for _, final := range []bool{false, true} {
		if r, err := f.Module.Claim(context.Background(), f.Foreign, final); !errors.Is(err, module.ErrNotMine) {
			t.Errorf("Claim(%s, %v) = %v, %v; want ErrNotMine", f.Foreign, final, r, err)
		}
	}
}

// hostileLocals are local parts without quotes, as Address has them.
var hostileLocals = []string{
	strings.Repeat("x", mail.MaxLocal), strings.Repeat("é", mail.MaxLocal/2), "", ".", "..",
	"../../etc/passwd", "/etc/passwd", "a b", "a@b", `a\b`, `"`, `a"b`, "a..b", "-rf", "a%b", "a!b", "a:b", "a/b",
	"*", "$HOME", "; rm", "ann+", "+ann", "юзер", "\U0001f4e7",
}

var hostileDomains = []string{
	"", "[192.0.2.1]", "[IPv6:2001:db8::1]", "[IPv6:::]", "[x]", "пример.рф", "xn--e1afmkfd.xn--p1ai",
	"localhost", "a_b.example",
	strings.Repeat("a.", 126) + "abc", strings.Repeat("d", 63) + ".example", "127.0.0.1", "null", "ERROR",
}

// hostile are addresses that ParseAddress lets through and a module trips over.
func hostile(good mail.Address) []mail.Address {
	var all []mail.Address
	for _, local := range hostileLocals {
		all = append(all, mail.Address{Local: local, Domain: good.Domain})
		if local != "" { // the null return path is nobody's recipient
			all = append(all, mail.Address{Local: local})
		}
	}
	for _, domain := range hostileDomains {
		all = append(all, mail.Address{Local: good.Local, Domain: domain}, mail.Address{Local: "a b", Domain: domain})
	}
	return all
}

func checkHostile(t testing.TB, f Fixture) {
	for _, a := range hostile(f.Good[0]) {
		for _, final := range []bool{false, true} {
			checkAnswer(t, f, a, final)
		}
	}
}

// checkAnswer checks that the answer is one of the three that are no fault of ours:
// an address that fails for a reason of its own would be tried again for ever.
func checkAnswer(t testing.TB, f Fixture, a mail.Address, final bool) {
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("Claim(%q, %v) panics: %v", a, final, p)
		}
	}()
	r, err := f.Module.Claim(context.Background(), a, final)
	var rejection *module.Rejection
	switch {
	case err == nil:
		if why := unsound(r.Queue); why != "" {
			t.Errorf("Claim(%q, %v).Queue = %q: %s", a, final, r.Queue, why)
		}
	case errors.Is(err, module.ErrNotMine):
	case errors.As(err, &rejection):
		if c := rejection.Result.Status[0]; c != 4 && c != 5 {
			t.Errorf("Claim(%q, %v) rejects with status %s; want class 4 or 5", a, final, rejection.Result.Status)
		}
		if why := unsound(rejection.Result.Text); why != "" {
			t.Errorf("Claim(%q, %v) rejects with %q: %s", a, final, rejection.Result.Text, why)
		}
	default:
		t.Errorf("Claim(%q, %v) = %v; want a route, ErrNotMine or a *Rejection", a, final, err)
	}
}
