package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// MaxRequest is how many bytes a request may have: a million ids fit.
const MaxRequest = 24 << 20

// readTimeout is how long a caller may take to send a request.
const readTimeout = 10 * time.Second

// A Mux serves calls, streams, downloads and uploads. The zero Mux knows none and is ready for use;
// its fields are set, and its calls added, before it serves. Callers do not wait
// for each other.
type Mux struct {
	// Grant says what a caller may do; nil is [Owner].
	Grant func(Actor) []Right
	// Refused hears of who was refused for want of a right; nil: nobody does. It is called
	// from many goroutines.
	Refused func(who Actor, path string, need Right)
	// Log hears of faults: panics, and errors that are not an [Error]; nil: nobody.
	Log *slog.Logger
	// Stall is how long the caller of an [Upload] may send nothing; 0 is an hour.
	Stall time.Duration
	// OfUser and OfOthers are how many connections a user may have who is neither root nor
	// the daemon's, and all of them together; 0 is 64, and 256.
	OfUser, OfOthers int

	requests map[string]request // by path
	stopping turnstile
	crowd    crowd
	burden   atomic.Int64  // bytes of requests
	waits    time.Duration // in place of readTimeout
}

// A request is one declaration with what serves it. When serve returns an error it
// has written nothing.
type request struct {
	Declaration
	lasts bool // a stop does not wait for it
	serve func(http.ResponseWriter, *http.Request, Actor) error
}

// Handle serves a call with fn. When the request has a method Check() error, it is
// asked first.
func Handle[In, Out any](m *Mux, c Call[In, Out], fn CallFunc[In, Out]) {
	m.add(declare[In, Out](FormCall, c.Path, c.Right, c.Doc), false, func(w http.ResponseWriter, r *http.Request, who Actor) error {
		in, err := read[In](w, r)
		if err != nil {
			return err
		}
		out, err := fn(r.Context(), who, in)
		if err != nil {
			return err
		}
		answer(w, http.StatusOK, out)
		return nil
	})
}

// HandleRows serves a stream with fn. When the request has a method Check() error,
// it is asked first. Rows are sent soon, not one by one.
func HandleRows[In, Row any](m *Mux, s Stream[In, Row], fn StreamFunc[In, Row]) {
	handleRows(m, s, fn, false)
}

// HandleLasting is HandleRows for a stream that tells of the stop itself: it goes on till
// [Mux.Close].
func HandleLasting[In, Row any](m *Mux, s Stream[In, Row], fn StreamFunc[In, Row]) {
	handleRows(m, s, fn, true)
}

func handleRows[In, Row any](m *Mux, s Stream[In, Row], fn StreamFunc[In, Row], lasts bool) {
	forms := FormOf[Row]()
	m.add(declare[In, Row](FormStream, s.Path, s.Right, s.Doc), lasts, func(w http.ResponseWriter, r *http.Request, who Actor) error {
		in, err := read[In](w, r)
		if err != nil {
			return err
		}
		ctx := r.Context()
		if !lasts {
			c, cancel := untilStop(ctx)
			defer cancel()
			ctx = c
		}
		rows := newRowWriter(w)
		var row Row // one for all: it is behind a pointer
		form := func(b []byte) ([]byte, error) { return forms.Append(b, &row) }
		err = guard(func() error {
			for next, err := range fn(ctx, who, in) {
				if err != nil {
					return err
				}
				row = next
				if rows.write(form) != nil {
					return nil // the caller has left
				}
			}
			return nil
		})
		if err != nil && rows.n == 0 {
			return err // nothing is sent: the status can still say it
		}
		if err != nil {
			rows.end(lastRow{Error: m.explain(ctx, s.Path, err)})
		} else {
			rows.end(lastRow{End: &endRow{rows.n}})
		}
		return nil
	})
}

func (m *Mux) add(d Declaration, lasts bool, serve func(http.ResponseWriter, *http.Request, Actor) error) {
	if m.requests == nil {
		m.requests = map[string]request{}
	}
	if _, twice := m.requests[d.Path]; twice {
		panic("control: " + d.Path + " is served twice")
	}
	m.requests[d.Path] = request{d, lasts, serve}
}

// ServeHTTP implements [http.Handler].
func (m *Mux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	const prefix = "/v1/"
	path, v1 := r.URL.Path, len(r.URL.Path) > len(prefix) && r.URL.Path[:len(prefix)] == prefix
	if v1 {
		path = path[len(prefix):]
	}
	req, known := m.requests[path]
	if !m.stopping.enter() {
		e := stoppingError(path)
		answer(w, e.Status, e)
		return
	}
	if req.lasts {
		m.stopping.leave()
	} else {
		defer m.stopping.leave()
	}
	// A body that is announced and does not come holds nobody, whoever reads it or passes it over.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(m.patience())) // not supported: a test without a connection
	var err error
	if busy(r) {
		w.Header().Set("Connection", "close")
		err = Errorf(KindBusy, "close some, or try again later", "there are too many connections")
	} else if !v1 || !known || r.Method != http.MethodPost {
		err = Errorf(KindNoSuchCall, "cgq and cgqd may be of different versions", "no request %s %s", r.Method, r.URL.Path)
	} else {
		err = guard(func() error {
			who, err := m.allow(r, path, req.Right)
			if err != nil {
				return err
			}
			if req.Form != FormUpload {
				body := &weighed{ReadCloser: r.Body, of: m.bear(r), most: MaxRequest}
				if req.Right == Anyone {
					body.most = smallRequest
				}
				defer body.of.end()
				r.Body = body
			}
			return req.serve(w, r, who)
		})
	}
	if err != nil {
		e := m.explain(r.Context(), path, err)
		answer(w, e.Status, e)
	}
}

// patience is how long a caller may take to send a request.
func (m *Mux) patience() time.Duration { return cmp.Or(m.waits, readTimeout) }

// allow says who asks, when he may.
func (m *Mux) allow(r *http.Request, path string, need Right) (Actor, error) {
	who, err := Who(r)
	if err != nil {
		return who, err
	}
	grant := m.Grant
	if grant == nil {
		grant = Owner
	}
	who.Rights = grant(who)
	if !who.Has(need) {
		if m.Refused != nil {
			m.Refused(who, path, need)
		}
		return who, Errorf(KindNoRight, "cgq whoami shows what you may; Settings/access.toml grants it, and root may everything",
			"user %s has not the right %q, which %s needs", who.Name, need, path)
	}
	return who, nil
}

// explain is what the caller is told of err; what is a fault of ours goes to the
// log with all its detail.
func (m *Mux) explain(ctx context.Context, path string, err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return stoppingError(path)
	}
	p, panicked := errors.AsType[*panicError](err)
	if m.Log != nil {
		attrs := []any{"request", path}
		if panicked {
			attrs = append(attrs, "stack", string(p.stack))
		}
		m.Log.Error("control: "+err.Error(), attrs...)
	}
	if panicked {
		return Errorf(KindFault, "the log of the daemon has more; please report it", "%s: internal error", path)
	}
	return Errorf(KindFault, "", "%v", err)
}

func stoppingError(path string) *Error {
	return Errorf(KindStopping, "ask again when it is up", "%s: the daemon is stopping", path)
}

// A panicError is a panic of a handler: it costs its request, not the daemon.
type panicError struct {
	value any
	stack []byte
}

func (p *panicError) Error() string { return fmt.Sprint("panic: ", p.value) }

func guard(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{v, debug.Stack()}
		}
	}()
	return f()
}

// read decodes the body.
func read[In any](w http.ResponseWriter, r *http.Request) (in In, err error) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxRequest))
	if err == nil { // what is missing is not waited for again
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // not supported: a test without a connection
	}
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return in, tooLarge(MaxRequest)
	}
	if e, ok := errors.AsType[*Error](err); ok {
		w.Header().Set("Connection", "close") // the rest of it is not read
		return in, e
	}
	if err != nil {
		return in, Errorf(KindBadRequest, "", "the request: %v", err)
	}
	return decode[In](b)
}

// answer sends one value. A caller who is gone does not hear it.
func answer(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("control: %T is not JSON: %v", v, err)) // a declaration of ours is wrong
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(stallTimeout)) // not supported: as above
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n'))
}
