package settings_test

import (
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
	"testing"

	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/settings"
)

// crashes loses power at every step of writing two files, and looks what is found, several
// times each. It returns the first mishap.
func crashes(want map[string]string, sabotage crashdisk.Fault) error {
	for step := 0; ; step++ {
		t := crashdisk.NewTree(step)
		t.Fail(sabotage)
		err := writeTwo(t)
		for seed := range uint64(20) {
			found := t.Restart(rand.New(rand.NewPCG(seed, 0))).Files(".toml")
			if err == nil && len(found) != len(want) {
				return fmt.Errorf("step %d (seed %d): of what was written there is %d files", step, seed, len(found))
			}
			for name, text := range found {
				if text != want[name] {
					return fmt.Errorf("step %d (seed %d): %s is %.40q", step, seed, name, text)
				}
			}
		}
		if t.Steps() < step {
			return err // power was not lost
		}
	}
}

func writeTwo(t *crashdisk.Tree) error {
	a, b := struct {
		Text string `toml:"text" doc:"of two sectors"`
	}{strings.Repeat("x", 1000)}, struct {
		Number int `toml:"number" doc:"of something"`
	}{7}
	return settings.WriteDefaults(t, "Settings",
		settings.Section{Name: "a", Value: &a}, settings.Section{Name: "b", Value: &b})
}

// A settings file is whole or not there, and all are there when that was told.
func TestWrittenSettingsSurvivePowerLoss(t *testing.T) {
	d := crashdisk.NewTree(-1)
	if err := writeTwo(d); err != nil {
		t.Fatal(err)
	}
	want := d.Files(".toml")
	if err := crashes(want, nil); err != nil || len(want) != 2 {
		t.Errorf("%v, with %d files", err, len(want))
	}
	// A test of the test: each sync that is left out must be missed.
	for _, tt := range []struct{ name, op, pattern string }{
		{"a file has its bytes", "datasync", "Settings/*.tmp"},
		{"a file has its name", "syncdir", "Settings"},
		{"the directory has its own", "syncdir", "."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := crashes(want, func(op, name string) error {
				if ok, _ := path.Match(tt.pattern, name); ok && op == tt.op {
					return crashdisk.Lie
				}
				return nil
			})
			if err == nil {
				t.Fatal("nothing was lost without it")
			}
			t.Log("found, as it should be:", err)
		})
	}
}
