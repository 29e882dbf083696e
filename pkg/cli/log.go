package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"cgq/pkg/control"
)

func newLog(a *app) *cobra.Command {
	cmd := newGroup("log", "The Server Log",
		"The Server Log has one line a record: time, level, component, text. Levels: 0 Crashes\n"+
			"Only, 1 Failures, 2 Major & Failures, 3 Problems, 4 Low Level, 5 All Info.")
	cmd.AddCommand(newLogTail(a))
	return cmd
}

// logTable gives log lines their fields; people get the lines as they are.
func logTable() table[control.LogLine] {
	line := func(l control.LogLine) string { return l.Line }
	return table[control.LogLine]{name: line, line: line}
}

func newLogTail(a *app) *cobra.Command {
	var q control.LogQuery
	var level int
	var message string
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "The last lines of the log",
		Long: "Prints the last lines of the Server Log, and with -f what is written from then on,\n" +
			"until it is interrupted, or the daemon has written its last line.",
		Example: "  cgq log tail -f\n  cgq log tail -n 100 --tag ENQUEUER,DEQUEUER --level 2\n" +
			"  cgq log tail --message 4711 -n 1000",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if cmd.Flags().Changed("level") {
				q.Level = &level
			}
			if message != "" {
				if q.Message, err = parseID(cmd, message); err != nil {
					return err
				}
			}
			if err := q.Check(); err != nil {
				return usagef(cmd, "%v", err)
			}
			if a.human() && len(a.columns) > 0 {
				return usagef(cmd, "--columns needs -o json, jsonl or csv here")
			}
			err = printRows(a, logTable(), control.LogTail.Do(cmd.Context(), a.client(), q), q.Follow)
			if q.Follow && errors.Is(err, context.Canceled) {
				return nil // the way out
			}
			return err
		},
	}
	f := cmd.Flags()
	f.IntVarP(&q.Lines, "lines", "n", 10, "how many `lines` of the past")
	f.BoolVarP(&q.Follow, "follow", "f", false, "go on with what is written")
	f.StringSliceVar(&q.Tags, "tag", nil, "of these `components`, such as ENQUEUER,DEQUEUER")
	f.IntVar(&level, "level", 5, "of this `level` and below, 0 to 5")
	f.StringVar(&message, "message", "", "about the message with this `id`")
	_ = cmd.RegisterFlagCompletionFunc("message", a.completeIDs) // the flags are there
	_ = cmd.RegisterFlagCompletionFunc("level", fixed("0\tCrashes Only", "1\tFailures", "2\tMajor & Failures",
		"3\tProblems", "4\tLow Level", "5\tAll Info"))
	_ = cmd.RegisterFlagCompletionFunc("tag", fixed("ENQUEUER", "DEQUEUER", "QUEUE", "ROUTER", "SMTPI", "SMTP", "LOCAL", "PIPE",
		"TEMPFILE", "SYSTEM", "ADMIN"))
	return cmd
}
