package rules

import (
	"bytes"
	"mime"
	"strings"

	"cgq/pkg/header"
)

const foldAt = 76 // columns of a line of a header (RFC 5322 §2.1.1: 78)

// fieldLine is a field with its line end: what is not ASCII is encoded (RFC 2047), and
// what is long folded.
func fieldLine(name, value string) string {
	return name + ": " + encodeWords(value, len(name)+2) + "\n"
}

// encodeWords is a text for a line of a header that has column columns already.
func encodeWords(s string, column int) string {
	if !ascii(s) {
		s = mime.QEncoding.Encode("utf-8", s)
	}
	return foldText(s, column)
}

// foldText breaks a text at its blanks.
func foldText(s string, column int) string {
	if column+len(s) <= foldAt {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		end := i + 1
		for end < len(s) && s[end] != ' ' && s[end] != '\t' {
			end++
		}
		blank := s[i] == ' ' || s[i] == '\t'
		if blank && column+end-i > foldAt && strings.TrimLeft(s[i:], " \t") != "" && end > i+1 {
			b.WriteByte('\n')
			column = 0
		}
		b.WriteString(s[i:end])
		column += end - i
		i = end
	}
	return b.String()
}

// Edit returns the header as Add Header and Tag Subject leave it; any other action
// leaves it alone. The old bytes stay as they are. What Add Header adds stands at the
// end of the header. A Subject that has the tag in front is not tagged again.
func (a Action) Edit(head []byte) []byte {
	switch a.Kind {
	case AddHeader:
		return insert(head, a.fields)
	case TagSubject:
		return a.tag(head)
	}
	return head
}

// insert puts fields in front of the blank line.
func insert(head, fields []byte) []byte {
	end := header.Len(head)
	rest := head[end:]
	own := head[:end]
	switch {
	case bytes.HasSuffix(own, []byte("\n\n")) || string(own) == "\n":
		own, rest = own[:len(own)-1], head[end-1:]
	case bytes.HasSuffix(own, []byte("\n\r\n")):
		own, rest = own[:len(own)-2], head[end-2:]
	}
	all := make([]byte, 0, len(head)+len(fields)+1)
	all = append(all, own...)
	if len(own) > 0 && own[len(own)-1] != '\n' {
		all = append(all, '\n')
	}
	all = append(all, fields...)
	return append(all, rest...)
}

// tag puts the tag in front of the Subject.
func (a Action) tag(head []byte) []byte {
	for f := range header.Fields(head) {
		if !f.Is("Subject") {
			continue
		}
		text := decode(f.Text())
		if strings.HasPrefix(fold(text), fold(strings.TrimSpace(a.Param))) {
			return head
		}
		all := make([]byte, 0, len(head)+len(a.fields)+16)
		all = append(all, head[:f.Start]...)
		all = append(all, "Subject: "...)
		if bytes.HasPrefix(bytes.TrimLeft(f.Value, " \t\r\n"), []byte("=?")) && !ascii(a.Param) {
			// RFC 2047 §6.2: a blank between encoded words is not shown.
			all = append(all, encodeWords(strings.TrimSpace(a.Param)+" ", len("Subject: "))...)
		} else {
			all = append(all, a.fields...)
		}
		if value := bytes.TrimLeft(f.Value, " \t"); len(value) > 0 && value[0] != '\n' && value[0] != '\r' {
			all = append(all, ' ')
			all = append(all, value...)
		} else {
			all = append(all, f.Value...)
		}
		if head[f.End-1] == '\n' {
			all = append(all, '\n')
		}
		return append(all, head[f.End:]...)
	}
	return insert(head, []byte("Subject: "+string(a.fields)+"\n"))
}
