package cli

import (
	"time"

	"github.com/spf13/cobra"

	"cgq/pkg/control"
	"cgq/pkg/mail"
)

func newHold(a *app) *cobra.Command {
	cmd := newGroup("hold", "Holds: list, remove",
		"What is held is neither transferred nor reported nor too old, until a person frees it:\n"+
			"a restored backup, and messages that are damaged.")
	cmd.AddCommand(newHoldList(a), newHoldRemove(a))
	return cmd
}

// holdTable is the list of holds.
func holdTable() table[control.HoldRow] {
	return table[control.HoldRow]{
		columns: []column{
			{field: "name", head: "HOLD", show: showText},
			{field: "id", head: "MESSAGE", show: showID, right: true},
			{field: "messages", head: "MSGS", show: showText, right: true},
			{field: "since", head: "FOR", show: showAge},
			{field: "reason", head: "REASON", show: showText, elastic: true},
		},
		name: holdName,
		none: "no holds",
	}
}

// holdName is the name of a hold, or the message that is damaged.
func holdName(h control.HoldRow) string {
	if h.Name == "" {
		return h.ID.String()
	}
	return h.Name
}

// showID shows the id of a message, if there is one.
func showID(v any, _ time.Time) string {
	if id := v.(mail.ID); id != 0 {
		return id.String()
	}
	return ""
}

func newHoldList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "One row a hold",
		Long: "Lists the holds, which have a name, and the messages that are held because of damage,\n" +
			"which have none: a reject ends those.",
		Example: "  cgq hold list",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return printRows(a, holdTable(), control.HoldList.Do(cmd.Context(), a.client(), control.Nothing{}), false)
		},
	}
}

func newHoldRemove(a *app) *cobra.Command {
	var o acting
	cmd := &cobra.Command{
		Use:   "remove HOLD",
		Short: "Let the messages of a hold go",
		Long: "Removes a hold: its messages are transferred and reported as others are. That of a\n" +
			"restored backup is called restored. More than one message needs a yes.",
		Example:           "  cgq hold remove restored --dry-run\n  cgq hold remove restored --yes",
		Args:              usageArgs(cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeHolds,
		RunE: func(cmd *cobra.Command, args []string) error {
			d := deed{past: "freed", unit: "message"}
			return a.do(cmd.Context(), o, d, func(dryRun bool) (control.Outcome, error) {
				return control.HoldRemove.Do(cmd.Context(), a.client(), control.HoldAct{Name: args[0], DryRun: dryRun})
			})
		},
	}
	o.flags(cmd)
	return cmd
}

func (a *app) completeHolds(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return complete(a, cmd, control.HoldList, control.Nothing{}, begun, func(h control.HoldRow) (string, string) {
		return h.Name, h.Reason
	})
}
