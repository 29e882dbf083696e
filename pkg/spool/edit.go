package spool

import (
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"

	"cgq/pkg/fact"
)

// edits are those that a fact makes to the text of its message, or nil.
func edits(f fact.Fact) []fact.Edit {
	if f, ok := f.(fact.Filtered); ok && len(f.Edits) > 0 {
		return f.Edits
	}
	return nil
}

// An editedText is a text with edits. Reading it takes turns between what was submitted
// and what was added; neither is copied.
type editedText struct {
	*io.SectionReader
	io.Closer
}

// pieces are a text, put together.
type pieces struct {
	all  []piece
	size int64
}

// A piece is a part of a text, from there to where the next one begins.
type piece struct {
	at   int64 // in the whole
	from io.ReaderAt
	off  int64 // in from
}

func (p *pieces) add(from io.ReaderAt, off, n int64) {
	if n > 0 {
		p.all = append(p.all, piece{p.size, from, off})
		p.size += n
	}
}

// ReadAt implements [io.ReaderAt].
func (p *pieces) ReadAt(b []byte, off int64) (n int, err error) {
	i := sort.Search(len(p.all), func(i int) bool { return p.all[i].at > off }) - 1
	for ; n < len(b) && i >= 0 && i < len(p.all); i++ {
		end := p.size
		if i+1 < len(p.all) {
			end = p.all[i+1].at
		}
		into := b[n:min(int64(len(b)), int64(n)+end-off)]
		read, err := p.all[i].from.ReadAt(into, p.all[i].off+off-p.all[i].at)
		n, off = n+read, off+int64(read)
		if read < len(into) {
			return n, err
		}
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// edit returns a text with what the facts say of it. It takes the text over.
func edit(r source, facts []fact.Fact) (io.ReadSeekCloser, error) {
	for _, f := range facts {
		filtered, ok := f.(fact.Filtered)
		switch {
		case !ok:
			continue
		case !filtered.Fits(r.Size()):
			return nil, errors.Join(fmt.Errorf("%w: its edits are of a longer text", ErrDamaged), r.Close())
		}
		var p pieces
		at := int64(0)
		for _, e := range filtered.Edits {
			p.add(r, at, e.At-at)
			p.add(strings.NewReader(e.Text), 0, int64(len(e.Text)))
			at = e.At + e.Cut
		}
		p.add(r, at, r.Size()-at)
		return editedText{io.NewSectionReader(&p, 0, p.size), r}, nil // there is one at most
	}
	return r, nil
}
