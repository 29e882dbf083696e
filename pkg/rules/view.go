package rules

import (
	"bytes"
	"io"
	"mime"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-message/charset"

	"cgq/pkg/header"
	"cgq/pkg/mail"
)

// The values of Source and Security.
const (
	trusted, authenticated = "trusted", "authenticated"
	encrypted, signed      = "encrypted", "signed"
)

// maxKept is how many bytes a view that rests has room for.
const maxKept = 64 << 10

// A view is one message as conditions see it: each value is made when the first
// condition asks for it, and kept till the header changes.
type view struct {
	m     *Message
	shown bool // for people: as it is written, not folded

	parsed bool
	header []byte // that was parsed
	lines  []string
	fields []field
	buf    []byte

	made [subjects]bool
	list [subjects][]string
}

// A field is one field of the header.
type field struct {
	header.Field
	colon   int  // in its line
	encoded bool // it has encoded words
}

func (v *view) begin(m *Message, shown bool) {
	v.m, v.shown = m, shown
	v.drop()
}

// forget lets go of the message.
func (v *view) forget() {
	v.drop()
	v.m, v.header = nil, nil
	if cap(v.buf) > maxKept {
		v.buf, v.fields, v.lines, v.list = nil, nil, nil, [subjects][]string{} // of an unusual message
	}
	clear(v.fields[:cap(v.fields)])
	clear(v.lines[:cap(v.lines)])
	for i := range v.list {
		clear(v.list[i][:cap(v.list[i])])
	}
}

func (v *view) drop() {
	v.parsed = false
	v.made = [subjects]bool{}
}

// refresh drops what is known when an action has changed the header.
func (v *view) refresh() {
	h := v.m.Header
	if v.parsed && len(h) == len(v.header) && (len(h) == 0 || &h[0] == &v.header[0]) {
		v.made[routes] = false
		return
	}
	v.drop()
}

// parse makes a line of each field, in which nothing stands between colon and value.
func (v *view) parse() {
	v.parsed, v.header = true, v.m.Header
	v.buf, v.fields, v.lines = v.buf[:0], v.fields[:0], v.lines[:0]
	for f := range header.Fields(v.header) {
		begin := len(v.buf)
		v.buf = append(v.buf, f.Name...)
		v.buf = append(v.buf, ':')
		own := field{Field: f, colon: len(v.buf) - begin, encoded: bytes.Contains(f.Value, []byte("=?"))}
		v.value(&own)
		own.Start, own.End = begin, len(v.buf)
		v.fields = append(v.fields, own)
	}
	all := string(v.buf)
	for _, f := range v.fields {
		v.lines = append(v.lines, all[f.Start:f.End])
	}
}

// value appends the text of a field: unfolded, decoded, and in lower case.
func (v *view) value(f *field) {
	raw := bytes.Trim(f.Value, " \t\r\n")
	begin := len(v.buf)
	plain := !f.encoded
	for i := 0; plain && i < len(raw); i++ {
		c := raw[i]
		plain = c < utf8.RuneSelf
		if c != '\n' && !(c == '\r' && i+1 < len(raw) && raw[i+1] == '\n') {
			v.buf = append(v.buf, c)
		}
	}
	if !plain {
		v.buf = append(v.buf[:begin], decode(f.Text())...)
	}
	if v.shown {
		return
	}
	begin -= f.colon // the name is folded, too
	if plain {
		for i, c := range v.buf[begin:] {
			if c >= 'A' && c <= 'Z' {
				v.buf[begin+i] = c + 'a' - 'A'
			}
		}
		return
	}
	v.buf = append(v.buf[:begin], fold(string(v.buf[begin:]))...)
	f.colon = bytes.IndexByte(v.buf[begin:], ':') + 1
}

// decode decodes encoded words (RFC 2047) in every charset that is known; a word in
// another hides no other. The answer is valid UTF-8.
func decode(text string) string {
	if strings.Contains(text, "=?") {
		d := mime.WordDecoder{CharsetReader: known}
		if s, err := d.DecodeHeader(text); err == nil {
			text = s
		}
	}
	return strings.ToValidUTF8(text, string(utf8.RuneError))
}

// known reads a text in a charset, as it is when that is not known.
func known(name string, text io.Reader) (io.Reader, error) {
	if r, err := charset.Reader(name, text); err == nil {
		return r, nil
	}
	return text, nil
}

func (v *view) fold(s string) string {
	if v.shown {
		return s
	}
	return fold(s)
}

// values are what there is to compare; none if it is absent.
func (v *view) values(s subject) []string {
	if s == 0 || v.made[s] {
		return v.list[s]
	}
	if s <= security && !v.parsed {
		v.parse()
	}
	v.made[s] = true
	if s == headerField {
		return v.keep(s, v.lines)
	}
	return v.keep(s, v.collect(s, v.list[s][:0]))
}

func (v *view) keep(s subject, values []string) []string {
	v.list[s] = values
	return values
}

// collect appends the values of a subject.
func (v *view) collect(s subject, all []string) []string {
	switch s {
	case from:
		return v.addresses(all, "from", false)
	case sender:
		return v.addresses(all, "sender", false)
	case to:
		return v.addresses(all, "to", false)
	case cc:
		return v.addresses(all, "cc", false)
	case replyTo:
		return v.addresses(all, "reply-to", false)
	case fromName:
		return v.addresses(all, "from", true)
	case toOrCc:
		return v.addresses(v.addresses(all, "to", false), "cc", false)
	case subjectField:
		return v.texts(all, "subject")
	case messageID:
		return v.texts(all, "message-id")
	case security:
		return append(all, v.security())
	case human:
		return append(all, v.automatic())
	}
	return v.envelope(s, all)
}

// envelope appends what is not read from the header.
func (v *view) envelope(s subject, all []string) []string {
	e := v.m.Envelope
	switch s {
	case returnPath:
		return append(all, v.fold(e.ReturnPath.String()))
	case recipients:
		for _, r := range e.Recipients {
			all = append(all, v.fold(r.Address.String()))
		}
	case routes:
		for _, r := range v.m.Routes {
			all = append(all, v.fold(r))
		}
	case source:
		if v.m.trusted() {
			all = append(all, trusted)
		}
		if e.Auth != "" {
			all = append(all, authenticated)
		}
	case submitAddress:
		return append(all, v.fold(submitted(e)))
	case messageSize:
		return append(all, strconv.FormatInt(v.m.Size, 10))
	case timeOfDay:
		return append(all, v.m.Now.Format("15:04"))
	case currentDay:
		return append(all, v.fold(days[v.m.Now.Weekday()]))
	case currentDate:
		return append(all, v.m.Now.Format("02 Jan 2006 15:04:05"))
	}
	return all
}

// trusted says whether the message is from a Client IP Address, or was made here.
func (m *Message) trusted() bool {
	s := m.Envelope.Source
	return m.Client || s != 0 && !s.External()
}

// submitted is the Submit Address: TAG [address].
func submitted(e *mail.Envelope) string {
	ip := "0.0.0.0"
	if e.Peer.IsValid() {
		ip = e.Peer.String()
	}
	tag := ""
	if e.Source != 0 {
		tag = e.Source.String()
	}
	return tag + " [" + ip + "]"
}

// named calls f with each field that has a name, which is in lower case.
func (v *view) named(name string, f func(i int)) {
	if !v.parsed {
		v.parse()
	}
	for i := range v.fields {
		if colon := v.fields[i].colon; colon == len(name)+1 && strings.EqualFold(v.lines[i][:colon-1], name) {
			f(i)
		}
	}
}

func (v *view) texts(all []string, name string) []string {
	v.named(name, func(i int) { all = append(all, v.lines[i][v.fields[i].colon:]) })
	return all
}

// addresses appends the addresses in all fields of a name, or the names of those that
// have one. They are parsed before encoded words are decoded: those are never syntax
// (RFC 2047 §5).
func (v *view) addresses(all []string, name string, names bool) []string {
	v.named(name, func(i int) {
		f := &v.fields[i]
		text := v.lines[i][f.colon:]
		if f.encoded {
			text = strings.ToValidUTF8(f.Text(), string(utf8.RuneError))
		}
		for display, address := range header.Addresses(text) {
			switch {
			case !names:
				all = append(all, v.foldEncoded(address, f.encoded))
			case display != "" && f.encoded:
				all = append(all, v.fold(decode(display)))
			case display != "":
				all = append(all, display)
			}
		}
	})
	return all
}

func (v *view) foldEncoded(s string, encoded bool) string {
	if encoded {
		return v.fold(s)
	}
	return s
}

// first is the value of the first field of a name, which is in lower case, or nothing.
func (v *view) first(name string) (text string) {
	found := false
	v.named(name, func(i int) {
		if !found {
			found, text = true, v.lines[i][v.fields[i].colon:]
		}
	})
	return text
}

// security says how a message is protected (RFC 1847, RFC 8551 §3.2.2, RFC 3156);
// nothing: it is not.
func (v *view) security() string {
	kind := fold(v.first("content-type"))
	kind, parameters, _ := strings.Cut(kind, ";")
	parameters = strings.NewReplacer(" ", "", "\t", "", `"`, "").Replace(parameters)
	switch strings.TrimSpace(kind) {
	case "multipart/encrypted":
		return encrypted
	case "multipart/signed":
		return signed
	case "application/pkcs7-mime", "application/x-pkcs7-mime":
		switch {
		case strings.Contains(parameters, "smime-type=signed-data"):
			return signed
		case strings.Contains(parameters, "smime-type=certs-only"), strings.Contains(parameters, "smime-type=compressed-data"):
			return ""
		}
		return encrypted
	}
	return ""
}
