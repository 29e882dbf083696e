package control_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"cgq/pkg/control"
)

// ballast is a request of n bytes whose end comes when it is closed.
type ballast struct {
	n    int
	sent chan<- bool // told when all but the end has been read
	end  <-chan bool // closed
}

func (b *ballast) Read(p []byte) (int, error) {
	if b.n == 0 {
		b.n = -1
		b.sent <- true
		<-b.end
	}
	if b.n < 0 {
		return 0, io.EOF
	}
	n := min(len(p), b.n)
	copy(p, strings.Repeat(" ", n))
	b.n -= n
	return n, nil
}

// Whoever sends large requests and does not end them, keeps nobody from small ones, root from
// nothing, and takes no more memory than there is for that.
func TestManyLargeRequests(t *testing.T) {
	const stranger = 4711
	for _, tt := range []struct {
		path string
		size int
		want string // the answer when the end has come
	}{
		{"queue/release", control.MaxRequest - 1, "empty-selection"},
		{"submit", control.MaxLine - 64<<10, "bad-request"},
	} {
		m := &control.Mux{Grant: all}
		control.Handle(m, control.QueueRelease, done(1))
		control.HandleUpload(m, control.MessageSubmit, func(context.Context, control.Actor, control.Submission, io.Reader) (control.Submitted, error) {
			return control.Submitted{}, errors.New("it ran")
		})
		sent, end := make(chan bool), make(chan bool)
		var senders sync.WaitGroup
		for range control.MaxBurden / tt.size {
			senders.Go(func() {
				if _, answer := m.Send(stranger, tt.path, &ballast{tt.size, sent, end}); !strings.Contains(answer, tt.want) {
					t.Errorf("%s: %.200s, want %s", tt.path, answer, tt.want)
				}
			})
		}
		for range control.MaxBurden / tt.size {
			<-sent
		}
		closed := make(chan bool)
		close(closed)
		for uid, want := range map[uint32]string{stranger: "busy", stranger + 1: "busy", 0: tt.want} {
			if _, answer := m.Send(uid, tt.path, &ballast{tt.size, make(chan bool, 1), closed}); !strings.Contains(answer, want) {
				t.Errorf("%s: one more, of user %d: %.200s, want %s", tt.path, uid, answer, want)
			}
		}
		if _, answer := m.Send(stranger, tt.path, &ballast{control.SmallRequest, make(chan bool, 1), closed}); !strings.Contains(answer, tt.want) {
			t.Errorf("%s: a small one: %.200s, want %s", tt.path, answer, tt.want)
		}
		close(end)
		senders.Wait()
		if n := m.Burden(); n != 0 {
			t.Errorf("%s: %d bytes are held by nobody", tt.path, n)
		}
	}
}

// What needs no right, or perhaps none, is short.
func TestRequestsOfAnybodyAreShort(t *testing.T) {
	m := &control.Mux{Grant: all}
	control.Handle(m, control.Ping, func(context.Context, control.Actor, control.Nothing) (control.Daemon, error) {
		return control.Daemon{}, nil
	})
	control.HandleUpload(m, control.MessageSubmit, func(context.Context, control.Actor, control.Submission, io.Reader) (control.Submitted, error) {
		return control.Submitted{}, errors.New("it ran")
	})
	for path, most := range map[string]int{"ping": control.SmallRequest, "submit": control.MaxLine} {
		for _, uid := range []uint32{0, 4711} {
			if status, answer := m.Send(uid, path, strings.NewReader(strings.Repeat(" ", most+1))); status != 413 || !strings.Contains(answer, "too-large") {
				t.Errorf("%s of %d bytes by %d: %d %.200s", path, most+1, uid, status, answer)
			}
		}
	}
}

// The request in front of an upload has to come soon; what is behind it has time.
func TestARequestInFrontOfAnUploadComesSoon(t *testing.T) {
	m := &control.Mux{Grant: all}
	m.SetPatience(200 * time.Millisecond)
	control.HandleUpload(m, control.MessageSubmit, func(_ context.Context, _ control.Actor, _ control.Submission, body io.Reader) (control.Submitted, error) {
		_, err := io.ReadAll(body)
		return control.Submitted{ID: 1}, err
	})
	c := connect(t, start(t, m))
	put(c, "POST /v1/submit HTTP/1.1\r\nHost: cgqd\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n")
	if answer := toTheEnd(t, c); !strings.Contains(answer, "has not come in time") {
		t.Errorf("answered %.300q", answer)
	}
	if _, answer := m.Send(4711, "submit", iotest.OneByteReader(strings.NewReader("{\"from_header\":true}\nbody"))); !strings.Contains(answer, `{"id":1}`) {
		t.Errorf("answered %.300q", answer)
	}
}
