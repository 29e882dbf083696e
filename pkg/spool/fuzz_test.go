package spool

import (
	"bytes"
	"fmt"
	"reflect"
	"strconv"
	"testing"
	"time"

	"cgq/pkg/fact"
	"cgq/pkg/mail"
)

func seedFacts() []fact.Fact {
	at := time.UnixMilli(1700000000123)
	refused := mail.Result{Action: mail.Failed, Status: mail.Status{5, 1, 1}, Code: 550, MTA: "mx", Text: "no such\nuser"}
	return []fact.Fact{
		fact.Routed{Rcpt: 1, Module: "SMTP", Queue: "example.com", Address: mail.Address{Local: "a b", Domain: "example.com"}},
		fact.Tried{Rcpt: 2, At: at, Attempts: 3, Until: at.Add(time.Hour), Result: mail.Result{Text: "later"}},
		fact.Settled{Rcpt: 3, At: at, Result: refused},
		fact.Rejected{Rcpt: 4, At: at, By: "root", Report: true, Text: "closed"},
		fact.Freed{Rcpt: 5, At: at, By: "ann"},
		fact.Reported{DSN: 6, Rcpts: []int{0, 3}}, fact.Gone{}, fact.Unknown{Line: "weighed 1"},
	}
}

// writeBatch writes every line in full.
func writeBatch(all []numbered, stands []Standing) (b []byte) {
	for _, c := range all {
		b = append(strconv.AppendUint(b, uint64(c.ID), 10), ' ')
		b = appendLine(b, c.number, c.Fact)
	}
	return appendStands(b, stands)
}

// Whatever a batch says: no panic, and what is taken can be written down and is read
// as the same again.
func FuzzParseBatch(f *testing.F) {
	var all []numbered
	for i, v := range seedFacts() {
		all = append(all, numbered{fact.Change{ID: mail.ID(i + 1), Fact: v}, i + 1})
	}
	whole := writeBatch(all, []Standing{{"delay SMTP example.com", "delay SMTP example.com 1 2 3 4.2.0 0 - x"}, {"a\n\"", ""}})
	f.Add(whole)
	act := writeBatch(all[3:4], nil)
	f.Add(append(act, "5 1 2=\n7 2 0=\n"...))
	f.Add([]byte("1 1 0=\n"))
	f.Add(append(writeBatch(all[:1], nil), "5 1 2=\n"...))
	f.Add([]byte("0 'k' v\n0 `k` v\n0 \"k\"\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, stands, err := parseBatch(b)
		if err != nil {
			return
		}
		for _, c := range all {
			if c.ID == 0 || c.Fact == nil || c.number < 1 {
				t.Fatalf("parseBatch(%q) has %+v", b, c)
			}
		}
		again := writeBatch(all, stands)
		all2, stands2, err := parseBatch(again)
		if err != nil || !bytes.Equal(writeBatch(all2, stands2), again) {
			t.Fatalf("parseBatch(%q) = %+v, %q; written and read again %+v, %q, %v", b, all, stands, all2, stands2, err)
		}
		if len(b) < fact.MaxText && (!reflect.DeepEqual(all2, all) || !reflect.DeepEqual(stands2, stands)) { // else a text may be cut
			t.Fatalf("parseBatch(%q) = %+v, %q; written and read again %+v, %q", b, all, stands, all2, stands2)
		}
	})
}

// What parseHead takes is the V line of that message, and its numbers can be used.
func FuzzParseHead(f *testing.F) {
	head := make([]byte, headSize)
	putHead(head, 4711, 300, 1<<40, 0x1234)
	f.Add(head, uint64(4711))
	f.Add(head[:headSize-1], uint64(4711))
	f.Add([]byte("V 2 of another version"), uint64(1))
	f.Add([]byte("V 1 -0000000000000000001 -000000001 -00000000000001 -0000001\n"), uint64(1))
	f.Fuzz(func(t *testing.T, b []byte, id uint64) {
		h, err := parseHead(b, mail.ID(id))
		if err != nil {
			return
		}
		if h.textAt < headSize || h.text < 0 || int64(h.textAt)+h.text < h.text {
			t.Fatalf("parseHead(%q, %d) = %+v", b, id, h)
		}
		if again := fmt.Sprintf(headFormat+sumFormat, id, h.textAt, h.text, h.sum); again != string(b[:headSize]) {
			t.Fatalf("parseHead(%q, %d) = %+v, which is %q", b, id, h, again)
		}
	})
}

// The lines that are taken are whole, as they stood; the rest is left out.
func FuzzParseLines(f *testing.F) {
	var b []byte
	for i, v := range seedFacts() {
		b = appendLine(b, i+1, v)
	}
	f.Add(b)
	f.Add(fill(b))
	f.Add(b[:len(b)-7])
	f.Add(append([]byte("1 00000000 Gone\n\x00\x00\n"), b...))
	f.Fuzz(func(t *testing.T, b []byte) {
		lines, whole := parseLines(b)
		var again []byte
		for _, l := range lines {
			if l.number < 1 || !bytes.Contains(append(b, '\n'), l.raw) {
				t.Fatalf("parseLines(%q) has %d %q", b, l.number, l.raw)
			}
			again = append(again, l.raw...)
		}
		var all []byte
		for raw := range bytes.Lines(b) {
			if raw = bytes.TrimSuffix(raw, []byte("\n")); len(raw) > 0 {
				all = append(append(all, raw...), '\n')
			}
		}
		if whole && !bytes.Equal(again, all) {
			t.Fatalf("parseLines(%q) = %q, and calls that whole", b, again)
		}
		lines2, whole2 := parseLines(again)
		if !whole2 || !reflect.DeepEqual(lines2, lines) {
			t.Fatalf("parseLines(%q) = %+v; again %+v, %v", b, lines, lines2, whole2)
		}
	})
}

// What parseEnvelope takes, appendEnvelope writes so that it is read as the same.
func FuzzParseEnvelope(f *testing.F) {
	f.Add([]byte("S <ann@example.com> SMTP [192.0.2.1]\nA example.com\nT 2026-11-23T22:15:01.123Z\n" +
		"E ENVID=QQ+20314+3D+2B RET=HDRS BODY=8BITMIME SMTPUTF8\nP I <o'brien@example.com>\n" +
		"R W <bob@example.net>\nR W <\"a b\"@[IPv6:::1]>\nN 1 NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;A+20B\n\n"))
	f.Add([]byte("S DSN [fe80::1%eth0]\nP I <>\nR W <>\n"))
	f.Add([]byte("S PIPE\nR W <@a.example,@b.example:c@d.example>\nR W <postmaster>\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseEnvelope(b)
		if err != nil || e.Source == 0 { // we write no envelope without a source
			return
		}
		again, err := parseEnvelope(appendEnvelope(nil, e))
		if err != nil || !reflect.DeepEqual(again, e) {
			t.Fatalf("parseEnvelope(%q) = %+v; written and read again %+v, %v", b, e, again, err)
		}
	})
}

// What parseReference takes is what refer would write, to the byte.
func FuzzParseReference(f *testing.F) {
	f.Add([]byte("4711 2400000 00c0ffee\n"))
	f.Add([]byte("4711 2400000 00c0ffee\n100001 1\n100002 17\n"))
	f.Add([]byte("0 -1 123456789\n1 0\n1 1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseReference(b)
		if err != nil {
			return
		}
		first, rest, _ := bytes.Cut(b, []byte("\n"))
		if r.n == 0 || r.length < 0 || string(first) != fmt.Sprintf("%d %d %08x", uint64(r.n), r.length, r.sum) {
			t.Fatalf("parseReference(%q) = %+v", b, r)
		}
		for id, more := range r.more {
			if more < 1 || !bytes.Contains(rest, fmt.Appendf(nil, "%d %d\n", uint64(id), more)) {
				t.Fatalf("parseReference(%q) = %+v", b, r)
			}
		}
	})
}
