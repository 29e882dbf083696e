package control

import (
	"io"
	"net/http"
	"sync/atomic"
)

// What requests that are not answered yet may hold in memory. A request of smallRequest bytes
// costs nothing; the larger ones of all users but root and the daemon's have maxBurden
// together, so that who sends many of them, and slowly, does not take the memory of the mail.
const (
	smallRequest = 64 << 10
	maxBurden    = 96 << 20
	// maxLine is how many bytes the request of an upload may have, of whose caller no right
	// may be wanted: as many as a command line.
	maxLine = 2 << 20
)

// A burden is the bytes of one request that are held.
type burden struct {
	of    *atomic.Int64 // of all requests
	free  bool          // nothing is counted
	bytes int64
	taken int64 // of them, counted in of
}

// bear returns the burden of a request, which has none yet. It has to end.
func (m *Mux) bear(r *http.Request) *burden {
	p, _ := r.Context().Value(peerKey{}).(*peer)
	return &burden{of: &m.burden, free: p != nil && p.err == nil && owner(p.cred.Uid)}
}

// add counts bytes that have come. An error is an *[Error]: there is no room for them.
func (b *burden) add(n int) error {
	b.bytes += int64(n)
	if b.free || b.bytes <= smallRequest {
		return nil
	}
	more := b.bytes - b.taken
	if b.of.Add(more) > maxBurden {
		b.of.Add(-more)
		return Errorf(KindBusy, "ask for less at a time, or try again later", "there are too many large requests")
	}
	b.taken = b.bytes
	return nil
}

// end is when nothing is held any more.
func (b *burden) end() {
	b.of.Add(-b.taken)
	b.taken = 0
}

// A weighed body counts what is read of it.
type weighed struct {
	io.ReadCloser
	of   *burden
	most int64
}

// Read implements [io.Reader]. An error may be an *[Error].
func (w *weighed) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	if e := w.of.add(n); e != nil {
		return n, e
	}
	if w.of.bytes > w.most {
		return n, tooLarge(w.most)
	}
	return n, err
}

func tooLarge(most int64) error {
	return Errorf(KindTooLarge, "ask for less at a time", "the request is larger than %d bytes", most)
}
