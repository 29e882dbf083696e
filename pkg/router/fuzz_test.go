package router

import (
	"errors"
	"strings"
	"testing"

	"cgq/pkg/mail"
	"cgq/pkg/module"
)

// Whatever a table says and whoever is asked about, the Router comes to an end, with an
// address that can be read where it is written; and a local part in quotes comes
// out as it went in, by way of a next host, too.
func FuzzRoute(f *testing.F) {
	f.Add(Default, "root")
	f.Add("a.test = b.test\n*.test = *.x.test", "ann@q.test")
	f.Add("Relay: <*-*@a.test> = *.*@*._via\nRelayAll: * = [192.0.2.1]:25", `"a@b%c"@a.test`)
	f.Add(`<log-*> = "logger -t *"@pipe`, "log-x@main.test")
	f.Add("<*@a.test> = *@b.test\nNoRelay: <*@b.test> = *%x@a.test", "a%b!c@a.test")
	f.Add(`<"a\*\"b *"> = "x * \\"@[IPv6:::1]`, `"a*\"b c"`)
	f.Fuzz(func(t *testing.T, text, path string) {
		tab, err := Parse("router.txt", []byte(text))
		if err != nil {
			tab = newTable(nil)
		}
		a, err := mail.ParsePath(path)
		if err != nil {
			return
		}
		r := newRouter(tab)
		_ = r.Sender(t.Context(), a)
		steps, to, err := r.Trace(t.Context(), a)
		var no *module.Rejection
		switch {
		case len(steps) > maxRewrites*(tab.Len()+2):
			t.Errorf("%d steps", len(steps))
		case err != nil && !errors.As(err, &no):
			t.Errorf("%v is no Rejection", err)
		case err == nil && !to.Null() && !sound(to.Address):
			t.Errorf("%q is no address", to.Address)
		}
		if a.Local == "" || strings.Contains(a.Domain, ":") {
			return
		}
		user := mail.Address{Local: a.Local, Domain: "away.test"}
		to, err = newRouter(viaTable).Route(t.Context(), user)
		if err != nil || to.Address != user || to.Queue != "host.test" {
			t.Errorf("%s by way of a host: %v, %v", user, to, err)
		}
		if quotedAs(a.Local) != a.Local {
			here := mail.Address{Local: a.Local, Domain: "main.test"}
			if to, err := newRouter(viaTable).Route(t.Context(), here); err != nil || to.Address != here {
				t.Errorf("%s was taken apart: %v, %v", here, to, err)
			}
		}
	})
}

var viaTable, _ = Parse("router.txt", []byte("away.test = host.test._via"))
