package control

import (
	"bufio"
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
	row     []byte      // that is being written
	waiting *time.Timer // non-nil: a flush is due
	err     error       // sticks
}

func newRowWriter(w http.ResponseWriter) *rowWriter {
	return &rowWriter{w: w, ctrl: http.NewResponseController(w), buf: bufio.NewWriterSize(w, 32<<10)}
}

// encode writes what row appends. The caller has a new while to read before each write that
// may block.
func (out *rowWriter) encode(row func([]byte) ([]byte, error)) (err error) {
	if out.row, err = row(out.row[:0]); err != nil {
		return err
	}
	out.row = append(out.row, '\n')
	if out.buf.Available() < len(out.row) {
		_ = out.ctrl.SetWriteDeadline(time.Now().Add(stallTimeout)) // not supported: a test without a connection
	}
	_, err = out.buf.Write(out.row)
	return err
}

// write sends what row appends, soon. An error means that nobody listens any more.
func (out *rowWriter) write(row func([]byte) ([]byte, error)) error {
	out.mu.Lock()
	defer out.mu.Unlock()
	if out.n == 0 {
		out.w.Header().Set("Content-Type", "application/x-ndjson")
	}
	if out.err == nil {
		out.err = out.encode(row)
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
		out.err = out.encode(func(b []byte) ([]byte, error) { return AppendJSON(b, last) })
	}
	out.flush()
}
