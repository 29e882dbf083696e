package cli

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"cgq/pkg/cli/process"
	"cgq/pkg/control"
)

func elementTable() table[control.Element] {
	return table[control.Element]{
		columns: []column{
			{field: "name", head: "NAME", show: showText},
			{field: "value", head: "VALUE", show: showText, right: true},
			{field: "kind", head: "KIND", show: showText, wide: true},
			{field: "doc", head: "WHAT IT COUNTS", show: showText, wide: true},
		},
		name: func(e control.Element) string { return e.Name },
		none: "no statistics elements",
	}
}

func listenerTable() table[control.Listener] {
	return table[control.Listener]{
		columns: []column{
			{field: "role", head: "ROLE", show: showText},
			{field: "address", head: "ADDRESS", show: showText},
		},
		name: func(l control.Listener) string { return l.Address },
		none: "no listeners",
	}
}

func newStat(a *app) *cobra.Command {
	var listeners bool
	cmd := &cobra.Command{
		Use:   "stat [NAME...]",
		Short: "Statistics elements, and the addresses listened on",
		Long: "Prints statistics elements with their values, all without names; with -o wide what each\n" +
			"counts: a level goes up and down, a total rises until the daemon ends. With --listeners\n" +
			"the addresses that the daemon listens on.",
		Example:           "  cgq stat numQueuedMessages\n  cgq stat -o wide\n  cgq stat --listeners -o json",
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: a.completeElements,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !listeners {
				rows := control.Stat.Do(cmd.Context(), a.client(), control.StatQuery{Names: args})
				return printRows(a, elementTable(), rows, false)
			}
			if len(args) > 0 {
				return usagef(cmd, "names of elements, or --listeners")
			}
			return printRows(a, listenerTable(), control.Listeners.Do(cmd.Context(), a.client(), control.Nothing{}), false)
		},
	}
	cmd.Flags().BoolVar(&listeners, "listeners", false, "the addresses that the daemon listens on")
	return cmd
}

// A versions is the answer of cgq version.
type versions struct {
	Version string          `json:"version"`
	Go      string          `json:"go"`
	Daemon  *control.Daemon `json:"daemon,omitempty"` // absent: none runs
}

func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "The versions of cgq and of the daemon that runs",
		Long:    "Prints the version of this program and, when one runs, of the daemon. cgq --version asks no daemon.",
		Example: "  cgq version -o json",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := versions{Version: process.Version(), Go: runtime.Version()}
			d, err := control.Ping.Do(cmd.Context(), a.client(), control.Nothing{})
			if err == nil {
				v.Daemon = &d
			} else if errors.Is(err, control.ErrNoDaemon) {
				err = nil
			}
			return errors.Join(a.printVersions(v), err)
		},
	}
}

func (a *app) printVersions(v versions) error {
	if printed, err := printThing(a, v, v.Version); printed {
		return err
	}
	daemon := "no answer at " + a.base
	if d := v.Daemon; d != nil {
		up := duration(d.Uptime.Duration())
		daemon = fmt.Sprintf("%s, %s for %s, process %d, %s", d.Version, d.State, up, d.PID, d.Base)
	}
	_, err := fmt.Fprintf(a.out, "cgq  %s, %s\ncgqd %s\n", v.Version, v.Go, safe(daemon))
	return err
}
