package server

import (
	"fmt"
	"strings"

	"cgq/pkg/cli/manual"
)

// referenceHead is what the reference of the settings begins with. In the manual page the
// paragraphs are the same.
const referenceHead = `The settings are files in Settings/, one a section: queue.toml has the keys that cgq writes with queue before them, as queue.dequeuer.reporting_delay.

A length of time is written as 90s, 5m, 2h30m, 5d or 1w; a size in bytes as 1000, 256K, 16M or 1G. N stands for the number of a table in a list, from 1; NAME for any name.

They are changed with cgq settings, or with an editor: cgqd notices that, checks all files together, and applies them; if anything is wrong the old ones stay. What takes effect at the next start only is named when it is changed.
`

// reference is docs/settings.md.
func reference() string {
	var b strings.Builder
	b.WriteString("# Settings\n\nThis page is made by `make docs`, from the same words as `cgq settings list` and the comments in the files.\n\n" + referenceHead)
	for _, s := range defaults().sections() {
		b.WriteString("\n" + s.Reference())
	}
	return b.String()
}

// settingsPage is the manual page cgqd-settings(5), in the form of man(7).
func settingsPage() string {
	var b strings.Builder
	b.WriteString(".TH CGQD-SETTINGS 5\n.SH NAME\ncgqd-settings \\- the settings of cgqd\n.SH DESCRIPTION\n")
	b.WriteString(strings.ReplaceAll(manual.Roff(strings.TrimSpace(referenceHead)), "\n\n", "\n.PP\n") + "\n")
	for _, s := range defaults().sections() {
		fmt.Fprintf(&b, ".SH %s.toml\n%s\n", strings.ToUpper(s.Name), manual.Roff(strings.NewReplacer("[", "docs/", "]", "", "(rules.md)", "", "(filters.md)", "").Replace(s.Doc)))
		for _, k := range s.Schema() {
			facts := []string{k.Type}
			if k.Unit != "" {
				facts = append(facts, k.Unit)
			}
			if k.Default != "" {
				facts = append(facts, "default "+k.Default)
			}
			fmt.Fprintf(&b, ".TP\n.B %s\n(%s)", manual.Roff(k.Key), manual.Roff(strings.Join(facts, "; ")))
			if k.Doc != "" {
				b.WriteString("\n" + manual.Roff(k.Doc))
			}
			if k.Chapter != "" {
				b.WriteString("\n(chapter: " + manual.Roff(k.Chapter) + ")")
			}
			b.WriteByte('\n')
		}
	}
	b.WriteString(".SH SEE ALSO\n.BR cgq (1),\n.BR cgqd (8)\n")
	return b.String()
}
