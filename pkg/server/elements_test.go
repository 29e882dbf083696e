package server

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"cgq/pkg/stats"
)

// The catalogue says of each element of a server what it is, and of no other.
func TestCatalogue(t *testing.T) {
	fsys, sub := base(t)
	dir := filepath.Dir(sub)
	if err := os.Mkdir(filepath.Join(dir, "Queue"), 0o700); err != nil {
		t.Fatal(err)
	}
	c, err := load(fsys)
	if err != nil {
		t.Fatal(err)
	}
	c.Queue.Journal.AnySystem = true
	s, err := build(t.Context(), dir, fsys, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}()
	var have, said []string
	for _, e := range s.stats.All() {
		have = append(have, e.Name)
	}
	for _, a := range stats.Catalogue() {
		if a.Doc == "" {
			t.Errorf("%s: without words", a.Name)
		}
		said = append(said, a.Name)
	}
	if !slices.IsSorted(said) {
		t.Error("the catalogue is not sorted")
	}
	if !slices.Equal(have, said) {
		t.Errorf("a server has\n%v, the catalogue\n%v", have, said)
	}
}
