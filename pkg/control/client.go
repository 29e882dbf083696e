package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"
)

// ErrNoDaemon is matched by every error of a client whose socket is missing, or
// which nobody listens on: the daemon has to be started.
var ErrNoDaemon = errors.New("no daemon")

// ErrCutOff is matched by the error behind the last row of a list, or the last byte of
// a download, that ended without saying so: there may be more.
var ErrCutOff = errors.New("the answer was cut off")

const (
	maxRow     = 16 << 20 // bytes that a row may have
	readBuffer = 64 << 10 // bytes that are read at once: two of the server's writes
)

// A Client sends requests to the daemon. It is safe for concurrent use.
type Client struct{ http http.Client }

// Dial returns a client for the daemon at a Unix socket. It connects when the first
// request is sent.
func Dial(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		if len(socket) > maxSocket {
			return nil, fmt.Errorf("%s: %w", socket, errLong)
		}
		var d net.Dialer
		c, err := d.DialContext(ctx, "unix", socket)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOTDIR) {
			err = fmt.Errorf("%w at %s", ErrNoDaemon, socket)
		}
		return c, err
	}
	return &Client{http.Client{Transport: &http.Transport{DialContext: dial, DisableCompression: true,
		ExpectContinueTimeout: expectTime, ReadBufferSize: readBuffer}}}
}

// Close gives up the idle connections.
func (cl *Client) Close() { cl.http.CloseIdleConnections() }

// Do sends the call and waits for its answer. Errors: an *[Error] that the daemon
// answered with; [ErrNoDaemon]; a permission error of the socket; the cause of ctx;
// a connection that broke, when nobody knows what was done.
func (c Call[In, Out]) Do(ctx context.Context, cl *Client, in In) (out Out, err error) {
	body, err := cl.post(ctx, c.Path, in)
	if err != nil {
		return out, err
	}
	defer body.Close()
	if err = json.NewDecoder(body).Decode(&out); err != nil {
		return out, fmt.Errorf("%s: the answer: %w", c.Path, err)
	}
	return out, nil
}

// Do sends the request and yields the rows as they arrive. An error, of the kinds
// of [Call.Do] or [ErrCutOff], is yielded last; without one the list is complete.
func (s Stream[In, Row]) Do(ctx context.Context, cl *Client, in In) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		body, err := cl.post(ctx, s.Path, in)
		if err != nil {
			yield(*new(Row), err)
			return
		}
		defer body.Close()
		lines := bufio.NewScanner(body)
		lines.Buffer(make([]byte, readBuffer), maxRow)
		rows := newRowReader[Row]()
		var row Row
		n := 0
		for ; lines.Scan(); n++ {
			if last, ok := parseLast(lines.Bytes()); ok {
				if err := last.check(s.Path, n); err != nil {
					yield(*new(Row), err)
				}
				return
			}
			if err := rows.read(lines.Bytes(), &row); err != nil {
				yield(row, fmt.Errorf("%s: row %d: %w", s.Path, n+1, err))
				return
			}
			if !yield(row, nil) {
				return
			}
		}
		switch cause := lines.Err(); {
		case ctx.Err() != nil:
			yield(*new(Row), context.Cause(ctx))
		case cause != nil:
			yield(*new(Row), fmt.Errorf("%s: %w after %d rows: %w", s.Path, ErrCutOff, n, cause))
		default:
			yield(*new(Row), fmt.Errorf("%s: %w after %d rows", s.Path, ErrCutOff, n))
		}
	}
}

// parseLast reads the row that ends a stream.
func parseLast(line []byte) (last lastRow, ok bool) {
	if !bytes.HasPrefix(line, []byte(`{"end":`)) && !bytes.HasPrefix(line, []byte(`{"error":`)) {
		return last, false
	}
	err := json.Unmarshal(line, &last)
	return last, err == nil && (last.End != nil || last.Error != nil)
}

func (last lastRow) check(path string, got int) error {
	if last.Error != nil {
		return last.Error
	}
	if last.End.Rows != got {
		return fmt.Errorf("%s: %w: %d rows of %d", path, ErrCutOff, got, last.End.Rows)
	}
	return nil
}

// post sends a request and returns the body of an answer that is not an error.
func (cl *Client) post(ctx context.Context, path string, in any) (io.ReadCloser, error) {
	res, err := cl.request(ctx, path, in)
	if err != nil {
		return nil, err
	}
	return res.Body, nil
}

// request sends a request and returns an answer that is not an error.
func (cl *Client) request(ctx context.Context, path string, in any) (*http.Response, error) {
	b, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return cl.send(ctx, path, bytes.NewReader(b), false)
}

// expectTime is how long a client waits to be asked for the body of an upload.
const expectTime = 30 * time.Second

// send is request with a body; ask: it is only sent when the server wants it.
func (cl *Client) send(ctx context.Context, path string, body io.Reader, ask bool) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://cgqd/v1/"+path, body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	req.Header.Set("Content-Type", "application/json")
	if ask { // RFC 9110 §10.1.1
		req.Header.Set("Content-Type", "application/octet-stream")
		req.Header.Set("Expect", "100-continue")
	}
	res, err := cl.http.Do(req)
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // the URL says nothing to anybody
	}
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, ErrNoDaemon):
		return nil, err
	default:
		return nil, fmt.Errorf("%s: no answer: %w", path, err)
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close()
	e := new(Error)
	if err := json.NewDecoder(io.LimitReader(res.Body, MaxRequest)).Decode(e); err != nil || e.Kind == "" {
		return nil, fmt.Errorf("%s: the daemon answered %s without a reason", path, res.Status)
	}
	return nil, e
}
