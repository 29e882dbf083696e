package submitted

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"io"
	"slices"
	"strings"
	"time"

	"cgq/pkg/header"
	"cgq/pkg/mail"
)

// The limits of a header.
const (
	maxHeader     = 4 << 20
	maxRecipients = 100_000
	maxEnvelopeID = 100 // RFC 3461 §4.4
)

// A message is what a file holds.
type message struct {
	env  *mail.Envelope
	head []byte // as it goes on, with the blank line
	body int64  // the offset of the rest in the file
}

// A maker makes messages of files.
type maker struct {
	*mapping
	domain string
	now    time.Time
	unique func() string
}

// make reads the header of a file and makes the envelope of it. The fields are those of
// the product (chapter: PIPE module, The Submitted Folder). A [fault] is the file's.
func (k *maker) make(r io.ReaderAt, size int64) (*message, error) {
	raw, err := headOf(r, size)
	if err != nil {
		return nil, err
	}
	h := fields{head: raw}
	if err := h.read(); err != nil {
		return nil, err
	}
	m := &message{body: int64(len(raw)), env: &mail.Envelope{Source: k.source, Auth: k.account}}
	if m.env.ReturnPath, err = k.from(&h); err != nil {
		return nil, err
	}
	if m.env.Recipients, err = h.recipients(); err != nil {
		return nil, err
	}
	if m.env.EnvelopeID = h.first("Envelope-ID"); !printable(m.env.EnvelopeID) {
		return nil, faulty("Envelope-ID: it is longer than 100 bytes, or not plain ASCII")
	}
	m.env.SMTPUTF8 = !m.env.ReturnPath.ASCII() ||
		slices.ContainsFunc(m.env.Recipients, func(r mail.Recipient) bool { return !r.Address.ASCII() })
	m.head, err = k.rewrite(&h)
	return m, err
}

func printable(s string) bool {
	return len(s) <= maxEnvelopeID && !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' })
}

// headOf reads the header of a file, with the blank line behind it. Where a line is no
// field any more the text begins, though there is no blank line, as sendmail has it.
func headOf(r io.ReaderAt, size int64) ([]byte, error) {
	var b []byte
	for {
		n := len(b)
		b = slices.Grow(b, max(n, 32<<10))
		got, err := r.ReadAt(b[n:min(int64(cap(b)), size)], int64(n))
		b = b[:n+got]
		if err != nil && err != io.EOF {
			return nil, err
		}
		all := int64(len(b)) == size || err == io.EOF
		end, whole := extent(b, all)
		switch {
		case (whole || all) && end <= maxHeader:
			return b[:end], nil
		case whole || all || len(b) >= maxHeader:
			return nil, faulty("its header is longer than %d bytes", maxHeader)
		}
	}
}

// extent returns where the header in the start of a text ends, and whether that is so
// whatever comes behind; all says that nothing does.
func extent(b []byte, all bool) (end int, whole bool) {
	for end < len(b) {
		n := bytes.IndexByte(b[end:], '\n') + 1
		if n == 0 {
			if !all {
				return end, false
			}
			n = len(b) - end
		}
		line := b[end : end+n]
		switch {
		case len(bytes.TrimRight(line, "\r\n")) == 0:
			return end + n, true
		case end == 0 && bytes.HasPrefix(line, []byte("From ")): // of a mailbox
		case end > 0 && (line[0] == ' ' || line[0] == '\t'): // a fold
		case !header.IsField(line):
			return end, true
		}
		end += n
	}
	return end, false
}

// fields are a header, and what it says of the envelope.
type fields struct {
	head []byte
	all  []header.Field
}

func (h *fields) read() error {
	h.all = slices.Collect(header.Fields(h.head))
	switch {
	case len(h.all) == 0:
		return faulty("it does not begin with a header")
	case bytes.IndexByte(h.head, 0) >= 0:
		return faulty("there is a NUL byte in its header")
	case bytes.Count(h.head, []byte("\r")) != bytes.Count(h.head, []byte("\r\n")):
		return faulty("there is a carriage return inside a line of its header")
	}
	return nil
}

// has says whether there is a field.
func (h *fields) has(name string) bool {
	return slices.ContainsFunc(h.all, func(f header.Field) bool { return f.Is(name) })
}

// first is the text of the first field with a name.
func (h *fields) first(name string) string {
	for _, f := range h.all {
		if f.Is(name) {
			return f.Text()
		}
	}
	return ""
}

// in are the addresses in all fields with one of the names.
func (h *fields) in(names ...string) (all []mail.Address, err error) {
	for _, f := range h.all {
		if !slices.ContainsFunc(names, f.Is) {
			continue
		}
		some, err := addresses(f.Text())
		if err != nil {
			return nil, faulty("%s: %v", f.Name, err)
		}
		all = append(all, some...)
	}
	return all, nil
}

// recipients are those of Envelope-To, if there is one; else those of To, Cc and Bcc
// without those of Envelope-Ignore. Each is there once.
func (h *fields) recipients() (all []mail.Recipient, err error) {
	names, leave := []string{"Envelope-To"}, []mail.Address(nil)
	if !h.has("Envelope-To") {
		names = []string{"To", "Cc", "Bcc"}
		if leave, err = h.in("Envelope-Ignore"); err != nil {
			return nil, err
		}
	}
	list, err := h.in(names...)
	if err != nil {
		return nil, err
	}
	seen := map[mail.Address]bool{}
	for _, a := range leave {
		seen[a.Fold()] = true
	}
	for _, a := range list {
		switch {
		case a.IsZero():
			return nil, faulty("<> is no recipient")
		case !seen[a.Fold()]:
			seen[a.Fold()] = true
			all = append(all, mail.Recipient{Address: a})
		}
	}
	switch {
	case len(all) == 0:
		return nil, faulty("no recipients: there is no address in %s", strings.Join(names, ", "))
	case len(all) > maxRecipients:
		return nil, faulty("%d recipients, %d are the most", len(all), maxRecipients)
	}
	return all, nil
}

// from is the return path. Without a domain it is of the main domain.
func (k *maker) from(h *fields) (a mail.Address, err error) {
	switch set := k.returnPath; {
	case set != nil && (k.force || !h.has("Return-Path")):
		a = *set
	case h.has("Return-Path"):
		all, err := addresses(h.first("Return-Path"))
		if err != nil || len(all) != 1 {
			return a, faulty("Return-Path: %q is not one address", h.first("Return-Path"))
		}
		a = all[0]
	default:
		a = k.sender(h)
	}
	if a.Domain == "" && !a.IsZero() {
		a.Domain = k.domain
	}
	return a, nil
}

// sender is who hears of a message that does not say who should.
func (k *maker) sender(h *fields) mail.Address {
	for _, name := range []string{"Sender", "From"} {
		if all, err := addresses(h.first(name)); err == nil && len(all) > 0 && !all[0].IsZero() {
			return all[0]
		}
	}
	return mail.Address{Local: "postmaster", Domain: k.domain}
}

// private are the fields that are for this server alone. A return path is written when a
// message is delivered (RFC 5321 §4.4).
var private = []string{"Envelope-To", "Envelope-Ignore", "Envelope-ID", "Return-Path", "Bcc"}

// rewrite is the header as it goes on: without the private fields, with what every message
// has (chapter: Adding Required Headers), with LF.
func (k *maker) rewrite(h *fields) ([]byte, error) {
	// What is no field stands first, if at all: a mailbox's line.
	b := header.Without(h.head[h.all[0].Start:h.all[len(h.all)-1].End], private...)
	if !h.has("Date") {
		b = append(b, "Date: "+k.now.Format(header.DateForm)+"\n"...)
	}
	if !h.has("Message-ID") {
		b = append(b, "Message-ID: <pipe-"+k.unique()+"@"+k.domain+">\n"...)
	}
	return append(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")), '\n'), nil
}

// unique is text that nobody has guessed or will meet again.
func unique() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
