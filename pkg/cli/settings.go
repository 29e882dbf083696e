package cli

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cgq/pkg/control"
)

func newSettings(a *app) *cobra.Command {
	cmd := newGroup("settings", "Settings: list, get, set, unset, edit, diff, history, rollback",
		"A key is the section, which is a file in Settings/, the table in it, and the name:\n"+
			"queue.dequeuer.reporting_delay. In an array of tables it has the number of the table, from 1:\n"+
			"filters.filter[2].timeout.\n\n"+
			"A change is checked together with all other settings, written with every comment kept, and\n"+
			"applied at once; the few keys that wait for the next start are named. The files can be edited\n"+
			"by hand as well: cgqd notices that. Neither loses what the other has changed, and each change\n"+
			"is in the history. docs/settings.md lists all keys.")
	cmd.AddCommand(newSettingsList(a), newSettingsGet(a), newSettingsSet(a), newSettingsUnset(a), newSettingsEdit(a),
		newSettingsDiff(a), newSettingsHistory(a), newSettingsRollback(a))
	return cmd
}

func showList(v any, _ time.Time) string { return strings.Join(*v.(*[]string), ", ") }

// showIs is a word for what is true, and nothing for what is not.
func showIs(word string) show {
	return func(v any, _ time.Time) string {
		if *v.(*bool) {
			return word
		}
		return ""
	}
}

func settingsTable(a *app) table[control.SettingRow] {
	return table[control.SettingRow]{
		columns: []column{
			{field: "key", head: "KEY", show: showText},
			{field: "value", head: "VALUE", show: showText, elastic: true},
			{field: "default", head: "DEFAULT", show: showText, elastic: true, wide: a.narrow()},
			{field: "changed", head: "CHANGED", show: showIs("changed")},
			{field: "restart", head: "RESTART", show: showIs("waits"), wide: true},
			{field: "chapter", head: "CHAPTER", show: showText, wide: true},
			{field: "type", head: "TYPE", show: showText, wide: true},
			{field: "unit", head: "UNIT", show: showText, wide: true},
			{field: "range", head: "RANGE", show: showText, wide: true},
			{field: "values", head: "VALUES", show: showList, wide: true},
			{field: "file", head: "FILE", show: showText, wide: true},
			{field: "version", head: "VERSION", show: showText, wide: true},
			{field: "doc", head: "WHAT IT DOES", show: showText, elastic: true},
		},
		name: func(r control.SettingRow) string { return r.Key },
		none: "no settings",
	}
}

func newSettingsList(a *app) *cobra.Command {
	var changed bool
	cmd := &cobra.Command{
		Use:   "list [PATTERN]",
		Short: "One row a key, with value, default and what it does",
		Long: "Lists the keys of all sections as cgqd applies them; with PATTERN those that have it in their\n" +
			"name, in the chapter's name, or in what they do. CHANGED: the value is not the default. A secret\n" +
			"is shown in stars.\n\n" +
			"With -o wide also the chapter's name, type, unit, range, the values that there are, the file\n" +
			"with its version, and whether a value waits for the next start. In JSON a row has the same:\n" +
			"key, value, default, changed, restart, type, unit, range, values, chapter, file, version, doc; and\n" +
			"wrong, when a file was edited by hand and cannot be used: then the old values count, and it is\n" +
			"said on standard error.",
		Example: "  cgq settings list\n  cgq settings list delay -o wide\n  cgq settings list --changed -o json",
		Args:    usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			q := control.SettingsQuery{Match: strings.Join(args, "")}
			rows := a.warned(control.SettingsList.Do(cmd.Context(), a.client(), q))
			return printRows(a, settingsTable(a), keeping(rows, func(r control.SettingRow) bool { return r.Changed || !changed }), false)
		},
	}
	cmd.Flags().BoolVar(&changed, "changed", false, "those alone whose value is not the default")
	cmd.ValidArgsFunction = first(a.completeKeys)
	return cmd
}

// warned says behind the rows what keeps the files from being applied.
func (a *app) warned(rows iter.Seq2[control.SettingRow, error]) iter.Seq2[control.SettingRow, error] {
	return func(yield func(control.SettingRow, error) bool) {
		var wrong []string
		for row, err := range rows {
			if row.Wrong != "" && !slices.Contains(wrong, row.Wrong) {
				wrong = append(wrong, row.Wrong)
			}
			if !yield(row, err) {
				break
			}
		}
		for _, why := range wrong {
			fmt.Fprintln(a.errOut, "cgq: the old values count, since the files are not in order: "+safe(why))
		}
	}
}

// keeping leaves rows away.
func keeping[Row any](rows iter.Seq2[Row, error], keep func(Row) bool) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for row, err := range rows {
			if (err != nil || keep(row)) && !yield(row, err) {
				return
			}
		}
	}
}

func newSettingsGet(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "get KEY…",
		Short: "The value of a key",
		Long: "Prints the value of one key, as cgq settings set takes it; of several, or in another form than\n" +
			"table, rows as cgq settings list has them.",
		Example:           "  cgq settings get queue.dequeuer.reporting_delay\n  cgq settings get queue.enqueuer.queue_limit -o json",
		Args:              usageArgs(cobra.MinimumNArgs(1)),
		ValidArgsFunction: a.completeKeys,
		RunE: func(cmd *cobra.Command, args []string) error {
			rows := a.warned(control.SettingsList.Do(cmd.Context(), a.client(), control.SettingsQuery{Keys: args}))
			if len(args) > 1 || a.format != formTable || len(a.columns) > 0 {
				return printRows(a, settingsTable(a), rows, false)
			}
			for r, err := range rows {
				if err != nil {
					return err
				}
				fmt.Fprintln(a.out, safe(r.Value))
				if r.Restart {
					fmt.Fprintln(a.errOut, "cgq: it takes effect at the next start of cgqd")
				}
			}
			return nil
		},
	}
}

// completeKeys completes the names of keys.
func (a *app) completeKeys(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	return complete(a, cmd, control.SettingsList, control.SettingsQuery{}, begun, func(r control.SettingRow) (string, string) {
		return r.Key, r.Value
	})
}

// completeAssignments completes KEY=, and behind it the values that there are. prefix is
// what the keys begin with that are written without it.
func (a *app) completeAssignments(prefix string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		name, _, value := strings.Cut(begun, "=")
		if !value {
			list, directive := complete(a, cmd, control.SettingsList, control.SettingsQuery{}, prefix+begun,
				func(r control.SettingRow) (string, string) { return r.Key, r.Value })
			for i, candidate := range list {
				key, about, _ := strings.Cut(strings.TrimPrefix(candidate, prefix), "\t")
				list[i] = key + "=\t" + about
			}
			return list, directive | cobra.ShellCompDirectiveNoSpace
		}
		var all []string
		q := control.SettingsQuery{Keys: []string{prefix + name}}
		_, directive := complete(a, cmd, control.SettingsList, q, "", func(r control.SettingRow) (string, string) {
			values := r.Values
			if len(values) == 0 {
				values = []string{r.Value, r.Default}
			}
			for _, v := range values {
				if candidate := name + "=" + v; v != "" && strings.HasPrefix(candidate, begun) && safe(v) == v {
					all = append(all, candidate)
				}
			}
			return "", ""
		})
		return all, directive
	}
}

// A panel is a table of settings that the chapter has a page for.
type panel struct{ name, title, table string }

func newEnqueuer(a *app) *cobra.Command {
	return newPanel(a, panel{"enqueuer", "Enqueuer", "queue.enqueuer"})
}

func newDequeuer(a *app) *cobra.Command {
	return newPanel(a, panel{"dequeuer", "Dequeuer", "queue.dequeuer"})
}

func newPanel(a *app, p panel) *cobra.Command {
	cmd := newGroup(p.name, "The settings of the chapter's "+p.title+" panel: show, set",
		"The keys of "+p.table+" in Settings/queue.toml by the names that the chapter has for them.")
	show := &cobra.Command{
		Use:     "show",
		Short:   "One row a setting",
		Long:    "Shows the settings of the " + p.title + ": the chapter's name, the key, the value, the default.\nOther forms than table have rows as cgq settings list has them.",
		Example: "  cgq " + p.name + " show",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			t := settingsTable(a)
			chapter := t.columns[5]
			chapter.wide = false
			t.columns = append([]column{chapter}, append(t.columns[:5:5], t.columns[6:]...)...)
			t.columns[1].show = func(v any, _ time.Time) string { return strings.TrimPrefix(*v.(*string), p.table+".") }
			return printRows(a, t, control.SettingsList.Do(cmd.Context(), a.client(), control.SettingsQuery{Below: []string{p.table}}), false)
		},
	}
	var o changing
	set := &cobra.Command{
		Use:   "set KEY=VALUE…",
		Short: "Give settings other values",
		Long: "Changes settings of the " + p.title + ", all or none, as cgq settings set does. KEY is the name in\n" +
			p.table + ", or that of the chapter.",
		Example: "  cgq " + p.name + " set " + map[string]string{"enqueuer": "hop_counter_limit=30 --dry-run", "dequeuer": "'Reporting Delay=2m' -m 'fewer reports'"}[p.name],
		Args:    usageArgs(cobra.MinimumNArgs(1)), ValidArgsFunction: a.completeAssignments(p.table + "."),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := assignments(cmd, args)
			if err != nil {
				return err
			}
			for i, as := range list {
				if list[i].Key = chapterKey(as.Key); !strings.HasPrefix(list[i].Key, p.table+".") {
					list[i].Key = p.table + "." + list[i].Key
				}
			}
			return a.setSettings(cmd, o, control.SettingsOrder{Set: list})
		},
	}
	o.flags(set)
	cmd.AddCommand(show, set)
	return cmd
}

// chapterKey is the key of a setting by its name in the chapter: On Failure, Return.
func chapterKey(name string) string {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return strings.ContainsRune(" ,-", r) })
	return strings.Join(words, "_")
}
