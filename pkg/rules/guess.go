package rules

import "cgq/pkg/mail"

// Guess returns the envelope that a message with this header most likely has: return
// path and recipients, and nothing else. It is for looking at a message without one.
func Guess(head []byte) *mail.Envelope {
	w := &maker{m: &Message{Envelope: &mail.Envelope{}, Header: head}, v: new(view)}
	w.v.begin(w.m, true)
	e := w.m.Envelope
	for _, name := range []string{"from", "sender", "return-path"} { // the last one that is there
		if list := w.mailboxes(name); len(list) > 0 {
			e.ReturnPath = list[0].address
		}
	}
	for _, name := range []string{"to", "cc"} {
		for _, m := range w.mailboxes(name) {
			e.Recipients = append(e.Recipients, mail.Recipient{Address: m.address})
		}
	}
	return e
}
