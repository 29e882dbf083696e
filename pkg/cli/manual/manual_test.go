package manual_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"cgq/pkg/cli/manual"
)

func book() *manual.Book {
	does := func(*cobra.Command, []string) {}
	root := &cobra.Command{Use: "oven", Short: "Bake", Long: "oven bakes.\n\n.It is 'hot'.", Run: does}
	sub := &cobra.Command{Use: "bread FILE", Short: "Bake bread", Long: "bread bakes bread.", Example: "  oven bread rye", Run: does}
	sub.Flags().Int("heat", 220, "`degrees` of heat")
	root.AddCommand(sub, &cobra.Command{Use: "secret", Hidden: true, Run: does})
	root.CompletionOptions.DisableDefaultCmd = true
	return &manual.Book{Root: root, Section: 8, More: map[string]manual.More{"oven": {
		Alone: true, Also: []string{"mill(1)"},
		Chapters: []manual.Chapter{{Heading: "Exit status", Text: "A number.", Terms: []manual.Term{{Word: "0", Means: "baked"}}}},
	}}}
}

// read returns the pages in dir.
func read(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(f)] = string(b)
	}
	return all
}

func TestPages(t *testing.T) {
	for _, tt := range []struct {
		name  string
		write func(b *manual.Book, dir string) error
		want  map[string][]string
	}{
		{"man", (*manual.Book).WriteMan, map[string][]string{
			"oven.8": {".TH OVEN 8 ", ".B oven\n.br\n.B oven COMMAND\n", "oven bakes.\n.PP\n\\&.It is \\(aqhot\\(aq.\n",
				".SH EXIT STATUS\nA number.\n.TP\n.B 0\nbaked\n", ".SH SEE ALSO\n.BR oven\\-bread (8),\n.BR mill (1)\n"},
			"oven-bread.8": {".B oven bread FILE [flags]\n", ".nf\n  oven bread rye\n.fi\n", ".B \\-\\-heat degrees\ndegrees of heat (default 220)\n", ".BR oven (8)\n"},
		}},
		{"Markdown", (*manual.Book).WriteMarkdown, map[string][]string{
			"oven.md":       {"# oven\n\nBake.\n", "    oven\n", "## Exit status\n\nA number.\n\n- `0`: baked\n", "- [oven bread](oven-bread.md): Bake bread\n"},
			"oven-bread.md": {"# oven bread\n", "```\n  oven bread rye\n```\n", "Up: [oven](oven.md)\n"},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "made")
			if err := tt.write(book(), dir); err != nil {
				t.Fatal(err)
			}
			got := read(t, dir)
			if len(got) != len(tt.want) {
				t.Errorf("%d pages, want %d", len(got), len(tt.want))
			}
			for name, pieces := range tt.want {
				for _, piece := range pieces {
					if !strings.Contains(got[name], piece) {
						t.Errorf("no %q in %s:\n%s", piece, name, got[name])
					}
				}
			}
		})
	}
}

func TestRoff(t *testing.T) {
	for in, want := range map[string]string{
		"--all 'x' <> *": `\-\-all \(aqx\(aq <> *`,
		".TH\n'br\na.b":  "\\&.TH\n\\&\\(aqbr\na.b",
		`a\b~^…`:         `a\eb\(ti\(ha\[u2026]`,
	} {
		if got := manual.Roff(in); got != want {
			t.Errorf("Roff(%q) = %q, want %q", in, got, want)
		}
	}
}
