package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"cgq/pkg/control"
)

func verdictTable() table[control.RuleVerdict] {
	return table[control.RuleVerdict]{name: func(v control.RuleVerdict) string { return v.Name }}
}

func newRulesTest(a *app) *cobra.Command {
	var q control.RulesQuery
	var message, file string
	cmd := &cobra.Command{
		Use:   "test --message FILE",
		Short: "What the Rules would do with a message, and why",
		Long: "Shows of each Rule whether its conditions hold for a message, of each condition what it has\n" +
			"looked at, and every action that would run. Nothing is changed, sent or written. The Rules are\n" +
			"those that cgqd applies, or those of a file in the form of Settings/rules.toml; the routes of\n" +
			"the recipients are the Router's. What is not said of the envelope is taken from the header.\n" +
			"What a program or a filter would change is not seen.\n\n" +
			"With -o json or jsonl one object: from, source; recipients (address, route or refused); rules\n" +
			"(name, priority, state: met, not met, not reached or inactive; conditions, each with condition,\n" +
			"holds and value; actions); actions (rule, action, and note if it would do nothing); ended,\n" +
			"whether an action ended the Rules. With csv and name the rules alone. - is stdin.",
		Example: "  cgq rules test --message spam.eml\n" +
			"  cgq rules test --message a.eml --from ann@example.org --to bob@example.com --ip 192.0.2.7\n" +
			"  cgq rules test --message a.eml --rules new-rules.toml --auth ann@example.com",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			switch {
			case message == "":
				return usagef(cmd, "--message is missing: the file of a message, or -")
			case message == "-" && file == "-":
				return usagef(cmd, "stdin is the message or the Rules, not both")
			case a.human() && len(a.columns) > 0:
				return usagef(cmd, "--columns needs -o csv here")
			}
			if q.Header, q.Size, err = a.readHead(message); err != nil {
				return err
			}
			if len(q.Header) == 0 {
				return fmt.Errorf("%s is empty", message)
			}
			if file != "" {
				q.File = file
				if q.Rules, err = a.readFile(file, maxRulesFile); err != nil {
					return err
				}
			}
			report, err := control.RulesTest.Do(cmd.Context(), a.client(), q)
			if err != nil {
				return err
			}
			if printed, err := a.printOne(report); printed {
				return err
			}
			if !a.human() {
				return printRows(a, verdictTable(), slice(report.Rules), false)
			}
			return a.printReport(report)
		},
	}
	f := cmd.Flags()
	f.StringVar(&message, "message", "", "the `file` of the message; - is stdin")
	f.StringVar(&file, "rules", "", "a `file` of Rules to test in place of those that are live")
	f.StringVar(&q.From, "from", "", "the return `path`; <> is the null one")
	f.StringArrayVar(&q.To, "to", nil, "a recipient's `address`; may be given again")
	f.StringVar(&q.Source, "source", "", "the Submit Address `tag` (default SMTP)")
	f.StringVar(&q.IP, "ip", "", "the network `address` of the submitter")
	f.StringVar(&q.Auth, "auth", "", "the `account` of the authenticated sender")
	f.BoolVar(&q.Client, "client", false, "as from a Client IP Address, whatever --ip says")
	return cmd
}

// words are a condition or an action in one line.
func words(row []string) string {
	text := strings.Join(row, " ")
	if len(row) == 0 {
		return text
	}
	parameter := row[len(row)-1]
	if len(row) > 1 {
		text = strings.Join(row[:len(row)-1], " ") + ` "` + parameter + `"`
	}
	return text
}

// printReport prints what Rules would do, for people.
func (a *app) printReport(r control.RulesReport) error {
	var b strings.Builder
	fmt.Fprintf(&b, "From:    %s, by %s\n", safe(r.From), safe(r.Source))
	for _, to := range r.Recipients {
		fmt.Fprintf(&b, "To:      %s -> %s\n", safe(to.Address), safe(route(to)))
	}
	b.WriteByte('\n')
	for _, v := range r.Rules {
		priority := ", priority " + v.Priority
		if v.Priority == v.State {
			priority = "" // inactive, twice
		}
		fmt.Fprintf(&b, "Rule %s%s: %s\n", safe(`"`+v.Name+`"`), safe(priority), safe(v.State))
		for _, c := range v.Conditions {
			fmt.Fprintf(&b, "  %-3s  %s\n", yesNo(c.Holds), safe(words(c.Condition)))
			fmt.Fprintf(&b, "       looked at: %s\n", safe(seen(c.Value)))
		}
		if v.State == "met" && len(v.Conditions) == 0 {
			b.WriteString("  yes  always\n")
		}
		for _, action := range v.Actions {
			fmt.Fprintf(&b, "  ->   %s\n", safe(words(action)))
		}
	}
	if len(r.Rules) > 0 {
		b.WriteByte('\n')
	}
	b.WriteString(summary(r))
	_, err := io.WriteString(a.out, b.String())
	return err
}

func route(to control.RuleRoute) string {
	if to.Refused != "" {
		return "refused: " + to.Refused
	}
	return to.Route
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func seen(value string) string {
	if value == "" {
		return "nothing"
	}
	return value
}

// summary is what would be done, an action a line.
func summary(r control.RulesReport) string {
	if len(r.Actions) == 0 {
		return "Nothing would be done.\n"
	}
	var b strings.Builder
	b.WriteString("What would be done:\n")
	for i, action := range r.Actions {
		text := words(action.Action)
		if action.Note != "" {
			text += " (nothing: " + action.Note + ")"
		}
		fmt.Fprintf(&b, "%3d  %s\n", i+1, safe(text))
	}
	if r.Ended {
		b.WriteString("The last one ends the Rules.\n")
	}
	return b.String()
}
