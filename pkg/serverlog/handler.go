// Package serverlog writes the Server Log: one line a record, with the
// chapter's tags and levels, through the standard log/slog.
package serverlog

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

var digits = []struct {
	at slog.Level
	d  byte
}{{Crash, '0'}, {Failure, '1'}, {Major, '2'}, {Problem, '3'}, {Low, '4'}, {All, '5'}}

// A Handler writes records of one component.
type Handler struct {
	w     *lockedWriter
	level *atomic.Int64
	tag   string
	id    string
	attrs string
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

// New returns the logger of the component with the given tag, and the knob
// that sets its level while it runs.
func New(w io.Writer, tag string, level slog.Level) (*slog.Logger, *atomic.Int64) {
	l := new(atomic.Int64)
	l.Store(int64(level))
	return slog.New(&Handler{w: &lockedWriter{w: w}, level: l, tag: tag}), l
}

// Enabled implements [slog.Handler].
func (h *Handler) Enabled(_ context.Context, l slog.Level) bool { return int64(l) >= h.level.Load() }

// Handle implements [slog.Handler].
func (h *Handler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(r.Time.Format("15:04:05.000 "))
	d := byte('5')
	for _, l := range digits {
		if r.Level >= l.at {
			d = l.d
			break
		}
	}
	b.WriteByte(d)
	b.WriteString(" " + h.tag + h.id + " " + escape(r.Message) + h.attrs)
	r.Attrs(func(a slog.Attr) bool { b.WriteString(attr(a)); return true })
	b.WriteByte('\n')
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	_, err := io.WriteString(h.w.w, b.String())
	return err
}

// WithAttrs implements [slog.Handler]. The attribute "id" becomes "[id]".
func (h *Handler) WithAttrs(as []slog.Attr) slog.Handler {
	c := *h
	for _, a := range as {
		if a.Key == "id" {
			c.id = fmt.Sprintf(" [%v]", a.Value.Any())
			continue
		}
		c.attrs += attr(a)
	}
	return &c
}

// WithGroup implements [slog.Handler]; the Server Log has no groups.
func (h *Handler) WithGroup(string) slog.Handler { return h }

func attr(a slog.Attr) string { return ", " + a.Key + "=" + escape(fmt.Sprint(a.Value.Any())) }

func escape(s string) string {
	q := strconv.Quote(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}
