package control_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"cgq/pkg/control"
)

func download(m *control.Mux, text string, err error) {
	control.HandleDownload(m, control.QueueBackup,
		func(_ context.Context, _ control.Actor, _ control.Nothing, w io.Writer) (control.Backup, error) {
			if _, err := io.WriteString(w, text); err != nil {
				return control.Backup{}, err
			}
			if err != nil && err.Error() == "panic" {
				panic(err)
			}
			return control.Backup{Messages: 3, Bytes: int64(len(text))}, err
		})
}

func TestDownload(t *testing.T) {
	long := strings.Repeat("0123456789", 100_000)
	hostile := "disk on fire \x1b[2J\x7f\u202e % + \n"
	for _, tt := range []struct {
		name, text string
		err        error
		kind       control.Kind
		got        bool // the bytes
	}{
		{"nothing", "", nil, "", true},
		{"short", "x", nil, "", true},
		{"long", long, nil, "", true},
		{"fails early", "", control.Errorf(control.KindNoSuchQueue, "", "no"), control.KindNoSuchQueue, true},
		{"fails before anything is sent", "x", errors.New(hostile), control.KindFault, false},
		{"fails late", long, errors.New(hostile), control.KindFault, true},
		{"panics late", long, errors.New("panic"), control.KindFault, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := &control.Mux{Grant: all}
			download(m, tt.text, tt.err)
			var b bytes.Buffer
			end, err := control.QueueBackup.Do(t.Context(), serve(t, m), control.Nothing{}, &b)
			if kind(err) != tt.kind || tt.kind == "" && (err != nil || end != control.Backup{Messages: 3, Bytes: int64(len(tt.text))}) {
				t.Errorf("end %+v, %v; want kind %q", end, err, tt.kind)
			}
			if got := b.String() == tt.text; got != tt.got {
				t.Errorf("%d bytes of %d", b.Len(), len(tt.text))
			}
			if tt.err != nil && strings.HasPrefix(tt.err.Error(), "disk") && err.Error() != hostile {
				t.Errorf("the error is %q, want %q", err, hostile)
			}
		})
	}
}

// A body that breaks off, or has no end behind it, was cut off.
func TestDownloadThatIsCutOff(t *testing.T) {
	for name, answer := range map[string]string{
		"in a piece":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Cgq-End\r\n\r\n5\r\nab",
		"behind one":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Cgq-End\r\n\r\n2\r\nab\r\n",
		"without end":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Cgq-End\r\n\r\n2\r\nab\r\n0\r\n\r\n",
		"by its close": "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nab",
	} {
		path := socket(t)
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() {
			c, err := l.Accept()
			if err == nil {
				_, err = http.ReadRequest(bufio.NewReader(c))
			}
			if err == nil {
				_, err = io.WriteString(c, answer)
				c.Close()
			}
			served <- err
		}()
		var b bytes.Buffer
		_, err = control.QueueBackup.Do(t.Context(), control.Dial(path), control.Nothing{}, &b)
		if !errors.Is(err, control.ErrCutOff) || b.String() != "ab" {
			t.Errorf("%s: %q, %v; want ErrCutOff", name, b.String(), err)
		}
		if err := errors.Join(<-served, l.Close()); err != nil {
			t.Error(err)
		}
	}
}

type full struct{ err error }

func (f full) Write([]byte) (int, error) { return 0, f.err }

// The caller's own disk is not the daemon's.
func TestDownloadToAFullDisk(t *testing.T) {
	m := &control.Mux{Grant: all}
	download(m, "text", nil)
	no := errors.New("no space left")
	if _, err := control.QueueBackup.Do(t.Context(), serve(t, m), control.Nothing{}, full{no}); !errors.Is(err, no) || errors.Is(err, control.ErrCutOff) {
		t.Errorf("Do = %v, want %v", err, no)
	}
}

// Who leaves in the midst of it ends the work for him.
func TestDownloadWhoseCallerLeaves(t *testing.T) {
	m := &control.Mux{Grant: all}
	ended := make(chan error, 1)
	control.HandleDownload(m, control.QueueBackup,
		func(_ context.Context, _ control.Actor, _ control.Nothing, w io.Writer) (control.Backup, error) {
			for {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					ended <- err
					return control.Backup{}, err
				}
			}
		})
	gone := errors.New("left")
	ctx, cancel := context.WithCancelCause(t.Context())
	n := 0
	_, err := control.QueueBackup.Do(ctx, serve(t, m), control.Nothing{}, writerFunc(func(p []byte) (int, error) {
		if n += len(p); n > 1<<20 {
			cancel(gone)
		}
		return len(p), nil
	}))
	if !errors.Is(err, gone) || <-ended == nil {
		t.Errorf("Do = %v, want %v", err, gone)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
