package cli

import (
	"errors"
	"fmt"
	"iter"
	"strconv"

	"github.com/spf13/cobra"

	"cgq/pkg/control"
)

// A routeLine is a [control.Routing] without its steps, which a table has no room for.
type routeLine struct {
	Address string `json:"address"`
	Module  string `json:"module"`
	Queue   string `json:"queue"`
	To      string `json:"to"`
	Relay   bool   `json:"relay"`
	Refused string `json:"refused"`
}

func routeTable() table[routeLine] {
	return table[routeLine]{
		columns: []column{
			{field: "address", head: "ADDRESS", show: showText, elastic: true},
			{field: "module", head: "MODULE", show: showText},
			{field: "queue", head: "QUEUE", show: showText, elastic: true},
			{field: "to", head: "TO", show: showText, elastic: true},
			{field: "relay", head: "RELAY", show: showText},
			{field: "refused", head: "REFUSED", show: showText, elastic: true},
		},
	}
}

// routeName is the end of a way, or why there is none.
func routeName(r control.Routing) string {
	switch {
	case r.Refused != "":
		return r.Refused
	case r.Sender:
		return r.Address
	}
	return r.Route
}

func newRoute(a *app) *cobra.Command {
	var sender bool
	cmd := &cobra.Command{
		Use:   "route ADDRESS...",
		Short: "Where addresses go, and why",
		Long: "Shows what the Router makes of each address: every record of Settings/router.txt that\n" +
			"rewrites it, with its line; what that says about relaying; which module takes the\n" +
			"address, and in which queue; and who may send to it: everybody, or clients only.\n" +
			"No mail is sent, and no other host is asked.\n\n" +
			"With --sender it says what MAIL FROM would be told instead; <> is the null return path.\n" +
			"The exit status is 1 when an address is refused.\n\n" +
			"With -o json and jsonl an object an address, with its steps; with csv and --columns\n" +
			"a row an address; with name its end alone, such as SMTP(example.com)ann@example.com.",
		Example: "  cgq route ann@example.com\n  cgq route postmaster sales@example.org -o json\n" +
			"  cgq route --sender bob@example.net",
		Args: usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, arg := range args {
				if arg == "" {
					return usagef(cmd, "an empty address; the null return path is <>")
				}
			}
			return a.route(cmd, args, sender)
		},
	}
	cmd.Flags().BoolVar(&sender, "sender", false, "what MAIL FROM would be told")
	return cmd
}

// route asks about each address and prints the answers.
func (a *app) route(cmd *cobra.Command, addresses []string, sender bool) error {
	refused, client := false, a.client()
	rows := func(yield func(control.Routing, error) bool) {
		for _, address := range addresses {
			r, err := control.Route.Do(cmd.Context(), client, control.RouteQuery{Address: address, Sender: sender})
			if r.Steps == nil {
				r.Steps = []control.RouteStep{} // in JSON [], not null
			}
			refused = refused || r.Refused != ""
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
	var err error
	switch {
	case len(a.columns) > 0 || a.format == formCSV:
		err = printRows(a, routeTable(), routeLines(rows), false)
	case a.human():
		_, err = each(rows, a.printRoute)
	default:
		err = printRows(a, table[control.Routing]{name: routeName}, rows, false)
	}
	if err == nil && refused {
		return errRefused
	}
	return err
}

func routeLines(rows iter.Seq2[control.Routing, error]) iter.Seq2[routeLine, error] {
	return func(yield func(routeLine, error) bool) {
		for r, err := range rows {
			if !yield(routeLine{r.Address, r.Module, r.Queue, r.To, r.Relay, r.Refused}, err) {
				return
			}
		}
	}
}

// printRoute prints the page of one address.
func (a *app) printRoute(r control.Routing) error {
	lines := []string{r.Address}
	for _, s := range r.Steps {
		lines = append(lines, "  "+routeStep(s))
		if s.Relay != "" {
			lines = append(lines, "            "+s.Relay)
		}
	}
	lines = append(lines, "  "+routeName(r))
	switch {
	case r.Trap:
		lines = append(lines, "  a spam trap: it is refused as if there were no such account")
	case r.Refused != "":
		lines = append(lines, "  refused")
	case r.Sender:
		lines[len(lines)-1] = "  may be a return path"
	case r.Relay:
		lines = append(lines, "  leaves this server: only clients may send to it")
	default:
		lines = append(lines, "  everybody may send to it")
	}
	var err error
	for _, line := range lines {
		_, e := fmt.Fprintln(a.out, safe(line))
		err = errors.Join(err, e)
	}
	return err
}

// routeStep is a step in one line.
func routeStep(s control.RouteStep) string {
	where := "built in"
	if s.Line > 0 {
		where = "line " + strconv.Itoa(s.Line)
	}
	if s.Module != "" {
		return fmt.Sprintf("%-9s claims %s at the %s", s.Module, s.Before, s.Record)
	}
	text := fmt.Sprintf("%-9s %s", where, s.Record)
	if s.Before == s.After {
		return text + ", which changes nothing"
	}
	return text + ":  " + s.Before + " -> " + s.After
}
