package control

import (
	"bytes"
	"context"
	"io"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// SetPatience sets how long a caller may take to send a request.
func (m *Mux) SetPatience(d time.Duration) { m.waits = d }

// Limits of connections.
const (
	MaxOwner  = maxOwner
	MaxUser   = maxUser
	MaxOthers = maxOthers
)

// Limits of requests.
const (
	SmallRequest = smallRequest
	MaxBurden    = maxBurden
	MaxLine      = maxLine
)

// Burden is what requests hold that are not answered.
func (m *Mux) Burden() int64 { return m.burden.Load() }

// Crowded says, for each user who connects in turn, whether he finds room (0), is told
// that there is none (1), or is hung up on (2); then all leave.
func Crowded(users []uint32) (places []int, left int) {
	var c crowd
	conns := make([]fakeConn, len(users))
	for i, uid := range users {
		conns[i].n = i
		places = append(places, int(c.enter(conns[i], uid, 0, 0)))
	}
	for _, conn := range conns {
		c.state(conn, http.StateClosed)
		c.state(conn, http.StateClosed) // once more does nothing
	}
	return places, len(c.conns) + len(c.users) + c.others
}

type fakeConn struct {
	net.Conn
	n int
}

// Ask sends a request of a user without a connection.
func (m *Mux) Ask(uid uint32, path, body string) (int, string) {
	return m.Send(uid, path, strings.NewReader(body))
}

// Send is Ask with a body that comes as it comes.
func (m *Mux) Send(uid uint32, path string, body io.Reader) (int, string) {
	ctx := context.WithValue(context.Background(), peerKey{}, &peer{cred: &unix.Ucred{Uid: uid, Gid: uid}})
	r := (&http.Request{Method: http.MethodPost, URL: &url.URL{Path: "/v1/" + path}, Body: io.NopCloser(body)}).WithContext(ctx)
	w := httptest.NewRecorder()
	m.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// ReadRows is what a client makes of the body of an answer.
func ReadRows(answer []byte) iter.Seq2[QueueRow, error] {
	return QueueList.Do(context.Background(), &Client{http.Client{Transport: answering(answer)}}, Selection{})
}

type answering []byte

func (a answering) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(a))}, nil
}

// Plain reports whether rows of a type have nothing but what is quickly written and read.
func Plain[Row any]() bool { return FormOf[Row]().fields != nil }

// ReadLines reads lines, one behind the other, as a client does, into one row, which it
// hands to each.
func ReadLines[Row any](lines [][]byte, each func(Row, error)) {
	rows := newRowReader[Row]()
	var row Row
	for _, line := range lines {
		err := rows.read(line, &row)
		each(row, err)
	}
}
