package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cgq/pkg/control"
)

// The exit statuses of cgq check, which are those of a Nagios plug-in and no others.
const (
	nagiosOK = iota
	nagiosWarning
	nagiosCritical
	nagiosUnknown
)

// A verdictError is the exit status of a check that was made and has been printed.
type verdictError struct{ status int }

func (e *verdictError) Error() string { return verdictName(e.status) }

func verdictName(status int) string {
	return [...]string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}[status]
}

// verdict is the exit status that a state stands for.
func verdict(v control.Verdict) int {
	switch v {
	case control.VerdictOK:
		return nagiosOK
	case control.VerdictWarning:
		return nagiosWarning
	case control.VerdictCritical:
		return nagiosCritical
	}
	return nagiosUnknown // of a newer daemon
}

func checkTable() table[control.CheckItem] {
	return table[control.CheckItem]{
		columns: []column{
			{field: "name", head: "NAME", show: showText},
			{field: "state", head: "STATE", show: showText},
			{field: "value", head: "VALUE", show: showText, right: true},
			{field: "unit", head: "UNIT", show: showText},
			{field: "warning", head: "WARNING", show: showText, right: true},
			{field: "critical", head: "CRITICAL", show: showText, right: true},
			{field: "text", head: "TEXT", show: showText, elastic: true},
		},
		name: func(i control.CheckItem) string { return i.Name },
		none: "nothing was checked",
	}
}

const checkName = "check"

func newCheck(a *app) *cobra.Command {
	var q control.CheckQuery
	var timeout, oldestWarning, oldestCritical time.Duration
	cmd := &cobra.Command{
		Use:   checkName,
		Short: "How the daemon is, as a Nagios plug-in",
		Long: "Says in one line how the daemon is, for Nagios and what understands its plug-ins: the state,\n" +
			"what is wrong, and performance data; then a line about each thing that was looked at.\n\n" +
			"The exit status is 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN, the last one also when no daemon\n" +
			"answers, when you have no right, and when the command line cannot be understood.\n" +
			"Those of the other commands do not count here.",
		Example: "  cgq check\n  cgq check --oldest-warning 4h --oldest-critical 24h --delayed-warning 50\n  cgq check -o json",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			q.OldestWarning, q.OldestCritical = control.Seconds(oldestWarning), control.Seconds(oldestCritical)
			ctx, cancel := context.WithTimeoutCause(cmd.Context(), timeout, fmt.Errorf("no answer within %v", timeout))
			defer cancel()
			return a.check(ctx, q)
		},
	}
	f := cmd.Flags()
	f.IntVar(&q.QueueWarning, "queue-warning", control.QueueWarning, "`percent` of queue_limit at which a warning begins; at the limit it is critical")
	f.IntVar(&q.JournalWarning, "journal-warning", control.JournalWarning, "`percent` of the journal at which a warning begins; critical is that senders wait")
	f.Var((*length)(&oldestWarning), "oldest-warning", "`age` of the oldest message, as in 4h or 2d; else it is not judged")
	f.Var((*length)(&oldestCritical), "oldest-critical", "likewise, critical")
	f.IntVar(&q.DelayedWarning, "delayed-warning", 0, "`number` of delayed host queues; 0: not judged")
	f.IntVar(&q.DelayedCritical, "delayed-critical", 0, "likewise, critical")
	f.DurationVar(&timeout, "timeout", 10*time.Second, "how long to wait for the daemon")
	return cmd
}

// check asks, prints, and returns how it is as a verdictError.
func (a *app) check(ctx context.Context, q control.CheckQuery) error {
	var items []control.CheckItem
	worst := nagiosOK
	for item, err := range control.Check.Do(ctx, a.client(), q) {
		if err != nil {
			return err
		}
		items = append(items, item)
		worst = max(worst, verdict(item.State))
	}
	if !a.human() || len(a.columns) > 0 {
		if err := printRows(a, checkTable(), slice(items), false); err != nil {
			return err
		}
	} else if _, err := fmt.Fprint(a.out, report(items, worst)); err != nil {
		return err
	}
	if worst == nagiosOK {
		return nil
	}
	return &verdictError{worst}
}

// report is what a Nagios plug-in prints: a line that sums up, with performance data
// behind a bar, and a line for each item.
func report(items []control.CheckItem, worst int) string {
	var wrong, data []string
	var details strings.Builder
	for status := worst; status > nagiosOK; status-- { // the worst first
		for _, item := range items {
			if verdict(item.State) == status {
				wrong = append(wrong, plugin(item.Text))
			}
		}
	}
	for _, item := range items {
		data = append(data, fmt.Sprintf("%s=%d%s;%s;%s;0;", item.Name, item.Value, item.Unit, item.Warning, item.Critical))
		fmt.Fprintf(&details, "%s: %s, %s\n", plugin(item.Name), verdictName(verdict(item.State)), plugin(item.Text))
	}
	sum := strings.Join(wrong, "; ")
	if sum == "" {
		sum = "everything is in order"
	}
	return "CGQ " + verdictName(worst) + " - " + sum + "|" + plugin(strings.Join(data, " ")) + "\n" + details.String()
}

// plugin makes a text fit for a line of a plug-in, in which the bar has a meaning.
func plugin(text string) string { return strings.ReplaceAll(safe(text), "|", "/") }

// unknown is the exit status when no check was made, and says why.
func (a *app) unknown(err error) int {
	var v *verdictError
	switch {
	case err == nil:
		return nagiosOK
	case errors.As(err, &v):
		return v.status
	case a.human():
		fmt.Fprintf(a.out, "CGQ %s - %s\n", verdictName(nagiosUnknown), plugin(a.explain(err)))
	default:
		fmt.Fprintln(a.errOut, "cgq: "+safe(a.explain(err)))
	}
	return nagiosUnknown
}
