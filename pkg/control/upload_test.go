package control_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"cgq/pkg/control"
	"cgq/pkg/mail"
)

// An intake takes uploads and notes those that are whole.
type intake struct {
	got  chan string
	ends chan error // of those that are not
	fail error      // of every upload, before its body is read
}

func (n *intake) submit(_ context.Context, _ control.Actor, in control.Submission, body io.Reader) (control.Submitted, error) {
	if n.fail != nil {
		return control.Submitted{}, n.fail
	}
	b, err := io.ReadAll(body)
	if err != nil {
		n.ends <- err
		return control.Submitted{}, fmt.Errorf("receive: %w", err)
	}
	n.got <- in.Recipients[0].Address + "\n" + string(b)
	return control.Submitted{ID: mail.ID(len(b) + 1)}, nil
}

// take serves an intake.
func take(t *testing.T, fail error, stall time.Duration) (*intake, string) {
	t.Helper()
	n := &intake{got: make(chan string, 100), ends: make(chan error, 100), fail: fail}
	m := &control.Mux{Grant: all, Stall: stall}
	control.HandleUpload(m, control.MessageSubmit, n.submit)
	return n, start(t, m)
}

// nothing says that no upload was taken for whole.
func (n *intake) nothing(t *testing.T) {
	t.Helper()
	select {
	case s := <-n.got:
		t.Errorf("taken for whole: %.80q", s)
	default:
	}
}

var toAnn = control.Submission{Recipients: []control.SubmissionRcpt{{Address: "ann"}}}

func TestUpload(t *testing.T) {
	for _, text := range []string{"", "x", "\n", strings.Repeat("0123456789\r\n\x00", 1_000_000)} {
		n, path := take(t, nil, 0)
		out, err := control.MessageSubmit.Do(t.Context(), control.Dial(path), toAnn, strings.NewReader(text))
		if err != nil || int(out.ID) != len(text)+1 {
			t.Fatalf("Do of %d bytes = %v, %v", len(text), out, err)
		}
		if got := <-n.got; got != "ann\n"+text {
			t.Errorf("%d bytes came as %d", len(text), len(got)-4)
		}
	}
}

// endless is text without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

type noReader struct{ t *testing.T }

func (r noReader) Read([]byte) (int, error) {
	r.t.Error("the body was read")
	return 0, io.EOF
}

// A refusal is heard, however much is behind it.
func TestUploadThatIsRefused(t *testing.T) {
	no := control.Errorf(control.KindRefused, "", "no such user")
	no.Code = "5.1.1"
	_, path := take(t, no, 0)
	client := control.Dial(path)
	for range 20 {
		_, err := control.MessageSubmit.Do(t.Context(), client, toAnn, endless{})
		if e, ok := errors.AsType[*control.Error](err); !ok || e.Kind != control.KindRefused || e.Code != "5.1.1" {
			t.Fatalf("Do = %v, want what the daemon said", err)
		}
	}
	_, err := control.MessageSubmit.Do(t.Context(), client, control.Submission{}, endless{})
	if kind(err) != control.KindBadRequest {
		t.Errorf("without recipients: %v, want bad-request", err)
	}
}

// Who has no right, or no daemon, is told so before anything is read.
func TestUploadThatIsNotWanted(t *testing.T) {
	m := &control.Mux{Grant: func(control.Actor) []control.Right { return nil }}
	control.HandleUpload(m, control.MessageSubmit, new(intake).submit)
	if _, err := control.MessageSubmit.Do(t.Context(), serve(t, m), toAnn, noReader{t}); kind(err) != control.KindNoRight {
		t.Errorf("without the right: %v", err)
	}
	if _, err := control.MessageSubmit.Do(t.Context(), serve(t, new(control.Mux)), toAnn, noReader{t}); kind(err) != control.KindNoSuchCall {
		t.Errorf("unknown there: %v", err)
	}
	if _, err := control.MessageSubmit.Do(t.Context(), control.Dial(socket(t)), toAnn, noReader{t}); !errors.Is(err, control.ErrNoDaemon) {
		t.Errorf("no daemon: %v", err)
	}
}

type failing struct {
	text io.Reader
	err  error
}

func (f failing) Read(p []byte) (int, error) {
	n, err := f.text.Read(p)
	if err == io.EOF {
		err = f.err
	}
	return n, err
}

// A body that cannot be read to its end is no body.
func TestUploadWhoseReaderFails(t *testing.T) {
	for _, size := range []int{0, 1, 10, 5000, 300_000} {
		n, path := take(t, nil, 0)
		broken := errors.New("the pipe is broken")
		_, err := control.MessageSubmit.Do(t.Context(), control.Dial(path), toAnn, failing{strings.NewReader(strings.Repeat("x", size)), broken})
		if !errors.Is(err, broken) {
			t.Errorf("Do = %v, want %v", err, broken)
		}
		if err := <-n.ends; kind(err) != control.KindCutOff {
			t.Errorf("%d bytes: the daemon got %v, want cut-off", size, err)
		}
		n.nothing(t)
	}
}

// Nor is one whose sender changes his mind.
func TestUploadWhoseCallerLeaves(t *testing.T) {
	n, path := take(t, nil, 0)
	gone := errors.New("left")
	ctx, cancel := context.WithCancelCause(t.Context())
	r, w := io.Pipe()
	go func() {
		_, _ = io.WriteString(w, strings.Repeat("x", 100_000))
		cancel(gone)
	}()
	_, err := control.MessageSubmit.Do(ctx, control.Dial(path), toAnn, r)
	if !errors.Is(err, gone) || kind(<-n.ends) != control.KindCutOff {
		t.Errorf("Do = %v, want %v", err, gone)
	}
	n.nothing(t)
}

const head = "POST /v1/submit HTTP/1.1\r\nHost: cgqd\r\nTransfer-Encoding: chunked\r\n\r\n"

func chunk(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }

// A connection that breaks off anywhere submits nothing: here at every byte.
func TestUploadThatIsCutOff(t *testing.T) {
	n, path := take(t, nil, 0)
	whole := head + chunk(`{"recipients":[{"address":"ann"}]}`+"\n") + chunk("Subject: x\n") + chunk("\ntext\n") + "0\r\n\r\n"
	for cut := len(head); cut <= len(whole); cut++ {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, whole[:cut]); err != nil {
			t.Fatal(err)
		}
		if err := c.(*net.UnixConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(c)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		if taken := bytes.HasPrefix(answer, []byte("HTTP/1.1 200 ")); taken != (cut == len(whole)) {
			t.Errorf("cut after %d bytes of %d: %.60q", cut, len(whole), answer)
		}
		if cut < len(whole) {
			n.nothing(t)
		}
	}
	if got := <-n.got; got != "ann\nSubject: x\n\ntext\n" {
		t.Errorf("the whole one came as %q", got)
	}
}

// What is no request is refused, and takes nothing with it.
func TestHostileUploads(t *testing.T) {
	n, path := take(t, nil, 0)
	rcpt := `{"recipients":[{"address":"ann"}]}` + "\n"
	for name, body := range map[string]string{
		"nothing":           chunkEnd(""),
		"no line":           chunkEnd(`{"recipients":[{"address":"ann"}]}`),
		"no JSON":           chunkEnd("Subject: x\n\ntext\n"),
		"two in a line":     chunkEnd(`{"from_header":true}{"from_header":true}` + "\n"),
		"unknown field":     chunkEnd(`{"from_header":true,"uid":0}` + "\n"),
		"nobody":            chunkEnd("{}\ntext\n"),
		"bad notify":        chunkEnd(`{"from_header":true,"notify":"NEVER,DELAY"}` + "\n"),
		"bad envelope id":   chunkEnd(`{"from_header":true,"envelope_id":"a\nb"}` + "\n"),
		"long envelope id":  chunkEnd(`{"from_header":true,"envelope_id":"` + strings.Repeat("x", 101) + "\"}\n"),
		"bad return":        chunkEnd(`{"from_header":true,"return":"SOME"}` + "\n"),
		"bad body":          chunkEnd(`{"from_header":true,"body":"BINARYMIME"}` + "\n"),
		"bad original":      chunkEnd(`{"recipients":[{"address":"ann","original":"rfc822;\u0007"}]}` + "\n"),
		"bad chunk":         chunk(rcpt) + "zz\r\n",
		"negative chunk":    chunk(rcpt) + "-1\r\n\r\n",
		"huge chunk":        chunk(rcpt) + "ffffffffffffffffff\r\n",
		"chunk is too long": chunk(rcpt) + "2\r\nabc\r\n0\r\n\r\n",
	} {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, head+body); err != nil {
			t.Fatal(err)
		}
		_ = c.(*net.UnixConn).CloseWrite()
		answer, _ := io.ReadAll(c)
		c.Close()
		if !bytes.HasPrefix(answer, []byte("HTTP/1.1 4")) {
			t.Errorf("%s: %.80q, want a refusal", name, answer)
		}
		n.nothing(t)
	}
}

func chunkEnd(s string) string {
	if s == "" {
		return "0\r\n\r\n"
	}
	return chunk(s) + "0\r\n\r\n"
}

// A request that has no end is not read for ever.
func TestUploadWithAnEndlessRequest(t *testing.T) {
	_, path := take(t, nil, 0)
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() {
		_, _ = io.WriteString(c, head)
		for {
			if _, err := io.WriteString(c, chunk(strings.Repeat("x", 1<<20))); err != nil {
				return
			}
		}
	}()
	b := make([]byte, 12)
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "HTTP/1.1 413" {
		t.Errorf("%q, %v; want 413", b, err)
	}
}

// Who sends nothing any more is given up.
func TestUploadThatStalls(t *testing.T) {
	n, path := take(t, nil, 50*time.Millisecond)
	r, w := io.Pipe()
	defer w.Close()
	go func() { _, _ = io.WriteString(w, "Subject: x\n") }()
	_, err := control.MessageSubmit.Do(t.Context(), control.Dial(path), toAnn, r)
	if kind(err) != control.KindCutOff || kind(<-n.ends) != control.KindCutOff {
		t.Errorf("Do = %v, want cut-off", err)
	}
	n.nothing(t)
}

// A stop does not wait for who still sends, and tells him.
func TestUploadDuringAStop(t *testing.T) {
	n := &intake{got: make(chan string, 1), ends: make(chan error, 1)}
	m := &control.Mux{Grant: all}
	control.HandleUpload(m, control.MessageSubmit, n.submit)
	path := socket(t)
	l, err := control.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- m.Serve(ctx, l) }()
	r, w := io.Pipe()
	defer w.Close()
	go func() {
		_, _ = io.WriteString(w, strings.Repeat("x", 2_000_000))
		cancel()
	}()
	_, err = control.MessageSubmit.Do(t.Context(), control.Dial(path), toAnn, r)
	if kind(err) != control.KindStopping || kind(<-n.ends) != control.KindStopping {
		t.Errorf("Do = %v, want stopping", err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	n.nothing(t)
}

// A caller that is killed has submitted nothing.
func TestUploadWhoseCallerIsKilled(t *testing.T) {
	if path := os.Getenv("CGQ_TEST_UPLOAD"); path != "" { // the one who is killed
		_, err := control.MessageSubmit.Do(t.Context(), control.Dial(path), toAnn, io.MultiReader(strings.NewReader("Subject: x\n"), os.Stdin))
		t.Fatal(err)
	}
	n, path := take(t, nil, 0)
	cmd := exec.Command(os.Args[0], "-test.run", "^TestUploadWhoseCallerIsKilled$")
	cmd.Env = append(os.Environ(), "CGQ_TEST_UPLOAD="+path)
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err == nil {
		_, err = in.Write(bytes.Repeat([]byte("x"), 1<<20)) // more than the pipe holds: it has been read
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if err := <-n.ends; kind(err) != control.KindCutOff {
		t.Errorf("the daemon got %v, want cut-off", err)
	}
	n.nothing(t)
}
