package smtp

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// nopText is a text without a file.
type nopText struct {
	io.Reader
	io.Seeker
}

func (nopText) Close() error { return nil }

// wireOf is the text as it goes out, the second time, when it is sent again.
func wireOf(t *testing.T, in string, slow bool) string {
	t.Helper()
	r := strings.NewReader(in)
	src := nopText{r, r}
	if slow {
		src.Reader = iotest.OneByteReader(r)
	}
	x := newText(src)
	defer x.close()
	var out [2]bytes.Buffer
	for i := range out {
		for {
			if x.err != nil {
				t.Fatal(x.err)
			}
			out[i].Write(x.piece())
			if x.whole {
				break
			}
			x.next()
		}
		x.rewind()
	}
	if !bytes.Equal(out[0].Bytes(), out[1].Bytes()) {
		t.Errorf("%.100q: %.200q, and again %.200q", in, out[0].Bytes(), out[1].Bytes())
	}
	return out[0].String()
}

func TestWireForm(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", ".\r\n"},
		{"\n", "\r\n.\r\n"},
		{"a", "a\r\n.\r\n"},
		{"a\nb\n", "a\r\nb\r\n.\r\n"},
		{".\n..\n.a\nb.\n", "..\r\n...\r\n..a\r\nb.\r\n.\r\n"},
		{".", "..\r\n.\r\n"},
		{"a\r\nb", "a\r\nb\r\n.\r\n"},
		{"a\r\r\nb", "a \r\nb\r\n.\r\n"},
		{"a\r.\rb\n", "a . b\r\n.\r\n"},
		{"\r.\n", " .\r\n.\r\n"},
		{"a\n.\r\n", "a\r\n..\r\n.\r\n"},
		{"a\r", "a \r\n.\r\n"},
		{"\r\n", "\r\n.\r\n"},
		{strings.Repeat("\n", 100_000), strings.Repeat("\r\n", 100_000) + ".\r\n"},
		{strings.Repeat(".\n", 100_000), strings.Repeat("..\r\n", 100_000) + ".\r\n"},
		{strings.Repeat("x", 100_000), strings.Repeat("x", 100_000) + "\r\n.\r\n"},
	} {
		for _, slow := range []bool{false, true} {
			if got := wireOf(t, tt.in, slow); got != tt.want {
				t.Errorf("%.100q, slow %v: %.200q, want %.200q", tt.in, slow, got, tt.want)
			}
		}
	}
}

func TestHasHigh(t *testing.T) {
	for n := range 20 {
		for at := range n {
			p := bytes.Repeat([]byte{'x'}, n)
			if hasHigh(p) {
				t.Errorf("%q has none", p)
			}
			if p[at] = 0x80; !hasHigh(p) {
				t.Errorf("%q has one", p)
			}
		}
	}
}

// Whatever a text is, what goes out ends once, at its end, and has no bare CR or LF.
func FuzzWireForm(f *testing.F) {
	for _, s := range []string{"", "a\n.\nb", "\r\n.\r\n", "\r.\r", ".\r\n.", "a\r\r\n.\n"} {
		f.Add(s, false)
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, in string, slow bool) {
		out := wireOf(t, in, slow)
		if i := strings.Index("\r\n"+out, "\r\n.\r\n"); i != len(out)-3 {
			t.Errorf("%q: %q ends at %d", in, out, i)
		}
		if rest := strings.ReplaceAll(out, "\r\n", ""); strings.ContainsAny(rest, "\r\n") {
			t.Errorf("%q: %q has a bare CR or LF", in, out)
		}
		if !strings.Contains(in, "\r") {
			want := in
			if want != "" && !strings.HasSuffix(want, "\n") {
				want += "\n"
			}
			var got strings.Builder
			for line := range strings.Lines(strings.TrimSuffix(out, ".\r\n")) {
				got.WriteString(strings.ReplaceAll(strings.TrimPrefix(line, "."), "\r\n", "\n"))
			}
			if got.String() != want {
				t.Errorf("%q: %q reads as %q", in, out, got.String())
			}
		}
	})
}
