package header_test

import (
	"strings"
	"testing"

	"cgq/pkg/header"
)

func TestAddresses(t *testing.T) {
	for _, tt := range []struct{ list, want string }{
		{"", ""},
		{"ann@example.com", "|ann@example.com"},
		{"root", "|root"},
		{"Ann <ann@example.com>, bob@example.com (Bob)", "Ann|ann@example.com Bob|bob@example.com"},
		{`"Ann, the (first)" <ann@example.com>`, "Ann, the (first)|ann@example.com"},
		{"friends: ann@example.com, bob@example.com;, carol@example.com", "|ann@example.com |bob@example.com |carol@example.com"},
		{"undisclosed-recipients:;", ""},
		{"<@a.example,@b.example:ann@example.com>", "|ann@example.com"},
		{`"a b"@example.com`, `|"a b"@example.com`},
		{"ann @ example . com", "|ann@example.com"},
		{"Ann Example", "|Ann\u00a0Example"}, // not the address of anybody
		{"ann(a \\) comment)@example.com", "a ) comment|ann@example.com"},
		{"<ann@example.com", "|ann@example.com"},
		{"ann@[192.0.2.1]", "|ann@[192.0.2.1]"},
	} {
		var got []string
		for name, address := range header.Addresses(tt.list) {
			got = append(got, name+"|"+strings.ReplaceAll(address, "n E", "n\u00a0E"))
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("Addresses(%q) = %q, want %q", tt.list, s, tt.want)
		}
	}
}
