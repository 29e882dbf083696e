package control

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// A Download is a request whose answer is bytes, sent as they are made, and behind
// them one value, which says what they were.
type Download[In, End any] struct {
	Path  string // below /v1/
	Right Right  // what the caller must have
	Doc   string // what is answered
}

// A DownloadFunc serves a [Download]: it writes the bytes to w, in large pieces or
// small ones, and returns the end. An error of w means that nobody listens any more;
// any other error ends the bytes, and the caller learns that they are not all.
type DownloadFunc[In, End any] func(ctx context.Context, who Actor, in In, w io.Writer) (End, error)

// The end of a download travels behind its body (RFC 9112 §7.1.2, trailer section):
// the JSON of the End or of an [Error], escaped as in a URL. A body without either was
// cut off.
const (
	trailerEnd   = "Cgq-End"
	trailerError = "Cgq-Error"
)

// HandleDownload serves a download with fn. When the request has a method Check()
// error, it is asked first. A caller who does not read for ten minutes is given up.
func HandleDownload[In, End any](m *Mux, d Download[In, End], fn DownloadFunc[In, End]) {
	m.add(declare[In, End](FormDownload, d.Path, d.Right, d.Doc), false, func(w http.ResponseWriter, r *http.Request, who Actor) error {
		in, err := read[In](w, r)
		if err != nil {
			return err
		}
		ctx, cancel := untilStop(r.Context())
		defer cancel()
		raw := &rawWriter{w: w, ctrl: http.NewResponseController(w)}
		buf := bufio.NewWriterSize(raw, 64<<10)
		var end End
		err = guard(func() (err error) {
			end, err = fn(ctx, who, in, buf)
			return err
		})
		switch {
		case err != nil && !raw.begun:
			return err // nothing is sent: the status can still say it
		case raw.err != nil:
			return nil // the caller has left
		case err != nil:
			_ = buf.Flush() // what was made may be of use
			w.Header().Set(trailerError, inHeader(m.explain(ctx, d.Path, err)))
			return nil
		}
		raw.begin()
		if buf.Flush() == nil {
			w.Header().Set(trailerEnd, inHeader(end))
		}
		return nil
	})
}

// inHeader is a value as it stands in a field of a header.
func inHeader(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("control: %T is not JSON: %v", v, err)) // a declaration of ours is wrong
	}
	return url.QueryEscape(string(b))
}

// A rawWriter sends the body of a download.
type rawWriter struct {
	w     http.ResponseWriter
	ctrl  *http.ResponseController
	begun bool
	err   error // sticks
}

func (r *rawWriter) begin() {
	if !r.begun {
		r.begun = true
		r.w.Header().Set("Content-Type", "application/octet-stream")
		r.w.Header().Set("Trailer", trailerEnd+", "+trailerError)
	}
}

func (r *rawWriter) Write(p []byte) (n int, err error) {
	r.begin()
	_ = r.ctrl.SetWriteDeadline(time.Now().Add(stallTimeout)) // not supported: a test without a connection
	if r.err == nil {
		n, r.err = r.w.Write(p)
	}
	return n, r.err
}

// Do sends the request and writes the bytes to w as they arrive. Without an error
// they are complete, and the end says what they were. Errors are those of [Call.Do],
// those of w, or [ErrCutOff]; then w has some of them.
func (d Download[In, End]) Do(ctx context.Context, cl *Client, in In, w io.Writer) (end End, err error) {
	res, err := cl.request(ctx, d.Path, in)
	if err != nil {
		return end, err
	}
	defer res.Body.Close()
	body := &bodyReader{r: res.Body}
	n, err := io.Copy(w, body)
	switch {
	case ctx.Err() != nil:
		return end, context.Cause(ctx)
	case body.err != nil:
		return end, fmt.Errorf("%s: %w after %d bytes: %w", d.Path, ErrCutOff, n, body.err)
	case err != nil:
		return end, err
	}
	err = d.end(res.Trailer, n, &end)
	return end, err
}

// end reads what stands behind a body of n bytes.
func (d Download[In, End]) end(trailer http.Header, n int64, end *End) error {
	var to any = end
	failed := new(Error)
	text := trailer.Get(trailerEnd)
	if why := trailer.Get(trailerError); why != "" {
		text, to = why, failed
	}
	if text == "" {
		return fmt.Errorf("%s: %w after %d bytes", d.Path, ErrCutOff, n)
	}
	b, err := url.QueryUnescape(text)
	if err == nil {
		err = json.Unmarshal([]byte(b), to)
	}
	if err != nil {
		return fmt.Errorf("%s: what stands behind the answer: %w", d.Path, err)
	}
	if failed.Kind != "" {
		return failed
	}
	return nil
}

// A bodyReader remembers an error of the body, so that it is not taken for one of
// the writer.
type bodyReader struct {
	r   io.Reader
	err error
}

func (b *bodyReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}
