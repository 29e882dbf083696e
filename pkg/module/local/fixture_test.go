package local_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cgq/pkg/directory"
	"cgq/pkg/disk"
	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/module/local"
	"cgq/pkg/module/moduletest"
)

var (
	ann       = mail.Address{Local: "ann", Domain: "example.com"}
	submitted = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
)

const newDir = "Domains/example.com/ann/Maildir/new/"

func mainDomain() string { return "example.com" }

// A failing disk fails with err, if there is one, whatever is asked.
type failing struct {
	disk.FS
	err atomic.Pointer[error]
}

func (f *failing) fail(err error) { f.err.Store(&err) }

func (f *failing) failure() error {
	if p := f.err.Load(); p != nil {
		return *p
	}
	return nil
}

func (f *failing) Create(name string) (disk.File, error) {
	if err := f.failure(); err != nil {
		return nil, err
	}
	return f.FS.Create(name)
}

func (f *failing) Remove(name string) error {
	if err := f.failure(); err != nil {
		return err
	}
	return f.FS.Remove(name)
}

// A setup is a module in front of a base directory on the real disk.
type setup struct {
	*local.Module
	fs  *failing
	dir *directory.Directory
	at  string // the base directory
}

func newSetup(t *testing.T, log *slog.Logger, accounts ...mail.Address) *setup {
	t.Helper()
	s := &setup{at: t.TempDir()}
	fsys, err := disk.OpenOS(s.at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fsys.Close() })
	s.fs = &failing{FS: fsys}
	s.dir = directory.New(fsys, func() []string { return []string{"example.com", "example.org"} })
	for _, a := range accounts {
		if _, err := s.dir.Create(a); err != nil {
			t.Fatal(err)
		}
	}
	s.Module = local.New(s.fs, s.dir, "mx1", mainDomain, log)
	return s
}

// files returns the bytes of the files below the base directory that a pattern names.
func (s *setup) files(t *testing.T, pattern string) map[string]string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(s.at, pattern))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimPrefix(name, s.at+"/")] = string(text)
	}
	return files
}

// queue returns ann's queue with one message to some addresses.
func queue(repeated bool, to ...mail.Address) *moduletest.Queue {
	return moduletest.NewQueue("ann@example.com", &moduletest.Message{
		ID:       4711,
		Envelope: mail.Envelope{ReturnPath: mail.Address{Local: "bob", Domain: "sender.example"}, Submitted: submitted},
		To:       to,
		Text:     "Subject: hello\n\nbody\n",
		Repeated: repeated,
	})
}

// result is what became of the only recipient of the only message of q.
func result(t *testing.T, q *moduletest.Queue) mail.Result {
	t.Helper()
	q.Check(t)
	if all := q.Results()[4711]; len(all) == 1 {
		return all[0]
	}
	t.Fatalf("results %v, want one", q.Results())
	return mail.Result{}
}

func detail(s string) mail.Address { return mail.Address{Local: "ann+" + s, Domain: "example.com"} }

var _ module.Module = (*local.Module)(nil)
