package serverlog

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// A sink takes a record: its time, and the line without it. It keeps nothing of line.
type sink interface {
	add(t time.Time, level slog.Level, line []byte)
}

// A handler writes the records of one component as lines:
//
//	HH:MM:SS.mmm L TAG-nnnnnn(subject) [id] text, key=value
type handler struct {
	to      sink
	level   *atomic.Int64
	tag     string
	session session
	head    string // " TAG-nnnnnn(subject)"
	id      string // " [id]" or nothing
	attrs   string // ", key=value" of each
	group   string // in front of keys
}

func newHandler(to sink, level *atomic.Int64, tag string) *handler {
	return &handler{to: to, level: level, tag: tag, head: " " + tag}
}

// New returns the logger of a component that writes to w, and the knob that sets
// its level while it runs. It is for programs without a [Log], and for tests.
func New(w io.Writer, tag string, level slog.Level) (*slog.Logger, *atomic.Int64) {
	knob := new(atomic.Int64)
	knob.Store(int64(level))
	return slog.New(newHandler(&writer{w: w}, knob, tag)), knob
}

// A writer is a sink without a buffer.
type writer struct {
	mu sync.Mutex
	w  io.Writer
}

func (w *writer) add(t time.Time, _ slog.Level, line []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, _ = w.w.Write(append(t.AppendFormat(nil, clockLayout), line...)) // a log has nobody to tell
}

// Enabled implements [slog.Handler].
func (h *handler) Enabled(_ context.Context, l slog.Level) bool { return int64(l) >= h.level.Load() }

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

// Handle implements [slog.Handler]. It returns nil: what becomes of a line that
// cannot be written is the sink's affair.
func (h *handler) Handle(_ context.Context, r slog.Record) error {
	if r.Time.IsZero() {
		r.Time = time.Now()
	}
	p := buffers.Get().(*[]byte)
	b := append((*p)[:0], ' ', byte('0'+LevelDigit(r.Level)))
	b = append(b, h.head...)
	b = h.appendID(b, r)
	b = append(b, ' ')
	b = appendEscaped(b, r.Message, maxText)
	b = append(b, h.attrs...)
	r.Attrs(func(a slog.Attr) bool {
		if !h.isID(a.Key) && a.Key != sessionKey {
			b = appendAttr(b, h.group, a)
		}
		return true
	})
	b = append(b, '\n')
	h.to.add(r.Time, r.Level, b)
	*p = b
	buffers.Put(p)
	return nil
}

// isID reports whether an attribute is the id of the message that a record is about.
func (h *handler) isID(key string) bool { return key == "id" && h.group == "" }

func (h *handler) appendID(b []byte, r slog.Record) []byte {
	found := false
	r.Attrs(func(a slog.Attr) bool {
		if h.isID(a.Key) {
			b, found = appendID(b, a.Value), true
		}
		return !found
	})
	if !found {
		b = append(b, h.id...)
	}
	return b
}

func appendID(b []byte, v slog.Value) []byte {
	b = append(b, " ["...)
	b = appendValue(b, v)
	return append(b, ']')
}

// WithAttrs implements [slog.Handler]. The attribute "id" is the message's, and
// stands in front of the text.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	var added []byte
	for _, a := range attrs {
		if s, ok := a.Value.Any().(session); ok && a.Key == sessionKey {
			c.session = s
			c.head = " " + string(s.append([]byte(c.tag)))
		} else if h.isID(a.Key) {
			c.id = string(appendID(nil, a.Value))
		} else {
			added = appendAttr(added, h.group, a)
		}
	}
	c.attrs += string(added)
	return &c
}

// WithGroup implements [slog.Handler]: the keys that follow get the name in front.
func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	c := *h
	c.group += name + "."
	return &c
}

// appendAttr appends ", key=value", for a group one for each member.
func appendAttr(b []byte, group string, a slog.Attr) []byte {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, member := range v.Group() {
			b = appendAttr(b, group, member)
		}
		return b
	}
	if a.Equal(slog.Attr{}) {
		return b
	}
	b = append(b, ", "...)
	b = appendEscaped(b, group, maxAttr)
	b = appendEscaped(b, a.Key, maxAttr)
	b = append(b, '=')
	return appendValue(b, v)
}

func appendValue(b []byte, v slog.Value) []byte {
	v = v.Resolve()
	switch v.Kind() {
	case slog.KindString:
		return appendEscaped(b, v.String(), maxAttr)
	case slog.KindInt64:
		return strconv.AppendInt(b, v.Int64(), 10)
	case slog.KindUint64:
		return appendUint(b, v.Uint64())
	case slog.KindBool:
		return strconv.AppendBool(b, v.Bool())
	case slog.KindTime:
		return v.Time().AppendFormat(b, time.RFC3339Nano)
	case slog.KindAny:
		return appendEscaped(b, text(v.Any()), maxAttr)
	}
	return append(b, v.String()...) // a float or a duration
}

// text is what fmt.Sprint makes of x, for ids and errors without a second copy.
func text(x any) (s string) {
	defer func() {
		if recover() != nil { // such as the String of a nil pointer
			s = fmt.Sprint(x) // does not panic
		}
	}()
	switch x := x.(type) {
	case error:
		return x.Error()
	case fmt.Stringer:
		return x.String()
	case []byte:
		return string(x)
	}
	return fmt.Sprint(x)
}
