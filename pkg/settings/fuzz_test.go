package settings_test

import (
	"errors"
	"os"
	"testing"

	"cgq/pkg/settings"
)

// Whatever a file holds, Load returns, and what it complains of has a file and a reason.
func FuzzLoad(f *testing.F) {
	golden, err := os.ReadFile("testdata/demo.golden")
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{
		string(golden), "[[retry]]\nx.y = 1", "receive = {tls = {cert = 1}}", "limits.a.b = 1", "retry = [[1], {a = 2}]",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		fsys, dir := open(t)
		write(t, dir, "demo.toml", text)
		value := defaults()
		err := settings.Load(fsys, "Settings", settings.Section{Name: "demo", Value: &value})
		var problems settings.Problems
		if err != nil && !errors.As(err, &problems) {
			t.Fatalf("Load(%q) = %v, which is not Problems", text, err)
		}
		for _, p := range problems {
			if p.File != "Settings/demo.toml" || p.Why == "" {
				t.Errorf("Load(%q): %+v", text, p)
			}
		}
	})
}
