package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// newGenDocs returns the command that writes the reference: a page of Markdown a
// command, from the same words as its help.
func newGenDocs() *cobra.Command {
	return &cobra.Command{
		Use: "gen-docs DIR", Short: "Write the reference as Markdown", Hidden: true,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			return writeDocs(cmd.Root(), args[0])
		},
	}
}

func writeDocs(cmd *cobra.Command, dir string) error {
	if err := os.WriteFile(filepath.Join(dir, page(cmd)), []byte(markdown(cmd)), 0o644); err != nil {
		return err
	}
	for _, sub := range cmd.Commands() {
		if !sub.IsAvailableCommand() {
			continue
		}
		if err := writeDocs(sub, dir); err != nil {
			return err
		}
	}
	return nil
}

// page is the file of a command: cgq-queue-list.md.
func page(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") + ".md" }

func markdown(cmd *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s.\n\n", cmd.CommandPath(), cmd.Short)
	if cmd.Long != "" {
		fmt.Fprintf(&b, "%s\n\n", cmd.Long)
	}
	if !cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "    %s\n\n", cmd.UseLine())
	}
	section(&b, "Examples", cmd.Example)
	section(&b, "Flags", cmd.NonInheritedFlags().FlagUsages())
	section(&b, "Global flags", cmd.InheritedFlags().FlagUsages())
	if cmd.HasAvailableSubCommands() {
		b.WriteString("## Commands\n\n")
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				fmt.Fprintf(&b, "- [%s](%s): %s\n", sub.CommandPath(), page(sub), sub.Short)
			}
		}
		b.WriteString("\n")
	}
	if cmd.HasParent() {
		fmt.Fprintf(&b, "Up: [%s](%s)\n", cmd.Parent().CommandPath(), page(cmd.Parent()))
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// section writes text under a heading, as it stands.
func section(b *strings.Builder, heading, text string) {
	if text = strings.TrimRight(text, "\n"); text != "" {
		fmt.Fprintf(b, "## %s\n\n```\n%s\n```\n\n", heading, text)
	}
}
