package submitted

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cgq/pkg/disk"
	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/stats"
)

// A sink is an Enqueuer that keeps what it gets.
type sink struct {
	mu      sync.Mutex
	texts   []string
	envs    []*mail.Envelope
	refusal error                // of SubmitFile
	full    bool                 // nothing is admitted
	reading func()               // called when half of a text is read
	before  func(*mail.Envelope) // called before taken
	hangs   bool                 // until ctx ends
}

func (s *sink) Admit(context.Context, *mail.Envelope) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full {
		return module.Reject(4, 3, 1, "the queue is full")
	}
	return nil
}

func (s *sink) set(do func(*sink)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do(s)
}

func (s *sink) Check(context.Context, *mail.Envelope, mail.Recipient) error { return nil }

func (s *sink) Submit(context.Context, *mail.Envelope, io.Reader) (mail.ID, error) {
	return 0, errors.New("not for files")
}

func (s *sink) SubmitFile(ctx context.Context, env *mail.Envelope, text io.Reader, taken func() error) (mail.ID, error) {
	start := make([]byte, 40)
	n, err := io.ReadFull(text, start)
	s.mu.Lock()
	refusal, reading, before, hangs := s.refusal, s.reading, s.before, s.hangs
	s.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	if reading != nil {
		reading()
	}
	rest, err2 := io.ReadAll(text)
	switch {
	case refusal != nil:
		return 0, refusal
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return 0, err
	case err2 != nil:
		return 0, err2
	}
	if before != nil {
		before(env)
	}
	if err := taken(); err != nil {
		return 0, errors.Join(module.ErrUnsettled, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.texts, s.envs = append(s.texts, string(start[:n])+string(rest)), append(s.envs, env)
	return mail.ID(len(s.texts)), nil
}

func (s *sink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.texts)
}

// subjects are those of what it has got, sorted.
func (s *sink) subjects() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, text := range s.texts {
		_, after, _ := strings.Cut(text, "Subject: ")
		subject, _, _ := strings.Cut(after, "\n")
		all = append(all, subject)
	}
	slices.Sort(all)
	return all
}

// A logged is a log that is looked at.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logged) has(s string) bool { return strings.Contains(l.text(), s) }

// A yard is a base directory of the real file system with a Source.
type yard struct {
	*Source
	t    *testing.T
	base string
	dir  string
	into *sink
	log  *logged
	st   *stats.Set
	read chan struct{} // closed for every life but one that has its own
	stop func()
}

func newYard(t *testing.T, set func(*Settings)) *yard {
	t.Helper()
	y := &yard{t: t, base: t.TempDir(), into: &sink{}, log: &logged{}, st: &stats.Set{}, stop: func() {}}
	y.dir = filepath.Join(y.base, "Submitted")
	y.remake(set)
	return y
}

// remake is another life.
func (y *yard) remake(set func(*Settings)) {
	y.t.Helper()
	s := Defaults()
	if set != nil {
		set(&s)
	}
	if err := s.Validate(); err != nil {
		y.t.Fatal(err)
	}
	read := y.read
	if read == nil {
		read = make(chan struct{})
		close(read)
	}
	fsys, err := disk.OpenOS(y.base)
	if err != nil {
		y.t.Fatal(err)
	}
	y.t.Cleanup(func() { fsys.Close() })
	y.Source = New(y.base, fsys, &s, func() string { return "here.example" }, read, y.st, slog.New(slog.NewTextHandler(y.log, nil)))
	y.Recover()
}

// run runs it until stop.
func (y *yard) run() {
	ctx, cancel := context.WithCancel(y.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- y.Run(ctx, y.into) }()
	y.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			y.t.Errorf("Run: %v", err)
		}
	})
	y.t.Cleanup(func() { y.stop() })
}

func text(subject string) string { return "To: bob@b.example\nSubject: " + subject + "\n\ntext\n" }

// write writes a file under its name, as no program should.
func (y *yard) write(name, text string) {
	y.t.Helper()
	if err := os.WriteFile(filepath.Join(y.dir, name), []byte(text), 0o600); err != nil {
		y.t.Fatal(err)
	}
}

// drop puts a file there as programs do.
func (y *yard) drop(name, text string) {
	y.t.Helper()
	dropIn(y.t, y.dir, name, text)
}

func dropIn(t *testing.T, dir, name, text string) {
	t.Helper()
	temp := filepath.Join(dir, name+".tmp")
	err := os.WriteFile(temp, []byte(text), 0o600)
	if err = errors.Join(err, os.Rename(temp, filepath.Join(dir, name))); err != nil {
		t.Fatal(err)
	}
}

// names are those in the directory, sorted.
func (y *yard) names() []string { return namesIn(y.t, y.dir) }

func namesIn(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// until waits for what has to happen.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it does not happen: %s", what)
		}
	}
}

func (y *yard) untilNames(want ...string) {
	y.t.Helper()
	until(y.t, "the directory has "+strings.Join(want, " "), func() bool { return slices.Equal(y.names(), want) })
}
