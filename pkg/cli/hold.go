package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cgq/pkg/control"
	"cgq/pkg/mail"
)

// restored is the name of the hold on a restored backup, which holds messages; others
// hold recipients.
const restored = "restored"

func newHold(a *app) *cobra.Command {
	cmd := newGroup("hold", "Holds: add, list, remove",
		"What is held is neither transferred nor reported nor too old, until a person frees it\n"+
			"or the time of the hold is over: what somebody wants to wait, a restored backup, and\n"+
			"messages that are damaged.")
	cmd.AddCommand(newHoldAdd(a), newHoldList(a), newHoldRemove(a))
	return cmd
}

// holdTable is the list of holds.
func holdTable(a *app) table[control.HoldRow] {
	return table[control.HoldRow]{
		columns: []column{
			{field: "name", head: "HOLD", show: showText},
			{field: "id", head: "MESSAGE", show: showID, right: true},
			{field: "recipients", head: "RCPTS", show: showCount, right: true},
			{field: "messages", head: "MSGS", show: showCount, right: true, wide: a.narrow()},
			{field: "by", head: "BY", show: showText},
			{field: "since", head: "SINCE", show: showAge},
			{field: "until", head: "ENDS IN", show: showIn},
			{field: "lasts", head: "NEW MAIL", show: showYes, wide: a.narrow()},
			{field: "where", head: "WHERE", show: showText, elastic: true},
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
	if id := *v.(*mail.ID); id != 0 {
		return id.String()
	}
	return ""
}

// showCount shows a number that is something: a hold has recipients, or messages.
func showCount(v any, _ time.Time) string {
	if n := *v.(*int); n > 0 {
		return fmt.Sprint(n)
	}
	return ""
}

func showYes(v any, _ time.Time) string {
	if *v.(*bool) {
		return "yes"
	}
	return "no"
}

func newHoldAdd(a *app) *cobra.Command {
	var s selection
	var o acting
	var reason string
	var lasts time.Duration
	cmd := &cobra.Command{
		Use:   "add SELECTION --reason REASON",
		Short: "Keep what matches from being transferred",
		Long: "Makes a hold, which has a number, an owner and a reason, and persists. A selection that\n" +
			"says what messages are (module, queue, sender, …) holds those that come later, too; one\n" +
			"that says how they fare (state, age, error, attempts), or names ids or a limit, holds\n" +
			"those that match now. It counts recipients. What is being transferred is held when it\n" +
			"comes back. More than one message needs a yes.",
		Example: "  cgq hold add --rcpt-domain example.com --reason 'they move their servers' --for 4h\n" +
			"  cgq hold add --sender ann@example.org --reason 'looks like spam, asking her' --dry-run",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			sel, err := s.parse(a, cmd, nil)
			switch {
			case err != nil:
				return err
			case sel.Empty() && !s.none:
				return usagef(cmd, "say with flags what to hold, or --all")
			case strings.TrimSpace(reason) == "":
				return usagef(cmd, "say why with --reason: others will ask")
			}
			d := deed{past: "held", unit: "recipient", joint: "in", say: sayHeld, about: sel}
			return a.do(cmd.Context(), o, d, func(dryRun bool) (control.Outcome, error) {
				if s.none {
					return control.Outcome{}, nil
				}
				return control.HoldAdd.Do(cmd.Context(), a.client(),
					control.HoldOrder{Selection: sel, Reason: reason, For: control.Seconds(lasts), DryRun: dryRun})
			})
		},
	}
	s.acting(a, cmd)
	o.flags(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "why, for others who wonder; always needed")
	cmd.Flags().Var((*length)(&lasts), "for", "end it after this `time`, such as 4h or 2d; else it has no end")
	_ = cmd.RegisterFlagCompletionFunc("reason", cobra.NoFileCompletions) // the flags are there
	_ = cmd.RegisterFlagCompletionFunc("for", cobra.NoFileCompletions)
	return cmd
}

// sayHeld is what hold add has done.
func sayHeld(out control.Outcome, dryRun bool) string {
	what := plural(out.Changed, "recipient") + " in " + plural(out.Messages, "message")
	switch {
	case dryRun:
		return "would hold " + what
	case out.Act == 0:
		return "nothing matches, and no hold was made"
	}
	return fmt.Sprintf("hold %d keeps %s; cgq hold remove %[1]d ends it", out.Act, what)
}

func newHoldList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "One row a hold",
		Long: "Lists the holds, which have a name, and the messages that are held because of damage,\n" +
			"which have none: a reject ends those. NEW MAIL says whether a hold also has what comes\n" +
			"later.",
		Example: "  cgq hold list",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return printRows(a, holdTable(a), control.HoldList.Do(cmd.Context(), a.client(), control.Nothing{}), false)
		},
	}
}

func newHoldRemove(a *app) *cobra.Command {
	var o acting
	cmd := &cobra.Command{
		Use:   "remove HOLD",
		Short: "Let what a hold has go",
		Long: "Removes a hold: what no other hold has is transferred and reported as before. That of\n" +
			"a restored backup is called restored, and counts messages; others count recipients.\n" +
			"More than one message needs a yes.",
		Example:           "  cgq hold remove 17\n  cgq hold remove restored --dry-run",
		Args:              usageArgs(cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeHolds,
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == "" {
				return usagef(cmd, "the name of the hold is empty")
			}
			d := deed{past: "freed", unit: "recipient"}
			if args[0] == restored {
				d.unit = "message"
			} else {
				d.joint = "in"
			}
			return a.do(cmd.Context(), o, d, func(dryRun bool) (control.Outcome, error) {
				return control.HoldRemove.Do(cmd.Context(), a.client(), control.HoldAct{Name: args[0], DryRun: dryRun})
			})
		},
	}
	o.flags(cmd)
	return cmd
}
