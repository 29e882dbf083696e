package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cgq/pkg/control"
)

func newRules(a *app) *cobra.Command {
	cmd := newGroup("rules", "Server-wide Rules: list, show, test, set, import",
		"Rules look at each message before it gets into the Queue, and act on it. They stand in\n"+
			"Settings/rules.toml, which cgq settings edit rules opens; a running cgqd notices when it is\n"+
			"edited. docs/rules.md has the conditions and the actions.")
	cmd.AddCommand(newRulesList(a), newRulesShow(a), newRulesTest(a), newRulesSet(a), newRulesImport(a))
	return cmd
}

// showRows is conditions or actions in a cell.
func showRows(v any, _ time.Time) string {
	all := *v.(*[][]string)
	list := make([]string, len(all))
	for i, row := range all {
		list[i] = strings.Join(row, " ")
	}
	return strings.Join(list, "; ")
}

func rulesTable() table[control.RuleRow] {
	return table[control.RuleRow]{
		columns: []column{
			{field: "priority", head: "PRIORITY", show: showText},
			{field: "name", head: "NAME", show: showText},
			{field: "conditions", head: "CONDITIONS", show: showRows, elastic: true},
			{field: "actions", head: "ACTIONS", show: showRows, elastic: true},
		},
		name: func(r control.RuleRow) string { return r.Name },
		none: "no Rules",
	}
}

func newRulesList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "One row a Rule, in the order in which they apply",
		Long: "Lists the Rules that cgqd applies, the highest priority first, the inactive ones last.\n\n" +
			"In JSON a row has name, priority (\"9\" to \"1\", or \"inactive\"), conditions and actions: lists\n" +
			"of lists of texts, as they are written.",
		Example: "  cgq rules list\n  cgq rules list -o json",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return printRows(a, rulesTable(), control.RulesList.Do(cmd.Context(), a.client(), control.Nothing{}), false)
		},
	}
}

// completeRules completes the name of a Rule.
func (a *app) completeRules(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	return complete(a, cmd, control.RulesList, control.Nothing{}, begun,
		func(r control.RuleRow) (string, string) { return r.Name, r.Priority })
}

func newRulesShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "show [NAME]",
		Short: "A Rule as it is written, or all of them",
		Long: "Prints one Rule, or all with their lists, as TOML: as cgqd has them, which is how the file\n" +
			"was when it was last read. With -o json or jsonl one object with rules, as cgq rules list\n" +
			"has them, lists by their names, and text, the TOML; with csv and name the rules alone.",
		Example:           "  cgq rules show spam\n  cgq rules show > rules.toml",
		Args:              usageArgs(cobra.MaximumNArgs(1)),
		ValidArgsFunction: first(a.completeRules),
		RunE: func(cmd *cobra.Command, args []string) error {
			var in control.RuleName
			if len(args) == 1 {
				if in.Name = args[0]; in.Name == "" {
					return usagef(cmd, "the name is empty")
				}
			}
			f, err := control.RulesShow.Do(cmd.Context(), a.client(), in)
			if err != nil {
				return err
			}
			if printed, err := a.printOne(f); printed {
				return err
			}
			if !a.human() || len(a.columns) > 0 {
				return printRows(a, rulesTable(), slice(f.Rules), false)
			}
			return a.printText(f.Text)
		},
	}
}

// printText prints lines that are safe.
func (a *app) printText(text string) error {
	w := &safeWriter{w: a.out}
	if _, err := io.WriteString(w, text); err != nil {
		return err
	}
	return w.flush()
}

// maxRulesFile is how many bytes a file that is sent to the daemon has.
const maxRulesFile = 8 << 20

// readFile reads a file, or stdin for -.
func (a *app) readFile(name string, most int64) ([]byte, error) {
	in := a.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, most+1))
	if err == nil && int64(len(b)) > most {
		err = fmt.Errorf("%s is longer than %d bytes", name, most)
	}
	return b, err
}

// readHead reads a message, of which it keeps the header, and counts its bytes.
func (a *app) readHead(name string) (head []byte, size int64, err error) {
	in := a.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, 0, err
		}
		defer f.Close()
		in = f
	}
	head, err = io.ReadAll(io.LimitReader(in, maxRulesFile))
	if err != nil {
		return nil, 0, err
	}
	rest, err := io.Copy(io.Discard, in)
	size = int64(len(head)) + rest
	if end := headEnd(head); end >= 0 {
		head = head[:end]
	} else if rest > 0 {
		err = fmt.Errorf("%s has a header longer than %d bytes", name, maxRulesFile)
	}
	return head, size, err
}

// headEnd is where the body begins (RFC 5322 §2.1), or -1.
func headEnd(text []byte) int {
	begin := 0 // of a line
	for i, c := range text {
		if c != '\n' {
			continue
		}
		if line := string(text[begin:i]); line == "" || line == "\r" {
			return i + 1
		}
		begin = i + 1
	}
	return -1
}

func newRulesSet(a *app) *cobra.Command {
	var o changing
	cmd := &cobra.Command{
		Use:   "set FILE",
		Short: "Put other Rules live",
		Long: "Puts a file of Rules, in the form of Settings/rules.toml, live in place of those that are; but\n" +
			"only if nothing is wrong with it and with the other settings. cgq settings rollback undoes it.\n" +
			"- is stdin. The answer is that of cgq settings set.",
		Example: "  cgq rules show > rules.toml\n  cgq rules set rules.toml -m 'no more spam'",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := a.readFile(args[0], maxRulesFile)
			if err != nil {
				return err
			}
			file, err := control.SettingsFile.Do(cmd.Context(), a.client(), control.SettingsFileName{Name: "rules"})
			if err != nil {
				return err
			}
			out, err := control.SettingsReplace.Do(cmd.Context(), a.client(), control.SettingsText{Name: file.Name, Text: string(text),
				Version: file.Version, Why: o.why, DryRun: o.dryRun})
			if err != nil {
				return err
			}
			return a.printChanged(out, o.dryRun)
		},
	}
	o.flags(cmd)
	return cmd
}

func newRulesImport(a *app) *cobra.Command {
	var write bool
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Rules of CommuniGate Pro as a file for cgqd",
		Long: "Reads Settings/Rules.settings of CommuniGate Pro and prints it as Settings/rules.toml, so\n" +
			"that it can be looked at, changed and tested with cgq rules test --rules. Rules that cannot\n" +
			"be taken are left out; each is named on stderr with the reason, and the exit status is 5.\n\n" +
			"With --write nothing is printed: the file is put live in place of the one that is there,\n" +
			"which is kept as rules.toml.old; but only if every Rule could be taken and nothing else is\n" +
			"wrong with the settings, which are read again with it. - is stdin.\n\n" +
			"With -o json or jsonl one object: text, the TOML; rules, how many were taken; problems, a\n" +
			"text a Rule; written, whether they are live.",
		Example: "  cgq rules import Rules.settings > rules.toml\n  cgq rules import Rules.settings --write",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := a.readFile(args[0], maxRulesFile)
			if err != nil {
				return err
			}
			out, err := control.RulesImport.Do(cmd.Context(), a.client(), control.RulesText{Text: text, Write: write})
			if err != nil {
				return err
			}
			return a.printImported(cmd, out, write)
		},
	}
	cmd.Flags().BoolVar(&write, "write", false, "put them live in place of those that are")
	return cmd
}

func (a *app) printImported(cmd *cobra.Command, out control.RulesImported, write bool) error {
	printed, err := a.printOne(out)
	switch {
	case err != nil:
		return err
	case printed:
	case !a.human():
		return usagef(cmd, "what is imported has no form but TOML and JSON; leave out -o")
	case out.Written:
		fmt.Fprintf(a.out, "%s live; the old ones are in Settings/rules.toml.old\n", plural(out.Rules, "Rule"))
	case !write:
		if err := a.printText(out.Text); err != nil {
			return err
		}
	}
	for _, p := range out.Problems {
		fmt.Fprintln(a.errOut, "cgq: "+safe(p))
	}
	if write && !out.Written {
		fmt.Fprintln(a.errOut, "cgq: nothing was written; leave out --write, correct what it prints, and put that into Settings/rules.toml")
	}
	if len(out.Problems) > 0 {
		return errPartly
	}
	return nil
}
