package control

import (
	"bufio"
	"encoding/json"
	"net/http"
	"sync"
	"time"
)

const (
	// flushAfter is how long a row may wait for others before it is sent.
	flushAfter = 20 * time.Millisecond
	// stallTimeout is how long a caller may leave rows unread, as a pager does whose
	// user is thinking. Nothing but a goroutine waits with him.
	stallTimeout = 10 * time.Minute
)

// A lastRow ends every stream.
type lastRow struct {
	End   *endRow `json:"end,omitempty"`
	Error *Error  `json:"error,omitempty"`
}

// An endRow says how many rows went before: a list with less was cut off.
type endRow struct {
	Rows int `json:"rows"`
}

// A rowWriter sends JSON lines, some at a time.
type rowWriter struct {
	n    int // rows written
	w    http.ResponseWriter
	ctrl *http.ResponseController

	mu      sync.Mutex // guards what follows, and writes to w: the timer flushes too
	buf     *bufio.Writer
	enc     *json.Encoder
	waiting *time.Timer // non-nil: a flush is due
	err     error       // sticks
}

func newRowWriter(w http.ResponseWriter) *rowWriter {
	out := &rowWriter{w: w, ctrl: http.NewResponseController(w), buf: bufio.NewWriterSize(w, 32<<10)}
	out.enc = json.NewEncoder(stalling{out})
	out.enc.SetEscapeHTML(false)
	return out
}

// stalling gives the caller a new while to read before each write that may block.
type stalling struct{ out *rowWriter }

func (s stalling) Write(b []byte) (int, error) {
	if s.out.buf.Available() < len(b) {
		_ = s.out.ctrl.SetWriteDeadline(time.Now().Add(stallTimeout)) // not supported: a test without a connection
	}
	return s.out.buf.Write(b)
}

// write sends a row, soon. An error means that nobody listens any more.
func (out *rowWriter) write(row any) error {
	out.mu.Lock()
	defer out.mu.Unlock()
	if out.n == 0 {
		out.w.Header().Set("Content-Type", "application/x-ndjson")
	}
	if out.err == nil {
		out.err = out.enc.Encode(row)
	}
	if out.err != nil {
		return out.err
	}
	out.n++
	if out.waiting == nil {
		out.waiting = time.AfterFunc(flushAfter, out.flushLate)
	}
	return nil
}

func (out *rowWriter) flushLate() {
	out.mu.Lock()
	defer out.mu.Unlock()
	if out.waiting != nil {
		out.waiting = nil
		out.flush()
	}
}

func (out *rowWriter) flush() {
	_ = out.ctrl.SetWriteDeadline(time.Now().Add(stallTimeout)) // not supported: as above
	if out.err == nil {
		out.err = out.buf.Flush()
	}
	if out.err == nil {
		out.err = out.ctrl.Flush()
	}
}

// end sends the last row and everything that waits. No flush is due afterwards.
func (out *rowWriter) end(last lastRow) {
	out.mu.Lock()
	defer out.mu.Unlock()
	if out.waiting != nil {
		out.waiting.Stop()
		out.waiting = nil
	}
	out.w.Header().Set("Content-Type", "application/x-ndjson")
	if out.err == nil {
		out.err = out.enc.Encode(last)
	}
	out.flush()
}
