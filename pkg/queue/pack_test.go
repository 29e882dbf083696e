package queue

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"cgq/pkg/mail"
)

// What is packed comes out as it went in, but for the Trace, which is not kept.
func TestPackedEnvelope(t *testing.T) {
	w := &words{numbers: map[string]uint64{}}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.Just(""), rapid.String(), rapid.StringN(120, 200, -1))
		address := func(label string) mail.Address {
			return mail.Address{Local: text.Draw(t, label+" local"), Domain: text.Draw(t, label+" domain")}
		}
		env := &mail.Envelope{ReturnPath: address("sender"), Source: mail.Source(rapid.Byte().Draw(t, "source")), Auth: text.Draw(t, "auth"),
			Domain: text.Draw(t, "domain"), EnvelopeID: text.Draw(t, "envid"), SMTPUTF8: rapid.Bool().Draw(t, "utf8"),
			Submitted: time.Unix(0, rapid.Int64Range(-1<<60, 1<<62).Draw(t, "submitted")),
			Return:    mail.Return(rapid.IntRange(0, 2).Draw(t, "ret")), Body: mail.BodyType(rapid.IntRange(0, 3).Draw(t, "body"))}
		env.Peer = rapid.SampledFrom([]netip.Addr{{}, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("fe80::1%eth0"),
			netip.MustParseAddr("2001:db8::7")}).Draw(t, "peer")
		env.Recipients = make([]mail.Recipient, rapid.IntRange(0, 5).Draw(t, "recipients"))
		for i := range env.Recipients {
			env.Recipients[i] = mail.Recipient{Address: address("rcpt"), Notify: mail.Notify(rapid.IntRange(0, 15).Draw(t, "notify")),
				Original: text.Draw(t, "original")}
		}
		subject := text.Draw(t, "subject")
		p := pack(env, subject, w)
		got, gotSubject := p.unpack(len(env.Recipients), w)
		if !reflect.DeepEqual(got, env) || gotSubject != subject {
			t.Fatalf("unpacked %+v, %q, want %+v, %q", got, gotSubject, env, subject)
		}
		f, c := p.face()
		if want := (face{env.Source, env.Submitted, env.ReturnPath, subject, env.Auth}); f != want || p.submitted() != env.Submitted {
			t.Fatalf("face %+v, want %+v", f, want)
		}
		c = c.recipients()
		for _, want := range env.Recipients {
			if got := c.recipient(); got != want {
				t.Fatalf("recipient %+v, want %+v", got, want)
			}
		}
	})
}
