package cli

import (
	"github.com/spf13/cobra"

	"cgq/pkg/cli/manual"
)

// newGenDocs returns the command that writes the reference as Markdown.
func newGenDocs() *cobra.Command {
	return &cobra.Command{
		Use: "gen-docs DIR", Short: "Write the reference as Markdown", Hidden: true,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error { return book(cmd.Root()).WriteMarkdown(args[0]) },
	}
}

// newGenMan returns the command that writes the manual.
func newGenMan() *cobra.Command {
	return &cobra.Command{
		Use: "gen-man DIR", Short: "Write the reference as pages of man", Hidden: true,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error { return book(cmd.Root()).WriteMan(args[0]) },
	}
}

// book is the reference of cgq.
func book(root *cobra.Command) *manual.Book {
	return &manual.Book{Root: root, Section: 1,
		More: map[string]manual.More{"cgq": {Also: []string{"cgqd(8)", "cgqd-settings(5)"}}}}
}
