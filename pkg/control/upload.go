package control

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
)

// An Upload is a request with bytes behind it, as many as there are, and one answer
// when all of them are there.
type Upload[In, Out any] struct {
	Path  string // below /v1/
	Right Right  // what the caller must have
	Doc   string // what is answered
}

// An UploadFunc serves an [Upload]. It reads body to its end: io.EOF comes only when the
// caller has sent all that he wanted to, and every other error says that he has not, so
// that nothing may come of what was read. That error is to be returned, wrapped or not.
type UploadFunc[In, Out any] func(ctx context.Context, who Actor, in In, body io.Reader) (Out, error)

const (
	// uploadStall is how long a caller may send nothing: what he passes on may be the
	// output of a program that is silent for long.
	uploadStall = time.Hour
	// drainTime is how long somebody who is refused may go on sending before he reads why.
	drainTime = 10 * time.Second
)

// HandleUpload serves an upload with fn. When the request has a method Check() error, it
// is asked first. A caller who sends nothing for an hour (see [Mux.Stall]) is given up, and
// so is one who still sends when the server stops. The request is one line of JSON in front
// of the bytes; that the body has ended, and not been cut off, says its last chunk
// (RFC 9112 §7.1, §8).
func HandleUpload[In, Out any](m *Mux, u Upload[In, Out], fn UploadFunc[In, Out]) {
	m.add(declare[In, Out](FormUpload, u.Path, u.Right, u.Doc), false, func(w http.ResponseWriter, r *http.Request, who Actor) error {
		ctrl := http.NewResponseController(w)
		_ = ctrl.EnableFullDuplex() // a refusal is sent while the caller still sends
		stop := serving(r.Context())
		body := newUploadBody(stop, r.Body, ctrl, m.Stall)
		body.by = time.Now().Add(m.patience()) // the line
		held := m.bear(r)
		defer held.end()
		defer context.AfterFunc(stop, body.wake)()
		var out Out
		err := guard(func() error {
			in, err := readLine[In](body, held)
			body.by = time.Time{}
			if err == nil {
				out, err = fn(r.Context(), who, in, body)
			}
			return err
		})
		if err == nil && !body.ended {
			err = fmt.Errorf("%s: the body was not read to its end", u.Path) // a fault of ours
		}
		if err == nil {
			answer(w, http.StatusOK, out)
			return nil
		}
		e := m.explain(r.Context(), u.Path, err)
		answer(w, e.Status, e)
		_ = ctrl.Flush()
		body.drain(r)
		return nil
	})
}

// readLine reads the request in front of the bytes.
func readLine[In any](body *uploadBody, held *burden) (in In, err error) {
	var line []byte
	for {
		piece, err := body.r.ReadSlice('\n')
		if err := held.add(len(piece)); err != nil {
			return in, err
		}
		line = append(line, piece...)
		switch {
		case len(line) > maxLine:
			return in, tooLarge(maxLine)
		case err == nil:
			return decode[In](line)
		case err == io.EOF:
			return in, Errorf(KindBadRequest, "", "the request: no line of JSON")
		case !errors.Is(err, bufio.ErrBufferFull):
			return in, err
		}
	}
}

// decode reads a request. A field that In does not have, or that is there twice, is an error:
// a misspelt filter must not widen what is meant, nor one take the place of another.
func decode[In any](b []byte) (in In, err error) {
	if len(bytes.TrimSpace(b)) > 0 { // no body: no field set
		err = jsonv2.Unmarshal(b, &in, jsonv2.RejectUnknownMembers(true))
	}
	if err != nil {
		return in, Errorf(KindBadRequest, "", "the request: %v", err)
	}
	if c, ok := any(in).(interface{ Check() error }); ok {
		return in, c.Check()
	}
	return in, nil
}

// An uploadBody reads what the caller sends, in the goroutine of its request.
type uploadBody struct {
	src   io.Reader
	r     *bufio.Reader // over src, with deadlines
	ctrl  *http.ResponseController
	stop  context.Context
	stall time.Duration
	by    time.Time // when the request in front of the bytes has to be there; zero: it is
	ended bool      // all of it was read

	mu      sync.Mutex
	waiting bool // for the caller, with a deadline
}

func newUploadBody(stop context.Context, src io.Reader, ctrl *http.ResponseController, stall time.Duration) *uploadBody {
	if stall == 0 {
		stall = uploadStall
	}
	b := &uploadBody{src: src, ctrl: ctrl, stop: stop, stall: stall}
	b.r = bufio.NewReaderSize(&uploadWire{b}, 64<<10)
	return b
}

// Read implements [io.Reader].
func (b *uploadBody) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err == io.EOF {
		b.ended = true
	}
	return n, err
}

// wake ends a wait for the caller. One for the disk it does not end: the message is whole.
func (b *uploadBody) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting {
		_ = b.ctrl.SetReadDeadline(time.Now())
	}
}

// wait sets the deadline of a read, unless the server stops.
func (b *uploadBody) wait() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.stop.Err(); err != nil {
		return Errorf(KindStopping, "ask again when it is up", "the daemon is stopping")
	}
	b.waiting = true
	by := time.Now().Add(b.stall)
	if !b.by.IsZero() && b.by.Before(by) {
		by = b.by
	}
	_ = b.ctrl.SetReadDeadline(by) // not supported: a test without a connection
	return nil
}

// waited is behind a read. The deadline goes: it would be taken for the caller's leaving.
func (b *uploadBody) waited() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = false
	_ = b.ctrl.SetReadDeadline(time.Time{})
}

// drain reads on for a while, so that a caller hears the answer who has sent too much: of a
// connection that is closed with something unread in it he hears nothing. A body whose read has
// come to its deadline is not read any more, so then it is the connection itself, which
// nobody else reads before the end of the request.
func (b *uploadBody) drain(r *http.Request) {
	long := drainTime
	if b.stop.Err() != nil {
		long = time.Second
	}
	by := time.Now().Add(long)
	_ = b.ctrl.SetReadDeadline(by)
	_, err := io.Copy(io.Discard, b.src)
	if p, _ := r.Context().Value(peerKey{}).(*peer); errors.Is(err, os.ErrDeadlineExceeded) && p != nil && p.conn != nil && time.Now().Before(by) {
		_, _ = io.Copy(io.Discard, p.conn)
	}
}

// An uploadWire reads from the connection.
type uploadWire struct{ b *uploadBody }

func (w *uploadWire) Read(p []byte) (int, error) {
	if err := w.b.wait(); err != nil {
		return 0, err
	}
	n, err := w.b.src.Read(p)
	w.b.waited()
	switch {
	case err == nil || err == io.EOF:
		return n, err
	case w.b.stop.Err() != nil:
		return n, Errorf(KindStopping, "ask again when it is up", "the daemon is stopping")
	case errors.Is(err, os.ErrDeadlineExceeded) && !w.b.by.IsZero():
		return n, Errorf(KindCutOff, "", "the request in front of the bytes has not come in time")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, Errorf(KindCutOff, "", "nothing was sent for %v", w.b.stall)
	}
	return n, Errorf(KindCutOff, "", "the request was cut off: %v", err)
}

// Do sends the request and the bytes of body, and waits for the answer. Errors are those
// of [Call.Do], or one of body, wrapped; the daemon has taken nothing then, unless the
// connection broke behind the last byte. Body may still be read when Do returns an error.
// Nothing is read of it when there is no daemon, or it does not want the request.
func (u Upload[In, Out]) Do(ctx context.Context, cl *Client, in In, body io.Reader) (out Out, err error) {
	line, err := json.Marshal(in)
	if err != nil {
		return out, fmt.Errorf("%s: %w", u.Path, err)
	}
	src := newUploadSource(ctx, body)
	defer src.close()
	res, err := cl.send(ctx, u.Path, io.MultiReader(bytes.NewReader(append(line, '\n')), src), true)
	if err != nil {
		return out, cmp.Or(src.failed(), err)
	}
	defer res.Body.Close()
	if err = json.NewDecoder(res.Body).Decode(&out); err != nil {
		return out, fmt.Errorf("%s: the answer: %w", u.Path, err)
	}
	return out, nil
}

// An uploadSource reads the caller's reader in a goroutine of its own, since net/http waits
// for a read however long it takes. It remembers why that reader has failed.
type uploadSource struct {
	*io.PipeReader
	begin func()
	close func()

	mu  sync.Mutex
	err error
}

func newUploadSource(ctx context.Context, body io.Reader) *uploadSource {
	r, w := io.Pipe()
	s := &uploadSource{PipeReader: r}
	s.begin = sync.OnceFunc(func() { go s.copy(w, body) })
	unhook := context.AfterFunc(ctx, func() { _ = r.CloseWithError(context.Cause(ctx)) })
	s.close = func() { unhook(); _ = r.Close() }
	return s
}

// copy ends when the pipe is closed and the body has returned once more.
func (s *uploadSource) copy(w *io.PipeWriter, body io.Reader) {
	src := &bodyReader{r: body}
	_, _ = io.Copy(w, src)
	s.mu.Lock()
	s.err = src.err
	s.mu.Unlock()
	_ = w.CloseWithError(src.err) // nil is io.EOF
}

func (s *uploadSource) Read(p []byte) (int, error) {
	s.begin()
	return s.PipeReader.Read(p)
}

func (s *uploadSource) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
