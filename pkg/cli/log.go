package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"cgq/pkg/control"
)

func newLog(a *app) *cobra.Command {
	cmd := newGroup("log", "The Server Log, the supplementary logs, and what is written to them",
		"The Server Log has one line a record: time, level, component, text. Levels: 0 Crashes\n"+
			"Only, 1 Failures, 2 Major & Failures, 3 Problems, 4 Low Level, 5 All Info.")
	cmd.AddCommand(newLogTail(a), newLogEmails(a), newLogAudit(a), newLogLevel(a))
	return cmd
}

// logTable gives log lines their fields; people get the lines as they are.
func logTable() table[control.LogLine] {
	line := func(l control.LogLine) string { return l.Line }
	return table[control.LogLine]{name: line, line: line}
}

// A tailing is what is shown of a log.
type tailing struct {
	control.LogQuery
	since, message string
	level          int
}

// flags adds what every log has.
func (q *tailing) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.IntVarP(&q.Lines, "lines", "n", 10, "how many `lines` of the past; -1: all")
	f.BoolVarP(&q.Follow, "follow", "f", false, "go on with what is written")
	f.StringVar(&q.since, "since", "", "those of the last `time`, such as 10m or 2d, or from a time on: '2026-11-23 08:00'; without -n all of them")
	_ = cmd.RegisterFlagCompletionFunc("since", fixed("10m", "1h", "1d")) // the flag is there
}

// about adds the flag for what is about messages.
func (q *tailing) about(a *app, cmd *cobra.Command) {
	cmd.Flags().StringVar(&q.message, "message", "", "about the message with this `id`")
	_ = cmd.RegisterFlagCompletionFunc("message", a.completeIDs) // the flag is there
}

// parse makes a request of the flags.
func (q *tailing) parse(a *app, cmd *cobra.Command) (err error) {
	if cmd.Flags().Changed("level") {
		q.Level = &q.level
	}
	if q.message != "" {
		if q.Message, err = parseID(cmd, q.message); err != nil {
			return err
		}
	}
	if q.since != "" {
		if q.Since, err = instant(q.since, a.now()); err != nil {
			return usagef(cmd, "%v", err)
		}
		if !cmd.Flags().Changed("lines") {
			q.Lines = -1
		}
	}
	if err := q.Check(); err != nil {
		return usagef(cmd, "%v", err)
	}
	if a.human() && len(a.columns) > 0 {
		return usagef(cmd, "--columns needs -o json, jsonl or csv here")
	}
	return nil
}

// instant reads a time, or how long ago it was.
func instant(s string, now time.Time) (time.Time, error) {
	var ago time.Duration
	if (*length)(&ago).Set(s) == nil {
		return now.Add(-ago), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errors.New("--since is a length of time, such as 10m, or a time, such as '2026-11-23 08:00'")
}

// show prints what a log has.
func (q *tailing) show(a *app, cmd *cobra.Command, log control.Stream[control.LogQuery, control.LogLine]) error {
	if err := q.parse(a, cmd); err != nil {
		return err
	}
	err := printRows(a, logTable(), log.Do(cmd.Context(), a.client(), q.LogQuery), q.Follow)
	if q.Follow && errors.Is(err, context.Canceled) {
		return nil // the way out
	}
	return err
}

func newLogTail(a *app) *cobra.Command {
	var q tailing
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "The last lines of the log",
		Long: "Prints the last lines of the Server Log, and with -f what is written from then on,\n" +
			"over midnight, until it is interrupted, or the daemon has written its last line.",
		Example: "  cgq log tail -f\n  cgq log tail -n 100 --tag ENQUEUER,DEQUEUER --level 2\n" +
			"  cgq log tail --message 4711 --since 2d",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return q.show(a, cmd, control.LogTail) },
	}
	q.flags(cmd)
	q.about(a, cmd)
	f := cmd.Flags()
	f.StringSliceVar(&q.Tags, "tag", nil, "of these `components`, such as ENQUEUER,DEQUEUER")
	f.IntVar(&q.level, "level", 5, "of this `level` and below, 0 to 5")
	_ = cmd.RegisterFlagCompletionFunc("level", fixed(levels()...)) // the flags are there
	_ = cmd.RegisterFlagCompletionFunc("tag", a.completeTags)
	return cmd
}

func newLogEmails(a *app) *cobra.Command {
	var q tailing
	cmd := &cobra.Command{
		Use:   "emails",
		Short: "What became of each recipient",
		Long: "Prints the last lines of the supplementary log EMails, which has a line for each end of\n" +
			"a recipient, if log_message_delivery is set in Settings/queue.toml.",
		Example: "  cgq log emails -f\n  cgq log emails --message 4711 --since 30d",
		Args:    usageArgs(cobra.NoArgs),
		RunE:    func(cmd *cobra.Command, _ []string) error { return q.show(a, cmd, control.LogEmails) },
	}
	q.flags(cmd)
	q.about(a, cmd)
	return cmd
}

func newLogAudit(a *app) *cobra.Command {
	var q tailing
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Who did what, and who was refused",
		Long: "Prints the last lines of the supplementary log Audit, which has a line for each act of a\n" +
			"person, and for what was refused for want of a right.",
		Example: "  cgq log audit -n 100\n  cgq log audit --since 1d",
		Args:    usageArgs(cobra.NoArgs),
		RunE:    func(cmd *cobra.Command, _ []string) error { return q.show(a, cmd, control.LogAudit) },
	}
	q.flags(cmd)
	return cmd
}

// levels are those of the log, for completion.
func levels() []string {
	return []string{"0\tCrashes Only", "1\tFailures", "2\tMajor & Failures", "3\tProblems", "4\tLow Level", "5\tAll Info"}
}
