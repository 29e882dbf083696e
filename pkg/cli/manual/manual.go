// Package manual writes the reference of a program from its commands: a page of man and a
// page of Markdown a command, from the same words as its help. What help has no room for,
// such as signals and files, it is given as chapters. It knows no command by name.
package manual

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// A Book is the reference of one program.
type Book struct {
	Root    *cobra.Command
	Section int             // of the manual: 1 what everybody calls, 8 what administrators run
	More    map[string]More // by the names of pages, such as cgqd-init
}

// More is what a page has beside the help of its command.
type More struct {
	Alone    bool // the command does something without one of those below it
	Chapters []Chapter
	Also     []string // pages of other books, such as cgqd(8)
}

// A Chapter is a table of terms, or words, or both.
type Chapter struct {
	Heading string // as in a sentence: "Exit status"
	Text    string // paragraphs, between empty lines; may be empty
	Terms   []Term
}

// A Term is a word and what it means.
type Term struct{ Word, Means string }

// WriteMan writes a page of man for each command that is not hidden into dir.
func (b *Book) WriteMan(dir string) error {
	return b.write(dir, func(cmd *cobra.Command) (name, text string) {
		return fmt.Sprintf("%s.%d", title(cmd), b.Section), b.page(cmd)
	})
}

// WriteMarkdown writes a page of Markdown for each command that is not hidden into dir.
func (b *Book) WriteMarkdown(dir string) error {
	return b.write(dir, func(cmd *cobra.Command) (name, text string) { return title(cmd) + ".md", b.markdown(cmd) })
}

// write writes what form makes of each command into dir, which may be missing.
func (b *Book) write(dir string, form func(*cobra.Command) (name, text string)) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var all func(cmd *cobra.Command) error
	all = func(cmd *cobra.Command) error {
		name, text := form(cmd)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
		for _, sub := range shown(cmd) {
			if err := all(sub); err != nil {
				return err
			}
		}
		return nil
	}
	return all(b.Root)
}

// title is what man is asked for: cgq-queue-list.
func title(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// shown are the commands below cmd that are not hidden.
func shown(cmd *cobra.Command) (all []*cobra.Command) {
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			all = append(all, sub)
		}
	}
	return all
}
