package router

import (
	"fmt"
	"strings"
	"testing"

	"cgq/pkg/mail"
)

// BenchmarkRoute100000 routes addresses through a table of 100,000 records: domains,
// accounts, wildcard accounts and wildcard domains, 25,000 each, and some odd ones.
func BenchmarkRoute100000(b *testing.B) {
	var text strings.Builder
	for i := range 25_000 {
		fmt.Fprintf(&text, "d%d.test = new%d.test\n<user%d@accounts.test> = other%d@away.test\n", i, i, i, i)
		fmt.Fprintf(&text, "<*@any%d.test> = *@away.test\n*.wild%d.test = away.test._via\n", i, i)
	}
	text.WriteString("mail*.odd.test = away.test\n<postmaster@*> = postmaster\n")
	r := newRouter(table(b, text.String()))
	for _, bb := range []struct{ name, local, domain string }{
		{"domain", "ann", "d%d.test"},
		{"account", "user%d", "accounts.test"},
		{"any", "ann", "any%d.test"},
		{"wild", "ann", "a.b.wild%d.test"},
		{"none", "ann", "nobody%d.example"},
		{"local", "ann", "main.test"},
	} {
		addresses := make([]mail.Address, 25_000)
		fill := func(s string, i int) string { return strings.ReplaceAll(s, "%d", fmt.Sprint(i)) }
		for i := range addresses {
			addresses[i] = mail.Address{Local: fill(bb.local, i), Domain: fill(bb.domain, i)}
		}
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if _, err := r.Route(b.Context(), addresses[n%len(addresses)]); err != nil {
					b.Fatal(err)
				}
				n++
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "addresses/s")
		})
	}
}
