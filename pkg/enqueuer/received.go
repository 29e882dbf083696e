package enqueuer

import (
	"strings"

	"cgq/pkg/header"
	"cgq/pkg/mail"
)

// received is the field that says how the message came here (RFC 5321 §4.4), in the
// product's shape, which helper programs parse.
func received(env *mail.Envelope, id mail.ID) []byte {
	b := make([]byte, 0, 256)
	b = append(b, "Received: "...)
	if env.Peer.IsValid() {
		b = append(b, "from ["...)
		if env.Peer.Unmap().Is6() {
			b = append(b, "IPv6:"...)
		}
		b = append(b, env.Peer.Unmap().String()+"] ("...)
		if env.Auth != "" {
			b = append(b, "account "+comment(env.Auth)+" "...)
		}
		b = append(b, "HELO "+comment(env.Trace.Helo)+")\n  "...)
	}
	with := env.Trace.With
	if with == "" {
		with = env.Source.String()
	}
	b = append(b, "by "+env.Domain+" (cgq "+env.Source.String()+") with "+with+" id "+id.String()...)
	if len(env.Recipients) == 1 && !env.Recipients[0].Address.IsZero() {
		b = append(b, "\n  for "+env.Recipients[0].Address.Path()...)
	}
	b = env.Submitted.AppendFormat(append(b, "; "...), header.DateForm)
	return append(b, '\n')
}

// comment makes a stranger's word fit for a comment (RFC 5322 §3.2.2): ASCII, so that
// it makes no message one that not every host takes.
func comment(s string) string {
	if s == "" {
		return "-"
	}
	return strings.Map(func(c rune) rune {
		if c <= ' ' || c >= 0x7f || c == '(' || c == ')' || c == '\\' {
			return '_'
		}
		return c
	}, s[:min(len(s), 255)])
}
