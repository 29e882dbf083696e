package wire

import (
	"bytes"
)

// answered looks at the reply to the command that go-smtp had in hand, once it is
// complete, and says it as RFC 5321 does.
func (c *Conn) answered() {
	reply := c.out[c.mark:]
	switch {
	case !c.greeted:
		c.greeted = true
		c.replace("220 " + c.opt.Domain + " ESMTP cgq\r\n")
	case c.last == none:
		return
	case c.last == ehlo || c.last == helo:
		c.hello(reply)
	case c.last == mailFrom || c.last == rcptTo:
		c.enveloped(reply)
	case c.last == data || c.last == bdat:
		c.begin(reply)
	case c.last == dotted && c.body.err == ErrReset:
		c.replace("") // the peer gets the reply to the command that ended the sequence
	}
	c.trace(false, c.out[c.mark:])
	c.last, c.mark = none, len(c.out)
}

// replace puts another text in the place of the reply.
func (c *Conn) replace(text string) { c.out = append(c.out[:c.mark], text...) }

// hello names us first, as RFC 5321 §4.1.1.1 wants, and notes what the peer said.
func (c *Conn) hello(reply []byte) {
	if !bytes.HasPrefix(reply, []byte("250")) {
		return
	}
	c.helo, c.esmtp = c.asked, c.last == ehlo
	text := "250 " + c.opt.Domain + " hello " + ascii(c.asked) + "\r\n"
	if first, rest, _ := bytes.Cut(reply, []byte("\n")); c.esmtp && len(rest) > 0 {
		text = string(first[:3]) + "-" + text[4:] + string(rest)
	}
	c.replace(text)
}

// enveloped names the address in the reply (go-smtp has only its placeholder), and
// mends codes: RFC 5321 §4.1.1.11 has 555 for a parameter that is not known.
func (c *Conn) enveloped(reply []byte) {
	switch {
	case bytes.HasPrefix(reply, []byte("250 ")):
		class, what := "250 2.1.0 ", " sender accepted\r\n"
		if c.last == rcptTo {
			class, what = "250 2.1.5 ", " recipient accepted\r\n"
		}
		c.replace(class)
		c.out = append(append(c.out, c.path.String()...), what...)
	case bytes.HasPrefix(reply, []byte("500 5.5.4 Unknown")):
		copy(reply, "555")
	default:
		sequence(reply)
	}
}

// begin starts the text when go-smtp has asked for it.
func (c *Conn) begin(reply []byte) {
	chunked := c.last == bdat
	if !bytes.HasPrefix(reply, []byte("354")) {
		sequence(reply)
		if chunked {
			c.discard = c.body.chunk
		}
		return
	}
	if chunked {
		c.replace("") // the reply to the chunk comes when it is in
	}
	c.body.begin(chunked, c.body.chunk, c.body.final)
}

// sequence mends the code for a command out of order (RFC 5321 §4.1.4).
func sequence(reply []byte) {
	if bytes.HasPrefix(reply, []byte("502")) {
		copy(reply, "503")
	}
}
