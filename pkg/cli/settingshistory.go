package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cgq/pkg/control"
)

// who has made a change.
func who(c control.SettingsChange) string {
	if c.By == "" {
		return "by hand"
	}
	return c.By
}

func showChanges(v any, _ time.Time) string {
	var list []string
	for _, c := range *v.(*[]control.ChangedValue) {
		list = append(list, changeText(c))
	}
	return strings.Join(list, "; ")
}

func historyTable() table[control.SettingsChange] {
	return table[control.SettingsChange]{
		columns: []column{
			{field: "number", head: "N", show: showText, right: true},
			{field: "at", head: "AT", show: showTill},
			{field: "by", head: "BY", show: showText},
			{field: "how", head: "HOW", show: showText},
			{field: "changes", head: "CHANGES", show: showChanges, elastic: true},
			{field: "why", head: "WHY", show: showText, elastic: true},
			{field: "files", head: "FILES", show: showList, wide: true},
		},
		name: func(c control.SettingsChange) string { return fmt.Sprint(c.Number) },
		none: "no changes",
	}
}

func newSettingsHistory(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "history",
		Short: "One row a change, the latest first",
		Long: "Lists the changes of the settings that cgqd remembers, a hundred at most: their numbers, when,\n" +
			"who, how, which keys, why. What was edited by hand is a change, too, as soon as it is applied;\n" +
			"BY is empty then: nobody knows who it was.\n\n" +
			"In JSON a row has number, at, by, how, why, changes (each with key, before, after) and files.",
		Example: "  cgq settings history\n  cgq settings history -o json",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return printRows(a, historyTable(), control.SettingsHistory.Do(cmd.Context(), a.client(), control.Nothing{}), false)
		},
	}
}

func newSettingsDiff(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "diff [N [M]]",
		Short: "What was changed in the files",
		Long: "Shows the differences of the files as diff -u does: what the last change has changed; what has\n" +
			"changed since change N, also what was edited by hand and is not applied because it is wrong; or\n" +
			"between change N and change M. With -o json or jsonl one object with text and files.",
		Example: "  cgq settings diff\n  cgq settings diff 16\n  cgq settings diff 16 17",
		Args:    usageArgs(cobra.MaximumNArgs(2)), ValidArgsFunction: a.completeChanges,
		RunE: func(cmd *cobra.Command, args []string) error {
			var in control.SettingsRange
			for i, arg := range args {
				n, err := changeNumber(cmd, arg)
				if err != nil {
					return err
				}
				*[]*int{&in.From, &in.To}[i] = n
			}
			out, err := control.SettingsDiff.Do(cmd.Context(), a.client(), in)
			if err != nil {
				return err
			}
			if printed, err := a.printOne(out); printed {
				return err
			}
			if !a.human() {
				return usagef(cmd, "a difference has no form but text and JSON; leave out -o")
			}
			if out.Text == "" && a.failEmpty {
				return errEmpty
			}
			return a.printText(out.Text)
		},
	}
}
