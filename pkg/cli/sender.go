package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"cgq/pkg/control"
)

func newSender(a *app) *cobra.Command {
	cmd := newGroup("sender", "Authenticated senders: reject",
		"A sender is the Account that has authenticated when a message was submitted; the return\n"+
			"path of the message may be another.")
	cmd.AddCommand(newSenderReject(a))
	return cmd
}

func newSenderReject(a *app) *cobra.Command {
	var o acting
	var r rejecting
	cmd := &cobra.Command{
		Use:   "reject ACCOUNT --text TEXT",
		Short: "Reject everything that an authenticated sender has submitted",
		Long: "Reject All Sender's Messages: fails all recipients that are not being processed, of all\n" +
			"messages that this Account has submitted. It counts recipients. The sender gets reports\n" +
			"with the text, unless --no-dsn suppresses them: then what is rejected rests in the\n" +
			"trash for a day. More than one message needs a yes.",
		Example: "  cgq sender reject ann@example.org --text 'your password was stolen' --dry-run\n" +
			"  cgq sender reject ann@example.org --text 'stolen password' --no-dsn",
		Args:              usageArgs(cobra.ExactArgs(1)),
		ValidArgsFunction: first(a.completeAuth),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(args[0]) == "" {
				return usagef(cmd, "the name of the Account is empty")
			}
			act, err := r.act(cmd, control.Selection{Auth: []string{literal(args[0])}})
			if err != nil {
				return err
			}
			return a.doAct(cmd, new(selection), o, rejects(), control.MessageReject, act)
		},
	}
	o.flags(cmd)
	r.flags(cmd)
	return cmd
}
