package spool_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/fact"
	"cgq/pkg/mail"
	"cgq/pkg/spool"
)

// SPOOL L2: who reads slowly reads his own message to the end, whatever becomes of it and
// of the segment that it stood in: of a young one, a filed one, and one in a file of its own.
func TestSlowReaders(t *testing.T) {
	s := open(t, crashdisk.New(-1), small)
	defer s.Close()
	texts := []string{"young " + lines(300), "filed " + lines(300), "big " + lines(3000)}
	ids := make([]mail.ID, len(texts))
	for i, n := range []int{1, 2, 0} { // the young one last
		var err error
		if ids[n], err = submit(s, texts[n], nil, ""); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if err := s.Checkpoint(); err != nil {
				t.Fatal(err)
			}
		}
	}
	readers := make([]io.ReadSeekCloser, len(texts))
	for i, id := range ids {
		var err error
		if readers[i], err = s.Open(id); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(readers[i], make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Append(fact.Change{ID: id, Fact: fact.Gone{}}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 60 { // every segment is used again
		id, err := submit(s, fmt.Sprintf("another person's %d %0700d", i, i), nil, "")
		for errors.Is(err, spool.ErrFull) {
			if err = s.Checkpoint(); err == nil {
				id, err = submit(s, fmt.Sprintf("another person's %d %0700d", i, i), nil, "")
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Append(fact.Change{ID: id, Fact: fact.Gone{}}); err != nil {
			t.Fatal(err)
		}
	}
	for i, r := range readers {
		rest, err := io.ReadAll(r)
		if err != nil || string(rest) != texts[i][10:] {
			t.Errorf("%.6s: %d bytes, %v; want the %d that are left", texts[i], len(rest), err, len(texts[i])-10)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if _, err := s.Open(ids[i]); err == nil {
			t.Errorf("%.6s: opened after it had gone", texts[i])
		}
	}
}
