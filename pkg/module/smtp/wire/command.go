package wire

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"cgq/pkg/mail"
)

// verb is a command whose reply Conn looks at.
type verb uint8

const (
	none verb = iota
	helo
	ehlo
	mailFrom
	rcptTo
	data
	bdat
	dotted // not a command: the end of a text, which go-smtp answers too
	other
)

// next finds what go-smtp is to read next, and puts it into pend.
func (c *Conn) next() error {
	c.answered()
	if c.err != nil {
		return c.err
	}
	if c.receiving.Load() {
		return c.endText()
	}
	if c.discard > 0 {
		if err := c.skip(); err != nil {
			return err
		}
	}
	for {
		line, err := c.command()
		if err != nil {
			return err
		}
		c.translate(line)
		if c.err != nil || len(c.pend) > 0 {
			return c.err
		}
	}
}

// endText reads what the session has left, and shows go-smtp the end of the text.
func (c *Conn) endText() error {
	if err := c.body.drop(); err != nil {
		return err
	}
	c.hand(dotted, ".")
	return nil
}

// hand makes line, of the parts given, what go-smtp reads next.
func (c *Conn) hand(v verb, parts ...string) {
	b := c.line[:0]
	for _, p := range parts {
		b = append(b, p...)
	}
	c.line = append(b, '\r', '\n')
	c.pend, c.last, c.mark = c.line, v, len(c.out)
}

// command returns the next command, without line end and blanks behind it. The
// slice is valid until more input is read.
func (c *Conn) command() ([]byte, error) {
	if c.stash != nil {
		line := c.stash
		c.stash = nil
		return line, nil
	}
	return c.readLine()
}

func (c *Conn) readLine() ([]byte, error) {
	for {
		if c.halted() {
			return nil, c.fail("421 "+stopping, ErrStopped)
		}
		if len(c.out) > maxOut {
			if err := c.flush(); err != nil {
				return nil, err
			}
		}
		i := bytes.IndexByte(c.buf[c.r:c.w], '\n')
		if i < 0 {
			if err := c.longer(); err != nil {
				return nil, err
			}
			continue
		}
		line := c.buf[c.r : c.r+i]
		c.r += i + 1
		if c.skipped+i >= c.opt.MaxLine {
			c.skipped = 0
			c.say("500 5.5.2 command line too long") // RFC 5321 §4.5.3.1.9
			continue
		}
		line = bytes.TrimRight(line, " \t\r")
		c.trace(true, line)
		return line, nil
	}
}

// longer waits for the rest of a command line; one that is too long is dropped on
// the way, up to a bound.
func (c *Conn) longer() error {
	if n := c.w - c.r; c.skipped+n >= min(c.opt.MaxLine, small) {
		c.skipped += n
		c.r = c.w
		if c.skipped > maxSkip {
			return c.fail("421 4.7.0 command line without end, closing the connection", ErrProtocol)
		}
	}
	return c.more()
}

// say is a reply of our own to the command in hand.
func (c *Conn) say(reply string) {
	c.out = append(c.out, reply...)
	c.out = append(c.out, '\r', '\n')
	c.trace(false, c.out[len(c.out)-len(reply)-2:])
	c.mark = len(c.out)
}

func (c *Conn) trace(in bool, lines []byte) {
	if c.opt.Trace == nil {
		return
	}
	for line := range bytes.Lines(lines) {
		c.opt.Trace(in, bytes.TrimRight(line, "\r\n"))
	}
	if len(lines) == 0 {
		c.opt.Trace(in, nil)
	}
}

// translate answers the command, or hands it to go-smtp in a form that go-smtp
// cannot misunderstand.
func (c *Conn) translate(line []byte) {
	if bytes.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		c.say("500 5.5.2 control character in the command")
		return
	}
	name, arg, _ := bytes.Cut(line, []byte(" "))
	var upper [4]byte
	if len(name) == len(upper) {
		for i, b := range name {
			upper[i] = b
			if b >= 'a' && b <= 'z' {
				upper[i] = b - 'a' + 'A'
			}
		}
	}
	switch string(upper[:]) {
	case "MAIL":
		c.envelope(mailFrom, arg)
	case "RCPT":
		c.envelope(rcptTo, arg)
	case "DATA":
		arg = bytes.TrimSpace(arg)
		c.hand(data, "DATA", space(arg), string(arg))
	case "BDAT":
		if c.chunk(arg) == nil {
			c.hand(bdat, "DATA")
		}
	case "EHLO", "HELO":
		v := ehlo
		if upper[0] == 'H' {
			v = helo
		}
		arg = bytes.TrimSpace(arg)
		c.asked, _, _ = strings.Cut(string(arg), " ")
		c.hand(v, string(upper[:]), space(arg), c.asked)
	default:
		c.hand(other, string(line))
	}
}

// space is what stands in front of an argument: without one go-smtp wants nothing.
func space(arg []byte) string {
	if len(arg) == 0 {
		return ""
	}
	return " "
}

// envelope parses the path of MAIL and RCPT here: go-smtp takes the quotes off a
// local part without a way back, and refuses RCPT TO:<postmaster> (RFC 5321
// §4.1.1.3). It gets a path that needs no parsing, and the parameters as they are.
func (c *Conn) envelope(v verb, arg []byte) {
	word, placeholder, bad := "FROM:", "MAIL FROM:<>", "501 5.1.7 "
	if v == rcptTo {
		word, placeholder, bad = "TO:", "RCPT TO:<a@b>", "501 5.1.3 "
	}
	if len(arg) < len(word) || !strings.EqualFold(string(arg[:len(word)]), word) {
		c.say("501 5.5.4 syntax: " + placeholder[:5] + word + "<address>")
		return
	}
	path, params, ok := cutPath(bytes.TrimLeft(arg[len(word):], " "))
	if !ok {
		c.say(bad + "address not understood: brackets or quotes do not match")
		return
	}
	a, err := mail.ParsePath(string(path))
	if err != nil {
		c.say(bad + ascii(err.Error()))
		return
	}
	if v == rcptTo && a.IsZero() {
		c.say(bad + "a recipient is needed")
		return
	}
	c.path = a
	c.hand(v, placeholder, string(params))
}

// cutPath takes the path off the front of an argument. Brackets may be missing.
func cutPath(arg []byte) (path, params []byte, ok bool) {
	bracket := len(arg) > 0 && arg[0] == '<'
	quoted := false
	for i := 0; i < len(arg); i++ {
		switch b := arg[i]; {
		case b == '\\' && quoted:
			i++
		case b == '"':
			quoted = !quoted
		case quoted:
		case b == '>' && bracket:
			params = arg[i+1:]
			return arg[:i+1], params, len(params) == 0 || params[0] == ' '
		case b == ' ':
			return arg[:i], arg[i:], i > 0 && !bracket
		}
	}
	return arg, nil, len(arg) > 0 && !bracket && !quoted
}

// chunk reads the argument of BDAT into body (RFC 3030 §2). Without a size nobody
// can tell where commands go on: the session ends.
func (c *Conn) chunk(arg []byte) error {
	f := strings.Fields(string(arg))
	if n := len(f); n == 1 || n == 2 && strings.EqualFold(f[1], "LAST") {
		if size, err := strconv.ParseUint(f[0], 10, 31); err == nil {
			c.body.chunk, c.body.final = int64(size), n == 2
			return nil
		}
	}
	return c.fail("501 5.5.4 syntax: BDAT size [LAST]; closing the connection", ErrProtocol)
}

// nextChunk answers the chunk that came in whole, and reads the command behind it.
func (c *Conn) nextChunk() error {
	c.receiving.Store(false) // between chunks the session waits for a command
	defer c.receiving.Store(true)
	c.say(fmt.Sprintf("250 2.0.0 %d bytes so far", c.body.raw))
	for {
		line, err := c.readLine()
		if err != nil {
			return err
		}
		name, arg, _ := bytes.Cut(line, []byte(" "))
		switch strings.ToUpper(string(name)) {
		case "BDAT":
			if err := c.chunk(arg); err != nil {
				return err
			}
			if c.body.tooLarge(c.body.chunk) {
				return ErrTooLarge
			}
			return nil
		case "NOOP":
			c.say("250 2.0.0 ok")
		case "RSET", "QUIT", "EHLO", "HELO":
			c.stash = bytes.Clone(line)
			return ErrReset
		default:
			c.say("503 5.5.1 BDAT or RSET is due")
		}
	}
}

// skip reads a chunk that was refused with its command, so that it is not taken
// for commands.
func (c *Conn) skip() error {
	if limit := c.opt.MaxText; limit > 0 && c.discard > overrun*limit {
		return c.fail("552 5.3.4 chunk too large, closing the connection", ErrTooLarge)
	}
	for c.discard > 0 {
		if c.r == c.w {
			if err := c.more(); err != nil {
				return err
			}
		}
		n := min(c.discard, int64(c.w-c.r))
		c.r += int(n)
		c.discard -= n
	}
	return nil
}

// ascii makes a text of ours that quotes the peer fit for a reply.
func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
