package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"cgq/pkg/control"
)

// changing is the flags of a command that changes settings.
type changing struct {
	why    string
	dryRun bool
}

func (o *changing) flags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&o.why, "message", "m", "", "why, for the history")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "check it, say what would change, and change nothing")
}

// assignments reads KEY=VALUE…
func assignments(cmd *cobra.Command, args []string) (list []control.Assignment, err error) {
	for _, arg := range args {
		key, value, ok := strings.Cut(arg, "=")
		if !ok || key == "" {
			return nil, usagef(cmd, "%q is not KEY=VALUE", arg)
		}
		list = append(list, control.Assignment{Key: strings.TrimSpace(key), Value: value})
	}
	return list, nil
}

func newSettingsSet(a *app) *cobra.Command {
	var o changing
	var version string
	cmd := &cobra.Command{
		Use:   "set KEY=VALUE…",
		Short: "Give keys other values",
		Long: "Changes keys, all or none, in the files and at once in cgqd. A value is written as in 1h, 50M,\n" +
			"true, a text as it stands; a list has commas between its elements, or is written as in TOML:\n" +
			"'[\"5m\", \"1h\"]'. Comments, order and everything else in the files stay. If the settings cannot be\n" +
			"used together with the new values, nothing is changed; the answer has file, line and key.\n\n" +
			"With --if-version the file must be the one that was looked at (VERSION in cgq settings list -o\n" +
			"wide). With -o json or jsonl one object: number, of the change in the history; changes, each\n" +
			"with key, before and after; files; later, the keys that wait for the next start; version.",
		Example: "  cgq settings set queue.dequeuer.reporting_delay=2m -m 'fewer reports'\n" +
			"  cgq settings set smtp.send.retry='1m, 5m, 1h' smtp.send.expire=3d --dry-run",
		Args:              usageArgs(cobra.MinimumNArgs(1)),
		ValidArgsFunction: a.completeAssignments(""),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := assignments(cmd, args)
			if err != nil {
				return err
			}
			return a.setSettings(cmd, o, control.SettingsOrder{Set: list, Version: version})
		},
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&version, "if-version", "", "change nothing if the file has another `version`")
	return cmd
}

func newSettingsUnset(a *app) *cobra.Command {
	var o changing
	cmd := &cobra.Command{
		Use:   "unset KEY…",
		Short: "Put keys back to their defaults",
		Long: "Takes keys out of their files, all or none, so that their defaults count; the default stays\n" +
			"there as a comment.",
		Example:           "  cgq settings unset queue.dequeuer.reporting_delay",
		Args:              usageArgs(cobra.MinimumNArgs(1)),
		ValidArgsFunction: a.completeKeys,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.setSettings(cmd, o, control.SettingsOrder{Unset: args})
		},
	}
	o.flags(cmd)
	return cmd
}

func (a *app) setSettings(cmd *cobra.Command, o changing, order control.SettingsOrder) error {
	if err := a.hasChangeColumns(); err != nil {
		return err
	}
	order.Why, order.DryRun = o.why, o.dryRun
	out, err := control.SettingsSet.Do(cmd.Context(), a.client(), order)
	if err != nil {
		return err
	}
	return a.printChanged(out, o.dryRun)
}

func changesTable() table[control.ChangedValue] {
	return table[control.ChangedValue]{
		columns: []column{
			{field: "key", head: "KEY", show: showText},
			{field: "before", head: "BEFORE", show: showText, elastic: true},
			{field: "after", head: "AFTER", show: showText, elastic: true},
		},
		name: func(c control.ChangedValue) string { return c.Key },
		none: "nothing is different",
	}
}

// hasChangeColumns is [hasColumns] of what printChanged prints in rows.
func (a *app) hasChangeColumns() error {
	if a.format == formJSON || a.format == formLines {
		return nil
	}
	return hasColumns[control.ChangedValue](a)
}

// printChanged says what a change came to.
func (a *app) printChanged(out control.SettingsChanged, dryRun bool) error {
	if printed, err := a.printOne(out); printed {
		return err
	}
	if !a.human() || len(a.columns) > 0 {
		return printRows(a, changesTable(), slice(out.Changes), false)
	}
	for _, c := range out.Changes {
		fmt.Fprintln(a.out, safe(changeText(c)))
	}
	if len(out.Changes) == control.MaxChanges {
		fmt.Fprintln(a.out, "and perhaps more: these are the first")
	}
	for _, key := range out.Later {
		fmt.Fprintf(a.out, "%s takes effect at the next start\n", safe(key))
	}
	switch {
	case len(out.Files) == 0:
		fmt.Fprintln(a.out, "nothing is different")
		if a.failEmpty {
			return errEmpty
		}
	case dryRun:
		fmt.Fprintln(a.out, "nothing was changed")
	case len(out.Changes) == 0:
		fmt.Fprintf(a.out, "the values are the same; change %d of %s is on record\n", out.Number, safe(strings.Join(out.Files, ", ")))
	default:
		fmt.Fprintf(a.out, "change %d; cgq settings rollback %d undoes it\n", out.Number, max(1, out.Number-1))
	}
	return nil
}

// changeText is a key with what has become of it.
func changeText(c control.ChangedValue) string {
	before, after := c.Before, c.After
	if before == "" {
		before = "(none)"
	}
	if after == "" {
		after = "(none)"
	}
	return c.Key + ": " + before + " → " + after
}

func newSettingsRollback(a *app) *cobra.Command {
	var o changing
	cmd := &cobra.Command{
		Use:   "rollback N",
		Short: "Put all files back as they were after a change",
		Long: "Puts all files of Settings/ back as they were after change N of cgq settings history, if the\n" +
			"settings are in order then. That is a change, too: a rollback can be rolled back.",
		Example: "  cgq settings rollback 16 --dry-run",
		Args:    usageArgs(cobra.ExactArgs(1)), ValidArgsFunction: first(a.completeChanges),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := changeNumber(cmd, args[0])
			if err != nil {
				return err
			}
			if err := a.hasChangeColumns(); err != nil {
				return err
			}
			out, err := control.SettingsRollback.Do(cmd.Context(), a.client(), control.SettingsReturn{Number: n, Why: o.why, DryRun: o.dryRun})
			if err != nil {
				return err
			}
			return a.printChanged(out, o.dryRun)
		},
	}
	o.flags(cmd)
	return cmd
}

func changeNumber(cmd *cobra.Command, arg string) (int, error) {
	n, err := strconv.Atoi(arg)
	if err != nil || n < 1 {
		return 0, usagef(cmd, "%q is not the number of a change, as cgq settings history has them", arg)
	}
	return n, nil
}

// completeChanges completes the numbers of changes.
func (a *app) completeChanges(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	return complete(a, cmd, control.SettingsHistory, control.Nothing{}, begun, func(c control.SettingsChange) (string, string) {
		return strconv.Itoa(c.Number), who(c) + ", " + c.How
	})
}
