package queue

import (
	"encoding/binary"
	"time"

	"cgq/pkg/mail"
)

// A packed envelope is the envelope of a message and its Subject in one string: a
// million messages wait, and few of them are looked at. It is written once, and read
// as often as somebody asks; what is read are pieces of it.
//
//	flags       varint, has and the small ones
//	source      a byte
//	submitted   8 bytes, nanoseconds since 1970
//	sender      local, domain
//	subject
//	auth, peer, domain, envelope id     those that it has; the domain is a number in words
//	recipients  for each: local, domain, notify a byte, and the original address if its 0x80 is set
//
// A string is its length as a varint, and its bytes. How many recipients there are is
// known to the message.
type packed string

const (
	hasAuth = 1 << iota
	hasPeer
	hasDomain
	hasEnvelopeID
	isSMTPUTF8
	returnShift = iota     // two bits of mail.Return
	bodyShift   = iota + 1 // two bits of mail.BodyType
)

// hasOriginal is beside the members of mail.Notify.
const hasOriginal = 0x80

// words are texts that many messages have: each is kept once, and has a number.
type words struct {
	all     []string
	numbers map[string]uint64
}

func (w *words) number(s string) uint64 {
	n, ok := w.numbers[s]
	if !ok {
		n = uint64(len(w.all))
		w.all = append(w.all, s)
		w.numbers[s] = n
	}
	return n
}

func pack(env *mail.Envelope, subject string, w *words) packed {
	flags := uint64(env.Return)<<returnShift | uint64(env.Body)<<bodyShift
	flags |= bit(env.Auth != "", hasAuth) | bit(env.Peer.IsValid(), hasPeer) | bit(env.Domain != "", hasDomain) |
		bit(env.EnvelopeID != "", hasEnvelopeID) | bit(env.SMTPUTF8, isSMTPUTF8)
	b := make([]byte, 0, 256)
	b = append(binary.AppendUvarint(b, flags), byte(env.Source))
	b = binary.BigEndian.AppendUint64(b, uint64(env.Submitted.UnixNano()))
	b = text(b, env.ReturnPath.Local, env.ReturnPath.Domain, subject)
	if flags&hasAuth != 0 {
		b = text(b, env.Auth)
	}
	if flags&hasPeer != 0 {
		peer, _ := env.Peer.MarshalBinary() // never fails
		b = text(b, string(peer))
	}
	if flags&hasDomain != 0 {
		b = binary.AppendUvarint(b, w.number(env.Domain))
	}
	if flags&hasEnvelopeID != 0 {
		b = text(b, env.EnvelopeID)
	}
	for _, r := range env.Recipients {
		b = text(b, r.Address.Local, r.Address.Domain)
		if r.Original == "" {
			b = append(b, byte(r.Notify))
		} else {
			b = text(append(b, byte(r.Notify)|hasOriginal), r.Original)
		}
	}
	return packed(b)
}

func bit(has bool, b uint64) uint64 {
	if has {
		return b
	}
	return 0
}

func text(b []byte, all ...string) []byte {
	for _, s := range all {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return b
}

// A cursor reads a packed envelope from its beginning.
type cursor struct {
	rest  packed
	flags uint64
}

func (p packed) cursor() cursor {
	c := cursor{rest: p}
	c.flags = c.varint()
	return c
}

func (c *cursor) varint() (n uint64) {
	for shift := 0; ; shift += 7 {
		b := c.byte()
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return n
		}
	}
}

func (c *cursor) byte() byte {
	b := c.rest[0]
	c.rest = c.rest[1:]
	return b
}

func (c *cursor) text() string {
	n := c.varint()
	s := c.rest[:n]
	c.rest = c.rest[n:]
	return string(s)
}

func (c *cursor) address() mail.Address { return mail.Address{Local: c.text(), Domain: c.text()} }

// time reads when the message was submitted. Before it stands the source.
func (c *cursor) time() time.Time {
	n := int64(0)
	for _, b := range []byte(c.rest[:8]) {
		n = n<<8 | int64(b)
	}
	c.rest = c.rest[8:]
	return time.Unix(0, n)
}

// A face is what stands in front of the recipients.
type face struct {
	source    mail.Source
	submitted time.Time
	sender    mail.Address
	subject   string
	auth      string
}

// face reads the front; the recipients are behind what it returns.
func (p packed) face() (f face, behind cursor) {
	c := p.cursor()
	f.source = mail.Source(c.byte())
	f.submitted = c.time()
	f.sender = c.address()
	f.subject = c.text()
	if c.flags&hasAuth != 0 {
		f.auth = c.text()
	}
	return f, c
}

// submitted is when the message was submitted.
func (p packed) submitted() time.Time {
	c := p.cursor()
	c.byte()
	return c.time()
}

// recipients are what is behind a face, from the first recipient on.
func (c cursor) recipients() cursor {
	if c.flags&hasPeer != 0 {
		c.text()
	}
	if c.flags&hasDomain != 0 {
		c.varint()
	}
	if c.flags&hasEnvelopeID != 0 {
		c.text()
	}
	return c
}

// recipient reads the next recipient.
func (c *cursor) recipient() mail.Recipient {
	r := mail.Recipient{Address: c.address()}
	notify := c.byte()
	r.Notify = mail.Notify(notify &^ hasOriginal)
	if notify&hasOriginal != 0 {
		r.Original = c.text()
	}
	return r
}

// A reading is a place in the recipients of a packed envelope: most are asked for one
// after the other.
type reading struct {
	of     packed
	at     int // the next recipient
	cursor cursor
}

// recipient returns recipient i of a packed envelope.
func (r *reading) recipient(p packed, i int) mail.Recipient {
	if r.of != p || r.at > i || r.at == 0 {
		_, c := p.face()
		*r = reading{of: p, cursor: c.recipients()}
	}
	for ; r.at < i; r.at++ {
		r.cursor.recipient()
	}
	r.at++
	return r.cursor.recipient()
}

// envelope is that of a message, and its Subject.
func (s *State) envelope(m *message) (*mail.Envelope, string) {
	return m.packed.unpack(len(m.rcpts), &s.words)
}

// submitted is a recipient as it was submitted.
func (s *State) submitted(m *message, i int) mail.Recipient { return s.reading.recipient(m.packed, i) }

// unpack returns the envelope, with so many recipients, and the Subject.
func (p packed) unpack(recipients int, w *words) (*mail.Envelope, string) {
	f, c := p.face()
	env := &mail.Envelope{ReturnPath: f.sender, Source: f.source, Auth: f.auth, Submitted: f.submitted,
		Return: mail.Return(c.flags >> returnShift & 3), Body: mail.BodyType(c.flags >> bodyShift & 3), SMTPUTF8: c.flags&isSMTPUTF8 != 0}
	if c.flags&hasPeer != 0 {
		_ = env.Peer.UnmarshalBinary([]byte(c.text())) // pack wrote it
	}
	if c.flags&hasDomain != 0 {
		env.Domain = w.all[c.varint()]
	}
	if c.flags&hasEnvelopeID != 0 {
		env.EnvelopeID = c.text()
	}
	env.Recipients = make([]mail.Recipient, recipients)
	for i := range env.Recipients {
		env.Recipients[i] = c.recipient()
	}
	return env, f.subject
}
