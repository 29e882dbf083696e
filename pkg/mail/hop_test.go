package mail_test

import (
	"testing"

	"cgq/pkg/mail"
)

func TestParseHop(t *testing.T) {
	for _, tt := range []struct{ domain, want string }{ // empty: none
		{"host.example._via", "host.example"},
		{"Host.Example._VIA", "host.example"},
		{"host.example.25._via", "host.example:25"},
		{"host.example:25", "host.example:25"},
		{"host.example:25._via", "host.example:25"},
		{"backend:2525", "backend:2525"},
		{"[192.0.2.1]", "[192.0.2.1]"},
		{"[192.0.2.1]:2525", "[192.0.2.1]:2525"},
		{"[192.0.2.1]._via", "[192.0.2.1]"},
		{"[192.0.2.1].25._via", "[192.0.2.1]:25"},
		{"192.0.2.1._via", "[192.0.2.1]"},
		{"192.0.2.1.25._via", "[192.0.2.1]:25"},
		{"[IPv6:2001:db8::1]", "[ipv6:2001:db8::1]"},
		{"[IPv6:2001:db8::1]:25", "[ipv6:2001:db8::1]:25"},
		{"host.example", ""},
		{"._via", ""},
		{"_via", ""},
		{"25._via", ""},
		{"a..b._via", ""},
		{"host:", ""},
		{"host:0", ""},
		{"host:65536", ""},
		{"host:+25", ""},
		{"host:smtp", ""},
		{"host.0._via", ""},
		{"[x]", ""},
		{"[192.0.2.1]x", ""},
		{"[2001:db8::1]", ""},
		{"2001:db8::1", ""},
		{"", ""},
	} {
		h, ok := mail.ParseHop(tt.domain)
		if got := h.String(); ok != (tt.want != "") || ok && got != tt.want {
			t.Errorf("ParseHop(%q) = %q, %v; want %q", tt.domain, got, ok, tt.want)
		}
		if again, _ := mail.ParseHop(h.String()); ok && h.Port > 0 && again != h {
			t.Errorf("ParseHop(%q) = %+v, of its text %+v", tt.domain, h, again)
		}
	}
}
