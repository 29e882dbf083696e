package cli

import (
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cgq/pkg/control"
)

func levelTable() table[control.LogLevel] {
	return table[control.LogLevel]{
		columns: []column{
			{field: "tag", head: "TAG", show: showText},
			{field: "level", head: "LEVEL", show: showText, right: true},
			{field: "name", head: "WHAT IS WRITTEN", show: showText},
			{field: "settings", head: "SETTINGS", show: showText, right: true},
			{field: "by_hand", head: "BY HAND", show: showYes},
			{field: "until", head: "ENDS IN", show: showIn},
		},
		name: func(l control.LogLevel) string { return l.Tag },
		none: "no components",
	}
}

func newLogLevel(a *app) *cobra.Command {
	var lasts time.Duration
	var reset bool
	cmd := &cobra.Command{
		Use:   "level [TAG [LEVEL]]",
		Short: "What the components write to the log, and set it",
		Long: "Prints the level of every component, or of one, and what the settings say; with a LEVEL,\n" +
			"0 to 5, it sets that of one component. With --for it goes back by itself; without, it\n" +
			"lasts until a restart, or until log.toml gives this component another level. What is to\n" +
			"stay belongs into Settings/log.toml.",
		Example:           "  cgq log level\n  cgq log level ENQUEUER 5 --for 10m\n  cgq log level ENQUEUER --reset",
		Args:              usageArgs(cobra.MaximumNArgs(2)),
		ValidArgsFunction: a.completeTagAndLevel,
		RunE: func(cmd *cobra.Command, args []string) error {
			o := control.LogLevelOrder{For: control.Seconds(lasts), Reset: reset}
			sets := len(args) == 2
			switch {
			case cmd.Flags().Changed("for") && !sets:
				return usagef(cmd, "--for needs a tag and a level")
			case reset && len(args) != 1:
				return usagef(cmd, "--reset needs a tag, and no level")
			case !sets && !reset:
				return a.showLevels(cmd, args)
			}
			o.Tag = args[0]
			if sets {
				var err error
				if o.Level, err = strconv.Atoi(args[1]); err != nil {
					return usagef(cmd, "%q is no level, 0 to 5", args[1])
				}
			}
			if err := o.Check(); err != nil {
				return usagef(cmd, "%v", err)
			}
			if err := hasColumns[control.LogLevel](a); err != nil {
				return err
			}
			is, err := control.LogLevelSet.Do(cmd.Context(), a.client(), o)
			if err != nil {
				return err
			}
			return a.sayLevel(is)
		},
	}
	f := cmd.Flags()
	f.Var((*length)(&lasts), "for", "go back after this `time`, such as 10m")
	f.BoolVar(&reset, "reset", false, "go back to what the settings say, at once")
	_ = cmd.RegisterFlagCompletionFunc("for", fixed("10m", "1h", "1d")) // the flag is there
	return cmd
}

// showLevels prints the levels, or that of the component that is named.
func (a *app) showLevels(cmd *cobra.Command, args []string) error {
	rows := control.LogLevels.Do(cmd.Context(), a.client(), control.Nothing{})
	if len(args) == 0 {
		return printRows(a, levelTable(), rows, false)
	}
	none := control.Errorf(control.KindNoSuchTag, "cgq log level shows all", "no component %q writes to the Server Log", args[0])
	return printRows(a, levelTable(), only(rows, args[0], none), false)
}

// sayLevel says what has been set.
func (a *app) sayLevel(is control.LogLevel) error {
	if printed, err := printThing(a, is, is.Tag); printed {
		return err
	}
	till := ", as the settings say"
	switch {
	case !is.Until.IsZero():
		till = fmt.Sprintf(" until %s, then %d again", clock(is.Until, a.now().Location()), is.Settings)
	case is.ByHand:
		till = " until a restart, or another level in log.toml"
	}
	_, err := fmt.Fprintf(a.out, "%s writes level %d, %s%s\n", safe(is.Tag), is.Level, safe(is.Name), till)
	return err
}

// only yields the row of a component, or none.
func only(rows iter.Seq2[control.LogLevel, error], tag string, none error) iter.Seq2[control.LogLevel, error] {
	return func(yield func(control.LogLevel, error) bool) {
		for row, err := range rows {
			if err != nil || strings.EqualFold(row.Tag, tag) {
				yield(row, err)
				return
			}
		}
		yield(control.LogLevel{}, none)
	}
}

func (a *app) completeTags(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	return complete(a, cmd, control.LogLevels, control.Nothing{}, strings.ToUpper(begun), func(l control.LogLevel) (string, string) {
		return l.Tag, strconv.Itoa(l.Level) + " " + l.Name
	})
}

// completeTagAndLevel completes TAG LEVEL.
func (a *app) completeTagAndLevel(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	switch len(args) {
	case 0:
		return a.completeTags(cmd, nil, begun)
	case 1:
		return levels(), cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}
