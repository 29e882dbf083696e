package spool_test

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/fact"
)

// What has happened to a message is told from the journal, from its file, and from both.
func TestFacts(t *testing.T) {
	d := crashdisk.New(-1)
	s, _, err := start(d, small)
	if err != nil {
		t.Fatal(err)
	}
	id, err := submit(s, "text", nil, "")
	if err != nil {
		t.Fatal(err)
	}
	var want []fact.Fact
	say := func(by string) {
		t.Helper()
		f := fact.Freed{By: by}
		n, err := s.Append(fact.Change{ID: id, Fact: f})
		if err == nil {
			err = s.Wait(n)
		}
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, f)
	}
	check := func(where string) {
		t.Helper()
		got, err := s.Facts(id)
		if err != nil || fmt.Sprint(got[len(got)-len(want):]) != fmt.Sprint(want) {
			t.Errorf("%s: %v, %v; want %v", where, got, err, want)
		}
	}
	say("young")
	check("young")
	if err := s.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	check("filed")
	say("later")
	check("filed, and one in the journal")
	if err := errors.Join(s.Empty(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if s, _, err = start(d, small); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	check("after a restart")
	if _, err := s.Facts(id + 99); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of no message: %v", err)
	}
}
