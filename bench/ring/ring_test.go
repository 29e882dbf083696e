package ring

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func ringAt(t *testing.T) (*Ring, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	r, err := New(f, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return r, path
}

func TestEveryCommitIsInTheLog(t *testing.T) {
	r, path := ringAt(t)
	const n = 200
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := r.Commit(fmt.Appendf(nil, "<%d>", i)); err != nil {
				t.Errorf("commit %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if got := bytes.Count(text, fmt.Appendf(nil, "<%d>", i)); got != 1 {
			t.Errorf("<%d> is %d times in the log, want once", i, got)
		}
	}
}

func TestRingStartsOver(t *testing.T) {
	r, path := ringAt(t)
	part := make([]byte, 400<<10)
	for i := range 3 {
		part[0] = byte('a' + i)
		if err := r.Commit(part); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(text) != 1<<20 || text[0] != 'c' || text[400<<10] != 'b' {
		t.Errorf("%d bytes, %q at 0, %q at 400 KiB; want a MiB, c, b", len(text), text[0], text[400<<10])
	}
}

func TestCommitFailsOnceTheLogFails(t *testing.T) {
	r, _ := ringAt(t)
	r.f.Close()
	for range 2 {
		if err := r.Commit([]byte("x")); err == nil {
			t.Error("commit to a closed log = nil, want an error")
		}
	}
}
