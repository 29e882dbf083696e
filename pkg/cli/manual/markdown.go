package manual

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func (b *Book) markdown(cmd *cobra.Command) string {
	var w strings.Builder
	fmt.Fprintf(&w, "# %s\n\n%s.\n\n", cmd.CommandPath(), cmd.Short)
	if cmd.Long != "" {
		fmt.Fprintf(&w, "%s\n\n", cmd.Long)
	}
	if !cmd.HasAvailableSubCommands() || b.More[title(cmd)].Alone {
		fmt.Fprintf(&w, "    %s\n\n", cmd.UseLine())
	}
	section(&w, "Examples", cmd.Example)
	section(&w, "Flags", cmd.NonInheritedFlags().FlagUsages())
	section(&w, "Global flags", cmd.InheritedFlags().FlagUsages())
	for _, c := range b.More[title(cmd)].Chapters {
		fmt.Fprintf(&w, "## %s\n\n", c.Heading)
		if c.Text != "" {
			fmt.Fprintf(&w, "%s\n\n", c.Text)
		}
		for _, t := range c.Terms {
			fmt.Fprintf(&w, "- `%s`: %s\n", t.Word, t.Means)
		}
		if len(c.Terms) > 0 {
			w.WriteString("\n")
		}
	}
	if cmd.HasAvailableSubCommands() {
		w.WriteString("## Commands\n\n")
		for _, sub := range shown(cmd) {
			fmt.Fprintf(&w, "- [%s](%s.md): %s\n", sub.CommandPath(), title(sub), sub.Short)
		}
		w.WriteString("\n")
	}
	if cmd.HasParent() {
		fmt.Fprintf(&w, "Up: [%s](%s.md)\n", cmd.Parent().CommandPath(), title(cmd.Parent()))
	}
	return strings.TrimRight(w.String(), "\n") + "\n"
}

// section writes text under a heading, as it stands.
func section(w *strings.Builder, heading, text string) {
	if text = strings.TrimRight(text, "\n"); text != "" {
		fmt.Fprintf(w, "## %s\n\n```\n%s\n```\n\n", heading, text)
	}
}
