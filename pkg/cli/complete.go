package cli

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cgq/pkg/control"
)

const (
	// completeWithin is how long a person who pressed Tab waits for the daemon.
	completeWithin = 150 * time.Millisecond
	// maxCandidates is how many candidates a shell gets.
	maxCandidates = 500
)

func newCompletion(a *app) *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "The completion script for a shell",
		Long: "Prints the script that teaches a shell to complete the commands of cgq, and with\n" +
			"them the names of host queues, the ids of messages and Accounts that are there.",
		Example:   "  cgq completion bash > /etc/bash_completion.d/cgq\n  source <(cgq completion zsh)",
		Args:      usageArgs(cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs)),
		ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch root := cmd.Root(); args[0] {
			case "bash":
				return root.GenBashCompletionV2(a.out, true)
			case "zsh":
				return root.GenZshCompletion(a.out)
			case "fish":
				return root.GenFishCompletion(a.out, true)
			default:
				return root.GenPowerShellCompletionWithDesc(a.out)
			}
		},
	}
}

// fixed completes from a list.
func fixed(candidates ...string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return candidates, cobra.ShellCompDirectiveNoFileComp
	}
}

// first completes the first argument, and no other.
func first(f cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return f(cmd, args, begun)
	}
}

// complete completes from what the daemon has, as far as it says so in time. What
// is not safe to show, or is more than a line, is no candidate.
func complete[In, Row any](a *app, cmd *cobra.Command, s control.Stream[In, Row], in In, begun string,
	candidate func(Row) (name, about string),
) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completeWithin)
	defer cancel()
	found := map[string]string{}
	for row, err := range s.Do(ctx, a.client(), in) {
		if err != nil || len(found) == maxCandidates {
			break
		}
		if name, about := candidate(row); name != "" && strings.HasPrefix(name, begun) && safe(name) == name {
			found[name] = about
		}
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if about := safe(found[name]); about != "" {
			name += "\t" + about
		}
		list = append(list, name)
	}
	return list, cobra.ShellCompDirectiveNoFileComp
}

// beginning selects the host queues whose names begin so: of very many the daemon has to
// send few.
func beginning(begun string) (sel control.Selection) {
	if begun != "" && !strings.ContainsAny(begun, "~*") {
		sel.Queue = []string{begun + "*"}
	}
	return sel
}

// completesRest sees to it that no shell offers the files of its directory where none is
// meant: for arguments and flags of which nothing else is said, and that are no FILE.
func completesRest(cmd *cobra.Command) {
	if cmd.ValidArgsFunction == nil && cmd.ValidArgs == nil && !cmd.HasSubCommands() && !strings.Contains(cmd.Use, " FILE") {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		_, completes := cmd.GetFlagCompletionFunc(f.Name)
		value, _ := pflag.UnquoteUsage(f)
		switch {
		case completes || f.Value.Type() == "bool" || value == "file":
		case value == "directory":
			_ = cmd.RegisterFlagCompletionFunc(f.Name, dirs) // the flag is there
		default:
			_ = cmd.RegisterFlagCompletionFunc(f.Name, cobra.NoFileCompletions)
		}
	})
	for _, sub := range cmd.Commands() {
		completesRest(sub)
	}
}

func dirs(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// completeQueueName completes MODULE QUEUE.
func (a *app) completeQueueName(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	switch len(args) {
	case 0:
		ctx, cancel := context.WithTimeout(cmd.Context(), completeWithin) // for both
		defer cancel()
		cmd.SetContext(ctx)
		list, directive := a.completeModules(cmd, nil, begun)
		if begun != "" { // a name alone is enough, too
			queues, _ := a.completeQueues(cmd, nil, begun)
			list = append(list, queues...)
		}
		return list, directive
	case 1:
		sel := beginning(begun)
		sel.Module = []string{strings.ToUpper(args[0])}
		return complete(a, cmd, control.QueueList, sel, begun, func(q control.QueueRow) (string, string) {
			return q.Queue, string(q.State) + ", " + plural(q.Messages, "message")
		})
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

func (a *app) completeModules(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	return complete(a, cmd, control.QueueList, control.Selection{}, begun, func(q control.QueueRow) (string, string) {
		return q.Module, ""
	})
}

func (a *app) completeQueues(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	return complete(a, cmd, control.QueueList, beginning(begun), begun, func(q control.QueueRow) (string, string) {
		return q.Queue, q.Module
	})
}

func (a *app) completeIDs(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	return complete(a, cmd, control.MessageList, control.Selection{}, begun, func(m control.MessageRow) (string, string) {
		return m.ID.String(), m.ReturnPath
	})
}

func (a *app) completeAccounts(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return complete(a, cmd, control.AccountList, control.AccountQuery{}, begun, func(c control.Account) (string, string) {
		return c.Address, ""
	})
}

func (a *app) completeElements(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	return complete(a, cmd, control.Stat, control.StatQuery{}, begun, func(e control.Element) (string, string) {
		return e.Name, ""
	})
}

func (a *app) completeHolds(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return complete(a, cmd, control.HoldList, control.Nothing{}, begun, func(h control.HoldRow) (string, string) {
		return h.Name, h.Reason
	})
}

func (a *app) completeBatches(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return complete(a, cmd, control.TrashList, control.Nothing{}, begun, func(r control.TrashRow) (string, string) {
		return batchName(r), plural(r.Messages, "message") + " by " + r.By
	})
}

func (a *app) completeSenders(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	return complete(a, cmd, control.MessageList, control.Selection{}, begun, func(m control.MessageRow) (string, string) {
		return m.ReturnPath, ""
	})
}

// completeAuth completes the Accounts of authenticated senders that have something queued.
func (a *app) completeAuth(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	return complete(a, cmd, control.MessageList, control.Selection{}, begun, func(m control.MessageRow) (string, string) {
		return m.Sender, ""
	})
}
