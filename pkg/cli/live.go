package cli

import (
	"bytes"
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cgq/pkg/cli/top"
)

func newTop(a *app) *cobra.Command {
	var s selection
	interval := time.Second
	cmd := &cobra.Command{
		Use:   "top [SELECTION]",
		Short: "A live view of the queues, with rows to act on",
		Long: "Shows the host queues that match, all without flags, and how many messages come in and\n" +
			"go out, on the whole terminal, until q is pressed. Keys explain a queue, show its\n" +
			"messages, release it, hold it, or reject what is in it; ? lists them. What they do is\n" +
			"what the commands do, with their rights and their counts. With very many queues it looks\n" +
			"less often than --interval says.",
		Example: "  cgq top\n  cgq top --module SMTP --interval 5s",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			sel, err := s.parse(a, cmd, nil)
			switch {
			case err != nil:
				return err
			case a.width == 0 || !a.interactive:
				return usagef(cmd, "it needs a terminal; cgq queue list --watch prints the queues again and again")
			}
			client := a.client()
			defer client.Close()
			return top.Run(cmd.Context(), top.Options{Client: client, Selection: sel,
				Command: a.aside, Explain: a.explain, Interval: interval, Colour: a.colour, Now: a.now, In: a.in, Out: a.out})
		},
	}
	s.flags(a, cmd)
	cmd.Flags().Var((*length)(&interval), "interval", "the `time` between two looks at the daemon, such as 5s; else 1s")
	_ = cmd.RegisterFlagCompletionFunc("interval", cobra.NoFileCompletions) // the flag is there
	return cmd
}

// aside runs a command line beside the one that runs, as on a terminal with this many
// columns where nobody can be asked, and returns what it prints.
func (a *app) aside(ctx context.Context, width int, args ...string) top.Answer {
	var out, errOut bytes.Buffer
	b := &app{in: strings.NewReader(""), out: &out, errOut: &errOut, width: width, now: a.now, every: a.every, base: a.base}
	status := b.run(ctx, args)
	text := out.String() + strings.TrimPrefix(errOut.String(), "cgq: ")
	return top.Answer{Text: text, Failed: status != exitDone && status != exitPartly}
}
