// Package submission makes a message of what a program on this machine hands in: it reads
// the recipients out of the header, takes fields away that are nobody's business, and adds
// those that RFC 5322 wants. Other fields and the body stay as they are, byte by byte, but
// for line ends: CRLF becomes LF, and the last line gets one.
//
// It asks nobody and queues nothing; that a sender may do what he wants is not its affair.
package submission

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"mime"
	"slices"
	"strings"
	"time"

	"cgq/pkg/header"
	"cgq/pkg/mail"
	"cgq/pkg/module"
)

// MaxHeader is how many bytes a header may have.
const MaxHeader = 1 << 20

// Options say what is not in the message.
type Options struct {
	Domain     string       // of addresses without one, and of the Message-ID
	From       mail.Address // for a From field that is missing
	FullName   string       // in front of it, or empty
	Now        time.Time    // for a Date field that is missing
	Recipients bool         // read them out of the header
}

// A Message is a message as it goes into the Queue.
type Message struct {
	io.Reader                 // the text: RFC 5322, with LF line ends
	Recipients []mail.Address // of To, Cc and Bcc, or of the Resent fields if there are any; each once
}

// Read reads the header of a message from r; the rest is read with the Message. Errors are
// those of r, and a *module.Rejection: a header that is too long or has a NUL in it, or an
// address that is none.
func Read(r io.Reader, o Options) (*Message, error) {
	b := bufio.NewReaderSize(&lines{r: bufio.NewReaderSize(r, 32<<10)}, 32<<10)
	head, blank, err := readHeader(b)
	if err != nil {
		return nil, err
	}
	if bytes.IndexByte(head, 0) >= 0 {
		return nil, module.Reject(5, 6, 0, "a NUL character in the header")
	}
	m := new(Message)
	if o.Recipients {
		if m.Recipients, err = recipients(head, o.Domain); err != nil {
			return nil, err
		}
	}
	text := append(header.Without(head, dropped...), o.missing(head)...)
	m.Reader = io.MultiReader(bytes.NewReader(append(text, '\n')), b)
	if !blank { // the body begins without a line in front of it
		return m, nil
	}
	_, err = b.Discard(1)
	return m, err
}

// readHeader reads fields. It ends where something else begins; blank says that this is the
// blank line, which is not read. In front of the first field a line of a mailbox may be,
// "From ann Mon Nov 23" (as sendmail and Postfix have it).
func readHeader(b *bufio.Reader) (head []byte, blank bool, err error) {
	for {
		start, err := b.Peek(maxName)
		if err != nil && err != io.EOF {
			return nil, false, err
		}
		line, _, _ := bytes.Cut(start, []byte{'\n'})
		separates := len(head) == 0 && (bytes.HasPrefix(line, []byte("From ")) || bytes.HasPrefix(line, []byte(">From ")))
		switch {
		case len(start) == 0 || len(line) == 0:
			return head, len(start) > 0, nil
		case !separates && !belongs(line, len(head) > 0):
			return head, false, nil
		}
		line, err = readLine(b, MaxHeader-len(head))
		if err != nil {
			return nil, false, err
		}
		if !separates {
			head = append(head, line...)
		}
	}
}

// maxName is how far a line is looked at for the colon behind its name.
const maxName = 1000

// belongs says whether a line is a field, or the fold of the one above it.
func belongs(line []byte, folds bool) bool {
	if line[0] == ' ' || line[0] == '\t' {
		return folds
	}
	return header.IsField(line)
}

// readLine reads a line of limit bytes at most.
func readLine(b *bufio.Reader, limit int) (line []byte, err error) {
	for {
		piece, err := b.ReadSlice('\n')
		if line = append(line, piece...); len(line) > limit {
			return nil, module.Reject(5, 3, 4, "the header is longer than 1 MB")
		}
		switch {
		case err == nil || err == io.EOF:
			return line, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

// recipients reads those of the header.
func recipients(head []byte, domain string) (all []mail.Address, err error) {
	names := []string{"To", "Cc", "Bcc"}
	resent := []string{"Resent-To", "Resent-Cc", "Resent-Bcc"}
	for f := range header.Fields(head) {
		if slices.ContainsFunc(resent, f.Is) {
			names = resent
		}
	}
	seen := map[mail.Address]bool{}
	for f := range header.Fields(head) {
		if !slices.ContainsFunc(names, f.Is) {
			continue
		}
		list, err := Addresses(f.Text(), domain)
		if err != nil {
			return nil, module.Reject(5, 1, 3, string(f.Name)+": "+err.Error())
		}
		for _, a := range list {
			if !seen[a.Fold()] {
				seen[a.Fold()] = true
				all = append(all, a)
			}
		}
	}
	return all, nil
}

// Addresses reads a list of addresses as a header has it. Those without a domain are of
// domain, but for the names that are the Router's own.
func Addresses(list, domain string) (all []mail.Address, err error) {
	for _, text := range header.Addresses(list) {
		a, err := mail.ParseAddress(text)
		if err != nil {
			return nil, err
		}
		all = append(all, Qualified(a, domain))
	}
	return all, nil
}

// Qualified is the address with a domain (chapter: NULL or ERROR addresses have none).
func Qualified(a mail.Address, domain string) mail.Address {
	if a.Domain == "" && a.Local != "" && !strings.EqualFold(a.Local, "NULL") && !strings.EqualFold(a.Local, "ERROR") {
		a.Domain = domain
	}
	return a
}

// dropped are the fields that a message does not keep: those that were for us, and those
// that only who delivers may write.
var dropped = []string{"Bcc", "Resent-Bcc", "Return-Path", "Content-Length"}

// missing are the fields that RFC 5322 §3.6 wants, and a Message-ID.
func (o *Options) missing(head []byte) (all []byte) {
	has := func(name string) bool { _, ok := header.Get(head, name); return ok }
	if !has("From") {
		all = append(all, "From: "+mailboxOf(o.FullName, o.From)+"\n"...)
	}
	if !has("Date") {
		all = append(all, "Date: "+o.Now.Format(header.DateForm)+"\n"...)
	}
	if !has("Message-ID") {
		all = append(all, "Message-ID: <"+o.Now.UTC().Format("20060102150405")+"."+rand.Text()+"@"+o.Domain+">\n"...)
	}
	return all
}

// mailboxOf is an address with a name (RFC 5322 §3.4, RFC 2047 §5).
func mailboxOf(name string, a mail.Address) string {
	name = strings.Join(strings.FieldsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f }), " ")
	switch encoded := mime.QEncoding.Encode("utf-8", name); {
	case name == "":
		return a.String()
	case encoded != name:
		return encoded + " " + a.Path()
	case strings.ContainsAny(name, "()<>[]:;@\\,.\""):
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `" ` + a.Path()
	}
	return name + " " + a.Path()
}

// lines is a text with LF line ends, also behind the last line. A CR that is not part of
// a line end stays; so the text has no CRLF.
type lines struct {
	r      *bufio.Reader
	buf    []byte
	out    []byte // of buf, not given yet
	crs    int    // CR that were read, and not put out
	inLine bool   // the last byte that was put out is not LF
	err    error
}

// Read implements [io.Reader].
func (l *lines) Read(p []byte) (int, error) {
	for len(l.out) == 0 {
		if l.err != nil {
			return 0, l.err
		}
		l.fill()
	}
	n := copy(p, l.out)
	l.out = l.out[n:]
	return n, nil
}

// fill puts out what is there.
func (l *lines) fill() {
	l.buf = l.buf[:0]
	if _, l.err = l.r.Peek(1); l.err == nil {
		piece, _ := l.r.Peek(l.r.Buffered())
		l.put(piece)
		_, _ = l.r.Discard(len(piece))
	}
	if l.err == io.EOF && (l.inLine || l.crs > 0) {
		l.buf, l.inLine, l.crs = append(l.buf, '\n'), false, 0
	}
	l.out = l.buf
}

func (l *lines) put(piece []byte) {
	for len(piece) > 0 {
		before, after, found := bytes.Cut(piece, []byte{'\r'})
		if len(before) > 0 {
			for ; l.crs > 0 && before[0] != '\n'; l.crs-- {
				l.buf = append(l.buf, '\r')
			}
			l.crs = 0
			l.buf = append(l.buf, before...)
			l.inLine = before[len(before)-1] != '\n'
		}
		if found {
			l.crs = min(l.crs+1, 1000) // who writes more of them in a row does not mean them
		}
		piece = after
	}
}
