package spool

import (
	"bytes"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"cgq/pkg/mail"
)

// addresses are those that mail takes, the odd ones often.
var addresses = rapid.Custom(func(t *rapid.T) mail.Address {
	local := rapid.OneOf(rapid.SampledFrom([]string{"ann", "a b", `a"b\c`, "<x>", "a@b", "..", "+41", "é", "R W <y>"}),
		rapid.StringN(1, 20, mail.MaxLocal)).Draw(t, "local")
	domain := rapid.SampledFrom([]string{"", "example.com", "bücher.example", "a_b.example", "[192.0.2.1]",
		"[IPv6:2001:db8::1]"}).Draw(t, "domain")
	a, err := mail.ParsePath(mail.Address{Local: local, Domain: domain}.Path())
	if err != nil { // a control character
		return mail.Address{Local: "ann", Domain: "example.com"}
	}
	return a
})

// anything is what a stranger's parameter may hold.
var anything = rapid.OneOf(rapid.Just(""), rapid.String(),
	rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))

// peers are network addresses. 0.0.0.0 is nobody's.
var peers = rapid.OneOf(rapid.Just(netip.Addr{}),
	rapid.Map(rapid.Uint32Min(1), func(n uint32) netip.Addr {
		return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
	}),
	rapid.Map(rapid.SliceOfN(rapid.Byte(), 16, 16), func(b []byte) netip.Addr { return netip.AddrFrom16([16]byte(b)) }),
	rapid.Map(rapid.StringMatching(`[a-z0-9.]{1,8}`), func(zone string) netip.Addr {
		return netip.MustParseAddr("fe80::1").WithZone(zone)
	}))

var envelopes = rapid.Custom(func(t *rapid.T) *mail.Envelope {
	e := &mail.Envelope{
		Source:     mail.Source(rapid.IntRange(int(mail.SMTP), int(mail.LWIT)).Draw(t, "source")),
		Auth:       anything.Draw(t, "auth"),
		Peer:       peers.Draw(t, "peer"),
		Domain:     anything.Draw(t, "domain"),
		Submitted:  time.UnixMilli(rapid.Int64Range(0, 1<<43).Draw(t, "submitted")).UTC(),
		EnvelopeID: anything.Draw(t, "envid"),
		Return:     mail.Return(rapid.IntRange(0, 2).Draw(t, "ret")),
		Body:       mail.BodyType(rapid.IntRange(0, 3).Draw(t, "body")),
		SMTPUTF8:   rapid.Bool().Draw(t, "smtputf8"),
		Submission: anything.Draw(t, "submission"),
	}
	if rapid.Bool().Draw(t, "has a return path") {
		e.ReturnPath = addresses.Draw(t, "return path")
	}
	for range rapid.IntRange(1, 5).Draw(t, "recipients") {
		e.Recipients = append(e.Recipients, mail.Recipient{Address: addresses.Draw(t, "to"),
			Notify: mail.Notify(rapid.IntRange(0, 15).Draw(t, "notify")), Original: anything.Draw(t, "orcpt")})
	}
	return e
})

// Whatever envelope mail can hold is found again as it was; and what strangers have
// put into it stays in its line.
func TestEnvelopeComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := envelopes.Draw(t, "envelope")
		b := appendEnvelope(nil, want)
		if got, err := parseEnvelope(b); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("written %q\nread    %+v, %v\nwant    %+v", b, got, err, want)
		}
		lines := strings.Split(strings.TrimSuffix(string(b), "\n\n"), "\n")
		for _, l := range lines {
			if len(l) < 3 || strings.IndexByte("SATEPRN", l[0]) < 0 || l[1] != ' ' ||
				strings.ContainsFunc(l, func(c rune) bool { return c < ' ' || c == 0x7f }) {
				t.Fatalf("the line %q in %q", l, b)
			}
		}
		if n := bytes.Count(b, []byte("\nR ")); n != len(want.Recipients) || !bytes.HasSuffix(b, []byte("\n\n")) {
			t.Fatalf("%d R lines in %q, want %d, and a blank line at the end", n, b, len(want.Recipients))
		}
	})
}

// The lines are on disks, and helper programs read them: a change here is a change of
// format.
func TestEnvelopeForm(t *testing.T) {
	e := &mail.Envelope{
		ReturnPath: mail.Address{Local: "o'brien", Domain: "example.com"}, Source: mail.SMTP, Auth: "ann@example.com",
		Peer: netip.MustParseAddr("192.0.2.1"), Domain: "example.com",
		Submitted:  time.Date(2026, 11, 23, 23, 15, 1, 123e6, time.FixedZone("", 3600)),
		EnvelopeID: "QQ 314=+", Return: mail.ReturnHeaders, Body: mail.Body8BitMIME, Submission: "5f0c", SMTPUTF8: true,
		Recipients: []mail.Recipient{
			{Address: mail.Address{Local: "bob", Domain: "example.net"}},
			{Address: mail.Address{Local: "a b", Domain: "example.org"}, Notify: mail.NotifySuccess | mail.NotifyFailure,
				Original: "rfc822;A B@example.org"},
			{Address: mail.Address{Local: "eve", Domain: "example.org"}, Notify: mail.NotifyNever},
		},
	}
	const want = `S <ann@example.com> SMTP [192.0.2.1]
A example.com
T 2026-11-23T22:15:01.123Z
E ENVID=QQ+20314+3D+2B RET=HDRS BODY=8BITMIME SMTPUTF8 SUBMISSION=5f0c
P I 23-11-2026 22:15:01 0000 ____ ____ <o'brien@example.com>
R W 23-11-2026 22:15:01 0000 ____ _FY_ <bob@example.net>
R W 23-11-2026 22:15:01 0000 ____ _F__ <"a b"@example.org>
R W 23-11-2026 22:15:01 0000 ____ ____ <eve@example.org>
N 1 NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;A+20B@example.org
N 2 NOTIFY=NEVER

`
	if got := string(appendEnvelope(nil, e)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	least := &mail.Envelope{Source: mail.DSN, Submitted: e.Submitted, Recipients: e.Recipients[:1]}
	const wantLeast = `S DSN [0.0.0.0]
T 2026-11-23T22:15:01.123Z
P I 23-11-2026 22:15:01 0000 ____ ____ <>
R W 23-11-2026 22:15:01 0000 ____ ____ <bob@example.net>

`
	if got := string(appendEnvelope(nil, least)); got != wantLeast {
		t.Errorf("got\n%s\nwant\n%s", got, wantLeast)
	}
}

// Of a newer version, or of another program: the order is free, unknown letters and
// unknown words are passed over; what cannot be understood is refused.
func TestEnvelopeLinesOfOthers(t *testing.T) {
	const in = "N 0 ORCPT=rfc822;b NEW=1\nX what\nR W <b@example.net>\nQ\nE NEW RET=HALF BODY=8BITMIME\nP I <>\nS PIPE\n"
	want := &mail.Envelope{Source: mail.PIPE, Body: mail.Body8BitMIME,
		Recipients: []mail.Recipient{{Address: mail.Address{Local: "b", Domain: "example.net"}, Original: "rfc822;b"}}}
	if got, err := parseEnvelope([]byte(in)); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("parseEnvelope(%q) = %+v, %v; want %+v", in, got, err, want)
	}
	for _, in := range []string{
		"", "S PIPE\n", "S SPAM\nR W <b@example.net>\n", "S SMTP [192.0.2]\nR W <b@example.net>\n",
		"R W b@example.net\n", "R W <b@example.net\n", "R W <b@@example.net>\n", "R W <a b@example.net>\n",
		"R W <b@example.net>\nN 1 NOTIFY=NEVER\n", "R W <b@example.net>\nN -1 NOTIFY=NEVER\n", "R W <b@example.net>\nN x\n",
		"R W <b@example.net>\nT yesterday\n", "R W <b@example.net>\nE ENVID=+4\n", "R W <b@example.net>\nA +GG\n",
	} {
		if got, err := parseEnvelope([]byte(in)); err == nil {
			t.Errorf("parseEnvelope(%q) = %+v, want an error", in, got)
		}
	}
}
