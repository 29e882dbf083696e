package manual

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// page is a page of man(7). Cobra's own pages go through Markdown, where <>, * and _ of
// ours get lost.
func (b *Book) page(cmd *cobra.Command) string {
	var w strings.Builder
	more := b.More[title(cmd)]
	fmt.Fprintf(&w, ".TH %s %d \"\" cgq \"The mail queue of cgqd\"\n", strings.ToUpper(title(cmd)), b.Section)
	fmt.Fprintf(&w, ".SH NAME\n%s \\- %s\n", Roff(title(cmd)), Roff(cmd.Short))
	w.WriteString(".SH SYNOPSIS\n")
	for i, use := range uses(cmd, more) {
		if i > 0 {
			w.WriteString(".br\n")
		}
		fmt.Fprintf(&w, ".B %s\n", Roff(use))
	}
	fmt.Fprintf(&w, ".SH DESCRIPTION\n%s", paragraphs(cmd.Long))
	if cmd.Example != "" {
		fmt.Fprintf(&w, ".SH EXAMPLES\n.nf\n%s\n.fi\n", Roff(cmd.Example))
	}
	manFlags(&w, "OPTIONS", cmd.NonInheritedFlags())
	manFlags(&w, "GLOBAL OPTIONS", cmd.InheritedFlags())
	for _, c := range more.Chapters {
		fmt.Fprintf(&w, ".SH %s\n", Roff(strings.ToUpper(c.Heading)))
		if c.Text != "" {
			w.WriteString(paragraphs(c.Text))
		}
		for _, t := range c.Terms {
			fmt.Fprintf(&w, ".TP\n.B %s\n%s\n", Roff(t.Word), Roff(t.Means))
		}
	}
	b.also(&w, cmd, more.Also)
	return w.String()
}

// uses are the ways to call a command.
func uses(cmd *cobra.Command, more More) (all []string) {
	if !cmd.HasAvailableSubCommands() || more.Alone {
		all = append(all, cmd.UseLine())
	}
	if cmd.HasAvailableSubCommands() {
		all = append(all, cmd.CommandPath()+" COMMAND")
	}
	return all
}

// also names the pages around a command, then others.
func (b *Book) also(w *strings.Builder, cmd *cobra.Command, others []string) {
	var near []string
	if cmd.HasParent() {
		near = append(near, title(cmd.Parent()))
	}
	for _, sub := range shown(cmd) {
		near = append(near, title(sub))
	}
	slices.Sort(near)
	for i, name := range near {
		near[i] = fmt.Sprintf("%s(%d)", name, b.Section)
	}
	w.WriteString(".SH SEE ALSO\n")
	all := append(near, others...)
	for i, name := range all {
		end := ","
		if i == len(all)-1 {
			end = ""
		}
		name, section, _ := strings.Cut(name, "(")
		fmt.Fprintf(w, ".BR %s (%s%s\n", Roff(name), section, end)
	}
}

func manFlags(w *strings.Builder, heading string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	fmt.Fprintf(w, ".SH %s\n", heading)
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		names := "--" + f.Name
		if f.Shorthand != "" {
			names = "-" + f.Shorthand + ", " + names
		}
		switch {
		case value != "" && f.NoOptDefVal != "":
			names += "[=" + value + "]"
		case value != "":
			names += " " + value
		}
		if !slices.Contains([]string{"", "0", "0s", "false", "[]"}, f.DefValue) {
			usage += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(w, ".TP\n.B %s\n%s\n", Roff(names), Roff(usage))
	})
}

// paragraphs is text as paragraphs.
func paragraphs(s string) string {
	var b strings.Builder
	for i, paragraph := range strings.Split(strings.TrimSpace(s), "\n\n") {
		if i > 0 {
			b.WriteString(".PP\n")
		}
		b.WriteString(Roff(paragraph) + "\n")
	}
	return b.String()
}

// Roff is text that roff shows as it stands: no line of it is a request, and every sign is
// itself.
func Roff(s string) string {
	var b strings.Builder
	begins := true // a line
	for _, r := range s {
		if begins && (r == '.' || r == '\'') {
			b.WriteString(`\&`)
		}
		begins = r == '\n'
		switch {
		case r == '\\':
			b.WriteString(`\e`)
		case r == '-':
			b.WriteString(`\-`)
		case r == '\'':
			b.WriteString(`\(aq`)
		case r == '`':
			b.WriteString(`\(ga`)
		case r == '^':
			b.WriteString(`\(ha`)
		case r == '~':
			b.WriteString(`\(ti`)
		case r == '"':
			b.WriteString(`\(dq`)
		case r > 0x7e:
			fmt.Fprintf(&b, `\[u%04X]`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
