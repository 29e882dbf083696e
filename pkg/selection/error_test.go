package selection_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"cgq/pkg/mail"
	"cgq/pkg/selection"
)

func TestErrors(t *testing.T) {
	many := make([]string, 1001)
	for i := range many {
		many[i] = "x"
	}
	list := func(s ...string) []string { return s }
	const ageHint = "write >2h, <2h, 2h.. or ..2h"
	for _, tt := range []struct {
		terms selection.Terms
		want  string
	}{
		{selection.Terms{All: true, Queue: list("x")}, "all: everything in full, and something that narrows it; leave out one of the two"},
		{selection.Terms{All: true, Limit: 1}, "all: everything in full, and something that narrows it; leave out one of the two"},
		{selection.Terms{All: true, Where: "true"}, "all: everything in full, and something that narrows it; leave out one of the two"},
		{selection.Terms{All: true, IDs: []mail.ID{}}, "all: everything in full, and something that narrows it; leave out one of the two"},
		{selection.Terms{Limit: -1}, `limit "-1": less than nothing; 0 is no limit`},
		{selection.Terms{IDs: []mail.ID{}}, "ids-from: no id; a list without ids does not mean everything"},
		{selection.Terms{IDs: []mail.ID{0, 1}}, `ids-from "0": no message has this id; ids begin with 1`},
		{selection.Terms{IDs: []mail.ID{math.MaxUint64}}, `ids-from "18446744073709551615": no message has this id`},
		{selection.Terms{IDs: make([]mail.ID, 1)}, `ids-from "0": no message has this id; ids begin with 1`},
		{selection.Terms{Sender: list("")}, "sender: an empty value; the null return path is written <>"},
		{selection.Terms{Recipient: list("a@b", "")}, "rcpt: an empty value; leave the flag out, or give it a value"},
		{selection.Terms{Module: list("")}, "module: an empty value; leave the flag out, or give it a value"},
		{selection.Terms{Module: list("~x")}, `module "~x": this takes no regular expression`},
		{selection.Terms{Source: list("~x")}, `source "~x": this takes no regular expression`},
		{selection.Terms{Source: list("MAIL")}, `source "MAIL": there is no such Submit Address tag; there are SMTP, RPOP, RULE, ALLF, PIPE, POP, ` +
			`IMAP, HTTP, XIMSS, PBX, SRULE, DSN, MDN, ICAL, LIST, LSRV, LSTM, LSTO, GROUP, EVENT, LWIT`},
		{selection.Terms{State: list("frozen")}, `state "frozen": there is no such state; there are active, processing, ready, suspended, delayed, held`},
		{selection.Terms{Queue: many}, "queue: 1001 values; 1000 are allowed"},
		{selection.Terms{Queue: list(strings.Repeat("q", 1025))}, `queue "` + strings.Repeat("q", 80) + `…": longer than 1024 bytes`},
		{selection.Terms{Queue: list("a\xffb")}, "queue \"a\ufffdb\": not UTF-8"},
		{selection.Terms{Queue: list("~")}, `queue "~": an empty regular expression`},
		{selection.Terms{Error: list("~a(\x1b[")}, `error "~a(�[": not a regular expression: missing closing ]`},
		{selection.Terms{Error: list("~"+strings.Repeat("a", 1000), "~"+strings.Repeat("b", 1000), "~"+strings.Repeat("c", 1000)),
			Subject: list("~"+strings.Repeat("a", 1000), "~"+strings.Repeat("b", 1000), "~"+strings.Repeat("c", 1000)),
			Queue:   list("~"+strings.Repeat("a", 1000), "~"+strings.Repeat("b", 1000), "~"+strings.Repeat("z", 1000))},
			`subject "~` + strings.Repeat("c", 79) + `…": the regular expressions are longer than 8192 bytes together`},
		{selection.Terms{Sender: list("ann example")}, `sender "ann example": the local part needs quotes`},
		{selection.Terms{Sender: list("ann@")}, `sender "ann@": no domain after @`},
		{selection.Terms{SenderDomain: list("@example.com")}, `sender-domain "@example.com": that is not a domain; a domain has no @`},
		{selection.Terms{Age: list("")}, "age: an empty value; " + ageHint},
		{selection.Terms{Age: list("2h")}, `age "2h": that is neither more nor less; write >2h or <2h`},
		{selection.Terms{Age: list("2h\f")}, "age \"2h\ufffd\": that is neither more nor less; write >2h or <2h"},
		{selection.Terms{Age: list("x")}, `age "x": not a condition; ` + ageHint},
		{selection.Terms{Age: list("..")}, `age "..": a range without ends; ` + ageHint},
		{selection.Terms{Age: list(">")}, `age ">": no value after >; ` + ageHint},
		{selection.Terms{Age: list(">2")}, `age ">2": "2": not a duration; write 90s, 10m, 2h, 1d or 1w`},
		{selection.Terms{Age: list(">-2h")}, `age ">-2h": "-2h": not a duration; write 90s, 10m, 2h, 1d or 1w`},
		{selection.Terms{Age: list(">1.2.3h")}, `age ">1.2.3h": "1.2.3h": not a duration; write 90s, 10m, 2h, 1d or 1w`},
		{selection.Terms{Age: list(">99999w")}, `age ">99999w": "99999w": too long; 290 years are the most`},
		{selection.Terms{Age: list(">99999999999999999999h")}, `age ">99999999999999999999h": "99999999999999999999h": too long; 290 years are the most`},
		{selection.Terms{Age: list("4h..2h")}, `age "4h..2h": nothing can be both`},
		{selection.Terms{Age: list(">4h", "<2h")}, `age ">4h <2h": nothing can be both`},
		{selection.Terms{Size: list("10k")}, `size "10k": that is neither more nor less; write >10k or <10k`},
		{selection.Terms{Size: list(">9223372036854775807")}, `size ">9223372036854775807": "9223372036854775807": nothing can be more`},
		{selection.Terms{Size: list(">8589934592G")}, `size ">8589934592G": "8589934592G": too large`},
		{selection.Terms{Size: list(">1T")}, `size ">1T": "1T": not a size; write 500, 10k, 1M or 2G`},
		{selection.Terms{Size: list("> k")}, `size "> k": "k": not a size; write 500, 10k, 1M or 2G`},
		{selection.Terms{Where: " \n"}, "where: an empty expression; leave it out, or write an expression"},
		{selection.Terms{Where: "a\xff"}, "where: not UTF-8"},
		{selection.Terms{Where: strings.Repeat("(", 5000)}, "where: too long\nan expression has"},
		{selection.Terms{Where: "id in [1] && (" + strings.Repeat("!", 5000) + "true)"}, "where: too long\nan expression has"},
		{selection.Terms{Where: strings.Repeat(" ", 3<<20)}, "where: longer than 2097152 bytes"},
	} {
		_, err := selection.Compile(tt.terms)
		want := strings.ReplaceAll(tt.want, "too long\nan expression has",
			"too long; an expression has at most 4096 words and signs, and 16384 constants")
		if e := new(*selection.Error); err == nil || !errors.As(err, e) || err.Error() != want {
			t.Errorf("Compile = %v\nwant %s", err, want)
		}
	}
}

func TestWhereErrors(t *testing.T) {
	functions := "abs, bytes, date, duration, len, lower, max, min, trim, wild"
	for _, tt := range []struct{ where, want string }{
		{`sendr == "x"`, "unknown name sendr (1:1)\n | sendr == \"x\"\n | ^\nthe fields are age, attempts, auth, error, id, module, queue, " +
			"rcpt, rcpt_domain, sender, sender_domain, size, source, state, subject, submitted"},
		{`attempts`, "expected bool, but got int"},
		{`attempts ==`, "unexpected token EOF (1:11)\n | attempts ==\n | ..........^"},
		{"size > 1 &&\n\tsize > \"a\"", "invalid operation: > (mismatched types int and string) (2:7)\n |  size > \"a\"\n | ......^"},
		{`state == "frozen"`, "there is no such state; there are active, processing, ready, suspended, delayed, held (1:10)\n" +
			" | state == \"frozen\"\n | .........^"},
		{`"ready" != state or state in ["held", "dead"]`, "there is no such state; there are active, processing, ready, suspended, delayed, held (1:39)\n" +
			" | \"ready\" != state or state in [\"held\", \"dead\"]\n | ......................................^"},
		{`error matches sender`, "a regular expression is a constant in quotes (1:15)\n | error matches sender\n | ..............^"},
		{`error matches "("`, "not a regular expression: missing closing ) (1:15)\n | error matches \"(\"\n | ..............^"},
		{`age > duration("2 days")`, "not a duration; write 90s, 10m, 2h, 1d or 1w (1:16)\n | age > duration(\"2 days\")\n | ...............^"},
		{`age > duration(error)`, "duration takes one constant in quotes (1:16)\n | age > duration(error)\n | ...............^"},
		{`size > bytes("1X")`, "not a size; write 500, 10k, 1M or 2G (1:14)\n | size > bytes(\"1X\")\n | .............^"},
		{`submitted > date("now")`, "not a date; write 2026-08-01, \"2026-08-01 06:00\" or RFC 3339 (1:18)\n | submitted > date(\"now\")\n | .................^"},
		{`submitted > now()`, "no such function; there are " + functions + " (1:13)\n | submitted > now()\n | ............^"},
		{`all(1..9, # > 0)`, "the language of selections does not have this (1:11)\n | all(1..9, # > 0)\n | ..........^"},
		{`len(filter([1], true)) > 0`, "the language of selections does not have this (1:17)\n | len(filter([1], true)) > 0\n | ................^"},
		{`let a = 1; a == 1`, "the language of selections does not have this (1:10)\n | let a = 1; a == 1\n | .........^"},
		{`true; true`, "the language of selections does not have this (1:5)\n | true; true\n | ....^"},
		{`true;`, "the language of selections does not have this (1:5)\n | true;\n | ....^"},
		{`$env["size"] == 1`, "the language of selections does not have this (1:1)\n | $env[\"size\"] == 1\n | ^"},
		{`repeat("a", 99) == ""`, "no such function; there are " + functions + " (1:1)\n | repeat(\"a\", 99) == \"\"\n | ^"},
		{`submitted.Local() == submitted`, "nothing has such a part; a duration and a time have Hours, Minutes, Seconds, Year, YearDay, Day, " +
			"Hour, Minute, Second, Unix (1:11)\n | submitted.Local() == submitted\n | ..........^"},
		{`wild(sender)`, "wild takes a text, and constants in quotes (1:1)\n | wild(sender)\n | ^"},
		{`wild(sender, rcpt)`, "wild takes a text, and constants in quotes (1:14)\n | wild(sender, rcpt)\n | .............^"},
		{`wild(size, "x")`, "cannot use int as argument (type string) to call wild()  (1:6)\n | wild(size, \"x\")\n | .....^"},
		{"error == 'a\x1b[2J'\x07", "unrecognized character: U+0007 (1:17)\n | error == 'a\ufffd[2J'\ufffd\n | ................^"},
		{strings.Repeat("size > 1 && ", 20) + "siz > 1", "unknown name siz (1:241)\n | …size > 1 && size > 1 && size > 1 && siz > 1\n | .....................................^\n"},
	} {
		_, err := selection.Compile(selection.Terms{Where: tt.where})
		if err == nil || !strings.HasPrefix(err.Error(), "where: "+tt.want) {
			t.Errorf("Compile(%q) = %v\nwant %s", tt.where, err, tt.want)
			continue
		}
		if !printable(err) {
			t.Errorf("Compile(%q) = %q, not printable", tt.where, err)
		}
	}
}

// printable says whether an error can be shown to a terminal.
func printable(err error) bool {
	s := err.Error()
	return utf8.ValidString(s) && len(s) < 4096 &&
		strings.IndexFunc(s, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) < 0
}
