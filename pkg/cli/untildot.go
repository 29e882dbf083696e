package cli

import (
	"bufio"
	"io"
)

// An untilDot is a text that ends before a line with a dot alone, or with its reader.
type untilDot struct {
	r      *bufio.Reader
	inLine bool
	ended  bool
	line   []byte // read, and not given yet
	err    error  // behind it
}

func newUntilDot(r io.Reader) *untilDot { return &untilDot{r: bufio.NewReaderSize(r, 64<<10)} }

// Read implements [io.Reader].
func (u *untilDot) Read(p []byte) (int, error) {
	if len(u.line) == 0 && !u.ended && u.err == nil {
		u.next()
	}
	if len(u.line) == 0 {
		if u.ended {
			return 0, io.EOF
		}
		return 0, u.err
	}
	n := copy(p, u.line)
	u.line = u.line[n:]
	return n, nil
}

// next reads a line, or a piece of one that is long.
func (u *untilDot) next() {
	begins := !u.inLine
	u.line, u.err = u.r.ReadSlice('\n')
	if u.err == bufio.ErrBufferFull {
		u.err = nil
	}
	if n := len(u.line); n > 0 {
		u.inLine = u.line[n-1] != '\n'
	}
	switch string(u.line[:min(len(u.line), 4)]) {
	case ".", ".\n", ".\r\n":
		if begins && (u.err == nil || u.err == io.EOF) {
			u.line, u.ended = nil, true
		}
	}
}
