package main

import (
	"slices"
	"strings"
	"testing"
)

func TestChoose(t *testing.T) {
	got, err := choose([]string{"restart", "commits"})
	if err != nil || len(got) != 2 || got[0].name != "restart" || got[1].name != "commits" {
		t.Errorf("choose = %+v, %v", got, err)
	}
	if _, err := choose([]string{"all"}); err == nil || !strings.Contains(err.Error(), "folders") {
		t.Errorf("choose(all) = %v, want an error that names what there is", err)
	}
}

func TestNumbers(t *testing.T) {
	if got, err := numbers("100000,5"); err != nil || !slices.Equal(got, []int{100_000, 5}) {
		t.Errorf("numbers = %v, %v", got, err)
	}
	for _, bad := range []string{"", "5,", "0", "-1", "1e5"} {
		if got, err := numbers(bad); err == nil {
			t.Errorf("numbers(%q) = %v, want an error", bad, got)
		}
	}
}
