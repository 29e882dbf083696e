package mail_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"cgq/pkg/mail"
)

func TestParseAddress(t *testing.T) {
	local64 := strings.Repeat("x", 64)
	domain255 := strings.Repeat("a.", 126) + "abc"
	for _, tt := range []struct {
		text string
		want mail.Address
		back string // String, when it is not text
	}{
		{"ann@example.com", mail.Address{Local: "ann", Domain: "example.com"}, ""},
		{"Ann@Example.COM", mail.Address{Local: "Ann", Domain: "Example.COM"}, ""},
		{"postmaster", mail.Address{Local: "postmaster"}, ""},
		{"a.b-c_d+e@example.com", mail.Address{Local: "a.b-c_d+e", Domain: "example.com"}, ""},
		{"!#$%&'*+-/=?^_`{|}~@example.com", mail.Address{Local: "!#$%&'*+-/=?^_`{|}~", Domain: "example.com"}, ""},
		{"a%b@c", mail.Address{Local: "a%b", Domain: "c"}, ""},
		{`"a b"@c`, mail.Address{Local: "a b", Domain: "c"}, ""},
		{`"ann"@c`, mail.Address{Local: "ann", Domain: "c"}, "ann@c"},
		{`"a\nn"@c`, mail.Address{Local: "ann", Domain: "c"}, "ann@c"},
		{`"a@b"@c`, mail.Address{Local: "a@b", Domain: "c"}, ""},
		{`"a\"\\b"@c`, mail.Address{Local: `a"\b`, Domain: "c"}, ""},
		{`""@c`, mail.Address{Domain: "c"}, ""},
		{`".a"@c`, mail.Address{Local: ".a", Domain: "c"}, ""},
		{`"a."@c`, mail.Address{Local: "a.", Domain: "c"}, ""},
		{`"a..b"@c`, mail.Address{Local: "a..b", Domain: "c"}, ""},
		{`"a b"`, mail.Address{Local: "a b"}, ""},
		{`"<>"@c`, mail.Address{Local: "<>", Domain: "c"}, ""},
		{"боб@пример.рф", mail.Address{Local: "боб", Domain: "пример.рф"}, ""},
		{"ann@[192.0.2.1]", mail.Address{Local: "ann", Domain: "[192.0.2.1]"}, ""},
		{"ann@[IPv6:2001:db8::1]", mail.Address{Local: "ann", Domain: "[IPv6:2001:db8::1]"}, ""},
		{"ann@a_b.example", mail.Address{Local: "ann", Domain: "a_b.example"}, ""},
		{local64 + "@c", mail.Address{Local: local64, Domain: "c"}, ""},
		{`"` + strings.Repeat(`\"`, 64) + `"@c`, mail.Address{Local: strings.Repeat(`"`, 64), Domain: "c"}, ""},
		{"a@" + domain255, mail.Address{Local: "a", Domain: domain255}, ""},
		{"a@" + strings.Repeat("d", 63), mail.Address{Local: "a", Domain: strings.Repeat("d", 63)}, ""},
	} {
		t.Run(tt.text, func(t *testing.T) {
			got, err := mail.ParseAddress(tt.text)
			if err != nil || got != tt.want {
				t.Fatalf("ParseAddress(%q) = %+v, %v, want %+v", tt.text, got, err, tt.want)
			}
			back := tt.back
			if back == "" {
				back = tt.text
			}
			if s := got.String(); s != back {
				t.Errorf("String = %q, want %q", s, back)
			}
			if p, err := mail.ParsePath(got.Path()); err != nil || p != got {
				t.Errorf("ParsePath(%q) = %+v, %v, want %+v", got.Path(), p, err, got)
			}
		})
	}
}

func TestParseAddressRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"empty":                    "",
		"null return path":         "<>",
		"no local part":            "@example.com",
		"empty quoted, no domain":  `""`,
		"no domain":                "ann@",
		"two @":                    "a@b@c",
		"space":                    "a b@c",
		"spaces around":            " ann@example.com ",
		"dot first":                ".a@c",
		"dot last":                 "a.@c",
		"two dots":                 "a..b@c",
		"brackets":                 "<ann@example.com>",
		"no closing quote":         `"ann@example.com`,
		"backslash at the end":     `"ann\`,
		"text after the quote":     `"a"b@c`,
		"quote in the middle":      `a"b"@c`,
		"CR LF":                    "ann@example.com\r\nRCPT TO:<x@y>",
		"quoted CR LF":             "\"a\r\nb\"@c",
		"NUL":                      "a\x00b@c",
		"DEL":                      "a\x7fb@c",
		"C1 control":               "a\u0085b@c",
		"C1 control in the domain": "a@b\u009bc",
		"line separator":           "a\u2028b@c",
		"quoted line separator":    "\"a\u2029b\"@c",
		"not UTF-8":                "a\xff@c",
		"local of 65 bytes":        strings.Repeat("x", 65) + "@c",
		"local of 33 letters":      strings.Repeat("é", 33) + "@c",
		"quoted local of 65":       `"` + strings.Repeat(" ", 65) + `"@c`,
		"domain of 256 bytes":      "a@" + strings.Repeat("a.", 126) + "abcd",
		"label of 64 bytes":        "a@" + strings.Repeat("d", 64) + ".c",
		"empty label":              "a@b..c",
		"dot at the end":           "a@b.",
		"hyphen first":             "a@-b",
		"hyphen last":              "a@b-.c",
		"space in the domain":      "a@b c",
		"slash in the domain":      "a@b/../c",
		"open literal":             "a@[192.0.2.1",
		"empty literal":            "a@[]",
		"only a bracket":           "a@[",
		"nested literal":           "a@[[x]]",
		"text after the literal":   "a@[192.0.2.1].c",
	} {
		t.Run(name, func(t *testing.T) {
			got, err := mail.ParseAddress(text)
			if !errors.Is(err, mail.ErrAddress) || got != (mail.Address{}) {
				t.Fatalf("ParseAddress(%q) = %+v, %v, want ErrAddress", text, got, err)
			}
			if strings.ContainsAny(err.Error(), "\r\n\x00\x7f\u0085\u009b\u2028\u2029") {
				t.Errorf("the error carries what it complains of: %q", err)
			}
		})
	}
}

func TestParsePath(t *testing.T) {
	ann := mail.Address{Local: "ann", Domain: "example.com"}
	for _, tt := range []struct {
		text string
		want mail.Address
		ok   bool
	}{
		{"<ann@example.com>", ann, true},
		{"ann@example.com", ann, true},
		{"<>", mail.Address{}, true},
		{"", mail.Address{}, true},
		{"<@a.example,@b.example:ann@example.com>", ann, true},
		{"@a.example:ann@example.com", ann, true},
		{`<@a:"b:c"@d>`, mail.Address{Local: "b:c", Domain: "d"}, true},
		{"<postmaster>", mail.Address{Local: "postmaster"}, true},
		{`<"a>b"@c>`, mail.Address{Local: "a>b", Domain: "c"}, true},
		{"<ann@example.com", mail.Address{}, false},
		{"ann@example.com>", mail.Address{}, false},
		{"<<ann@example.com>>", mail.Address{}, false},
		{"<ann@example.com> SIZE=1", mail.Address{}, false},
		{"<@a.example>", mail.Address{}, false},
		{"<@a.example:>", mail.Address{}, false},
		{"<", mail.Address{}, false},
		{"< >", mail.Address{}, false},
	} {
		t.Run(tt.text, func(t *testing.T) {
			got, err := mail.ParsePath(tt.text)
			if got != tt.want || (err == nil) != tt.ok || err != nil && !errors.Is(err, mail.ErrAddress) {
				t.Errorf("ParsePath(%q) = %+v, %v, want %+v, ok %v", tt.text, got, err, tt.want, tt.ok)
			}
		})
	}
}

func TestAddressForms(t *testing.T) {
	for _, tt := range []struct {
		a             mail.Address
		str, path     string
		fold          mail.Address
		zero, isASCII bool
	}{
		{mail.Address{}, "<>", "<>", mail.Address{}, true, true},
		{mail.Address{Local: "Ann", Domain: "EXAMPLE.com"}, "Ann@EXAMPLE.com", "<Ann@EXAMPLE.com>",
			mail.Address{Local: "Ann", Domain: "example.com"}, false, true},
		{mail.Address{Local: "боб", Domain: "c"}, "боб@c", "<боб@c>",
			mail.Address{Local: "боб", Domain: "c"}, false, false},
		{mail.Address{Local: "bob", Domain: "РФ"}, "bob@РФ", "<bob@РФ>",
			mail.Address{Local: "bob", Domain: "рф"}, false, false},
		{mail.Address{Domain: "c"}, `""@c`, `<""@c>`, mail.Address{Domain: "c"}, false, true},
	} {
		if tt.a.String() != tt.str || tt.a.Path() != tt.path || tt.a.Fold() != tt.fold ||
			tt.a.IsZero() != tt.zero || tt.a.ASCII() != tt.isASCII {
			t.Errorf("%#v: %s %s %v %v %v; want %s %s %v %v %v",
				tt.a, tt.a, tt.a.Path(), tt.a.Fold(), tt.a.IsZero(), tt.a.ASCII(),
				tt.str, tt.path, tt.fold, tt.zero, tt.isASCII)
		}
	}
}

// addresses draws addresses of every shape that there is.
func addresses() *rapid.Generator[mail.Address] {
	local := rapid.StringOfN(rapid.OneOf(
		rapid.RuneFrom([]rune("abcXYZ019.+-_ \"\\@<>(),:;[]%!")), rapid.RuneFrom([]rune("éßЖ閉🙂")),
	), 0, 64, 64)
	label := rapid.StringMatching(`[a-zA-Z0-9é]([a-zA-Z0-9_-]{0,10}[a-z0-9Ж])?`)
	domain := rapid.OneOf(
		rapid.Custom(func(t *rapid.T) string { return strings.Join(rapid.SliceOfN(label, 1, 5).Draw(t, "labels"), ".") }),
		rapid.SampledFrom([]string{"[192.0.2.1]", "[IPv6:2001:db8::1]", "[x]", ""}),
	)
	return rapid.Custom(func(t *rapid.T) mail.Address {
		return mail.Address{Local: local.Draw(t, "local"), Domain: domain.Draw(t, "domain")}
	})
}

func TestAddressRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := addresses().Draw(t, "address")
		if got, err := mail.ParsePath(a.Path()); err != nil || got != a {
			t.Fatalf("ParsePath(%q) = %+v, %v, want %+v", a.Path(), got, err, a)
		}
		if a.IsZero() {
			return
		}
		if got, err := mail.ParseAddress(a.String()); err != nil || got != a {
			t.Fatalf("ParseAddress(%q) = %+v, %v, want %+v", a.String(), got, err, a)
		}
	})
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"ann@example.com", `"a\"b c"@[192.0.2.1]`, "postmaster", "<@a:b@c>",
		"é@é", `""@c`, "a\u0085@c", `"`, "a@[", "<>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, parse := range []func(string) (mail.Address, error){mail.ParseAddress, mail.ParsePath} {
			a, err := parse(s)
			if err != nil {
				if !errors.Is(err, mail.ErrAddress) || a != (mail.Address{}) {
					t.Fatalf("parse(%q) = %+v, %v", s, a, err)
				}
				continue
			}
			if len(a.Local) > mail.MaxLocal || len(a.Domain) > mail.MaxDomain {
				t.Fatalf("parse(%q) = %+v, too long", s, a)
			}
			text := a.Path()
			if !utf8.ValidString(text) || strings.ContainsAny(text, "\x00\r\n\x1b\x7f\u0085\u2028\u2029") {
				t.Fatalf("parse(%q).Path() = %q, not one line of text", s, text)
			}
			if again, err := mail.ParsePath(text); err != nil || again != a {
				t.Fatalf("ParsePath(%q) = %+v, %v, want %+v", text, again, err, a)
			}
		}
	})
}
