package cli

import (
	"strconv"

	"github.com/spf13/cobra"

	"cgq/pkg/control"
)

func newTrash(a *app) *cobra.Command {
	cmd := newGroup("trash", "The trash: list, restore, purge",
		"What was dropped, or rejected without a report, rests in the trash for a day (trash_age),\n"+
			"an act a batch, and can be put back as it was.")
	cmd.AddCommand(newTrashList(a), newTrashRestore(a), newTrashPurge(a))
	return cmd
}

func trashTable() table[control.TrashRow] {
	return table[control.TrashRow]{
		columns: []column{
			{field: "act", head: "BATCH", show: showText, right: true},
			{field: "at", head: "AGE", show: showAge},
			{field: "by", head: "BY", show: showText},
			{field: "messages", head: "MSGS", show: showText, right: true},
			{field: "recipients", head: "RCPTS", show: showText, right: true},
			{field: "bytes", head: "SIZE", show: showSize, right: true},
			{field: "purged_at", head: "PURGED IN", show: showIn},
			{field: "text", head: "TEXT", show: showText, elastic: true},
		},
		name: batchName,
		none: "the trash is empty",
	}
}

func batchName(r control.TrashRow) string { return strconv.FormatUint(r.Act, 10) }

func newTrashList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "One row an act that has put something into the trash",
		Long: "Lists what is in the trash, the latest act first: who did it, how much it was, when it\n" +
			"goes for good, and the text that was given.",
		Example: "  cgq trash list",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return printRows(a, trashTable(), control.TrashList.Do(cmd.Context(), a.client(), control.Nothing{}), false)
		},
	}
}

func newTrashRestore(a *app) *cobra.Command {
	return a.trashCommand(deed{past: "restored", unit: "recipient", joint: "in"}, control.TrashRestore, &cobra.Command{
		Use:   "restore BATCH | --all",
		Short: "Put what an act has put into the trash back",
		Long: "Puts recipients back into their host queues, with their attempts and their age, as if\n" +
			"the act had not been. It counts recipients. More than one message needs a yes.",
		Example: "  cgq trash restore 17",
	})
}

func newTrashPurge(a *app) *cobra.Command {
	return a.trashCommand(deed{past: "purged", unit: "recipient", joint: "in"}, control.TrashPurge, &cobra.Command{
		Use:   "purge BATCH | --all",
		Short: "Empty the trash for good",
		Long: "Takes what an act has put into the trash out of the queue for good. There is no way\n" +
			"back. It counts recipients. More than one message needs a yes.",
		Example: "  cgq trash purge 17\n  cgq trash purge --all --dry-run",
	})
}

// trashCommand adds to cmd what a command has that acts on the trash.
func (a *app) trashCommand(d deed, call control.Call[control.TrashAct, control.Outcome],
	cmd *cobra.Command,
) *cobra.Command {
	var o acting
	var all bool
	cmd.Args = usageArgs(cobra.MaximumNArgs(1))
	cmd.ValidArgsFunction = a.completeBatches
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		act := control.TrashAct{All: all}
		if len(args) == 1 {
			n, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil || n == 0 {
				return usagef(cmd, "%q is not the number of an act; cgq trash list shows all", args[0])
			}
			act.Act = n
		}
		if err := act.Check(); err != nil {
			return usagef(cmd, "%v", err)
		}
		return a.do(cmd.Context(), o, d, func(dryRun bool) (control.Outcome, error) {
			act.DryRun = dryRun
			return call.Do(cmd.Context(), a.client(), act)
		})
	}
	o.flags(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "everything in the trash")
	return cmd
}
