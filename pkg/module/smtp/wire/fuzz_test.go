package wire

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// segments is a socket whose input comes in pieces of the sizes given, over and over.
type segments struct {
	net.Conn
	in    []byte
	sizes []byte
	n     int
}

func (s *segments) Read(p []byte) (int, error) {
	if len(s.in) == 0 {
		return 0, io.EOF
	}
	size := len(s.in)
	if len(s.sizes) > 0 {
		size = int(s.sizes[s.n%len(s.sizes)])%80 + 1
		s.n++
	}
	n := copy(p, s.in[:min(size, len(s.in))])
	s.in = s.in[n:]
	return n, nil
}
func (s *segments) Write(p []byte) (int, error)      { return len(p), nil }
func (s *segments) Close() error                     { return nil }
func (s *segments) SetReadDeadline(time.Time) error  { return nil }
func (s *segments) SetWriteDeadline(time.Time) error { return nil }

// reference reads a dotted text the slow way. The end is what it says of it.
func reference(in []byte) (text string, rest []byte, err error) {
	raw, rest, found := bytes.Cut(append([]byte("\r\n"), in...), []byte("\r\n.\r\n"))
	if !found {
		return "", nil, ErrLost
	}
	text, err = canonical(append(raw, "\r\n"...)[2:])
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimPrefix(line, "."))
	}
	return b.String(), rest, err
}

// canonical makes LF of CRLF, and says why a text must be refused.
func canonical(raw []byte) (string, error) {
	lf := bytes.ReplaceAll(raw, []byte("\r\n"), nil)
	switch {
	case bytes.ContainsAny(lf, "\r\n"):
		return "", ErrBare
	case bytes.ContainsRune(lf, 0):
		return "", ErrNUL
	}
	return string(bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))), nil
}

// received reads a text as a session does, the rest as Conn does, and returns what
// is left for commands.
func received(c *Conn, pieces bool) (text string, rest []byte, err error) {
	var b strings.Builder
	if pieces {
		_, err = io.CopyBuffer(struct{ io.Writer }{&b}, struct{ io.Reader }{&c.body}, make([]byte, 7))
	} else {
		_, err = c.body.WriteTo(&b)
	}
	if c.body.drop() != nil {
		return b.String(), nil, err
	}
	rest, _ = io.ReadAll(io.MultiReader(bytes.NewReader(bytes.Clone(c.buf[c.r:c.w])), c.sock))
	return b.String(), rest, err
}

func options() Options {
	return Options{Domain: "x", MaxLine: 2048, Command: time.Hour, Data: time.Hour, Write: time.Hour}
}

func FuzzDots(f *testing.F) {
	for _, s := range []string{
		".\r\n", "x\r\n.\r\nQUIT\r\n", "..x\r\n.\r\n", "x\r\r\n.\r\n", "x\n.\r\n.\r\n", ".\r.\r\n.\r\n",
		"\r\n.\n.\r\n.\r\n", "a\x00\r\n.\r\n",
		".x\r\n..\r\n...\r\n.\r\n", "\r", ".", ".\r", "\r\n.\r\r\n.\r\n",
	} {
		f.Add([]byte(s), []byte{0}, false)
		f.Add([]byte(s), []byte{1, 2, 79}, true)
	}
	f.Fuzz(func(t *testing.T, in, sizes []byte, pieces bool) {
		c := New(&segments{in: in, sizes: sizes}, options())
		c.body.begin(false, 0, false)
		text, rest, err := received(c, pieces)
		wantText, wantRest, wantErr := reference(in)
		if wantErr == ErrLost { // what is wrong before the end is found before it is missed
			if err == nil {
				t.Errorf("%q: accepted %q; want an error", in, text)
			}
			return
		}
		bad := wantErr != nil
		if bad != (err != nil) || err == ErrLost || !bad && text != wantText || !bytes.Equal(rest, wantRest) {
			t.Errorf("%q in %v: got %q, rest %q, %v; want %q, rest %q, %v", in, sizes, text, rest, err, wantText, wantRest,
				wantErr)
		}
	})
}

func FuzzChunks(f *testing.F) {
	for _, s := range []string{"", "x", "x\r\n", "x\r", "a\r\nb\r\n", ".\r\n", "x\r\n.\r\n", "a\nb", "\x00", "\r\n\r\n"} {
		f.Add([]byte(s), []byte{0}, false)
		f.Add([]byte(s), []byte{3, 1}, true)
	}
	f.Fuzz(func(t *testing.T, in, sizes []byte, pieces bool) {
		var wire bytes.Buffer
		cut := len(in) / 2
		fmt.Fprintf(&wire, "%sBDAT %d LAST\r\n%sQUIT\r\n", in[:cut], len(in)-cut, in[cut:])
		c := New(&segments{in: wire.Bytes(), sizes: sizes}, options())
		c.body.begin(true, int64(cut), false)
		text, rest, err := received(c, pieces)
		want, wantErr := canonical(in)
		if want != "" && !strings.HasSuffix(want, "\n") {
			want += "\n"
		}
		switch {
		case wantErr == nil:
			if err != nil || text != want || string(rest) != "QUIT\r\n" {
				t.Errorf("%q in %v: got %q, rest %q, %v; want %q", in, sizes, text, rest, err, want)
			}
		case err == nil:
			t.Errorf("%q: accepted %q; want %v", in, text, wantErr)
		}
	})
}
