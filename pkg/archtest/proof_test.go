package archtest

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"
)

// The files of testdata are small houses. Above the files stand the problems that
// each check has to find, and no others: "check: problem". A house without any is
// sound, and shows what the checks must let pass.
func TestChecksFindWhatIsWrong(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(archives) < len(checks) {
		t.Fatalf("%d houses in testdata, %v; want one a check at least", len(archives), err)
	}
	proven := map[string]bool{}
	for _, name := range archives {
		t.Run(filepath.Base(name), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			fsys, plan := fstest.MapFS{}, ""
			for _, f := range a.Files {
				fsys[f.Name] = &fstest.MapFile{Data: f.Data}
				if f.Name == "docs/architecture.md" {
					plan = string(f.Data)
				}
			}
			h, err := read(fsys, plan)
			if err != nil {
				t.Fatal(err)
			}
			got := []string{}
			for _, c := range checks {
				for _, problem := range c.run(h) {
					got = append(got, c.name+": "+problem)
					proven[c.name] = true
				}
			}
			want := strings.FieldsFunc(string(a.Comment), func(c rune) bool { return c == '\n' })
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("found:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
	for _, c := range checks {
		if !proven[c.name] && c.name != "files are short" { // TestLongFiles
			t.Errorf("no house of testdata shows that the check finds anything: %s", c.name)
		}
	}
}

func TestLongFiles(t *testing.T) {
	lines := func(n int) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte("package a\n" + strings.Repeat("//\n", n-1))}
	}
	h, err := read(fstest.MapFS{
		"pkg/a/fits.go": lines(600), "pkg/a/long.go": lines(601),
		"pkg/a/long_test.go": lines(602), "pkg/a/excused.go": lines(603),
	}, "")
	if err != nil {
		t.Fatal(err)
	}
	h.long = map[string]string{"pkg/a/excused.go": "a table", "pkg/a/fits.go": "was long once"}
	got := checkLength(h)
	slices.Sort(got)
	want := []string{
		"pkg/a/fits.go is not long: take it off the list",
		"pkg/a/long.go: 601 lines; want 600 at most",
		"pkg/a/long_test.go: 602 lines; want 600 at most",
	}
	if !slices.Equal(got, want) {
		t.Errorf("checkLength = %q, want %q", got, want)
	}
}
