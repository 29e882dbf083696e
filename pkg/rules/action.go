package rules

import (
	"fmt"
	"slices"
	"strings"

	"cgq/pkg/mail"
	"cgq/pkg/program"
)

// A Kind is what an action does.
type Kind uint8

// The actions, by their names in the manual.
const (
	StopProcessing   Kind = iota + 1 // no Rule behind this is applied
	Discard                          // the message is dropped, and nobody is told
	Reject                           // the message is refused, with Param as the reason, or a standard one
	AddHeader                        // [Action.Edit]
	TagSubject                       // [Action.Edit]
	StoreIn                          // [Action.Make]; Mailbox and Addresses
	RedirectTo                       // [Action.Make]; Addresses
	ForwardTo                        // [Action.Make]; Addresses
	MirrorTo                         // [Action.Make]; Addresses
	ReplyWith                        // [Action.Make]
	ReplyToAllWith                   // [Action.Make]
	ReactWith                        // [Action.Make]
	Execute                          // Command
	ExternalFilter                   // Param is the name of the filter
	WriteToLog                       // Param is the text
	SkipAccountRules                 // Rules of Accounts are not applied to this message
)

// String is the name of the action in the manual.
func (k Kind) String() string {
	for _, a := range actionKinds() {
		if a.kind == k && k != 0 {
			return a.name
		}
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Ends says whether no action behind one of this kind is run.
func (k Kind) Ends() bool { return k == StopProcessing || k == Discard || k == Reject }

// Makes says whether the action makes messages, by [Action.Make].
func (k Kind) Makes() bool { return k >= StoreIn && k <= ReactWith }

// An Action is one action of one Rule. What belongs to its kind is set; it is shared,
// and must not be changed.
type Action struct {
	Rule      string // the name of the Rule
	Kind      Kind
	Param     string         // as it is written
	Addresses []mail.Address // the recipients of Store in, Redirect to, Forward to, Mirror to
	Mailbox   string         // of Store in
	Command   *program.Line  // of Execute

	fields []byte // of Add Header: lines with their ends; of Tag Subject: the tag, encoded
	answer *answer
}

// String is the action as a log or a list shows it: its name, and its parameter.
func (a Action) String() string {
	if a.Param == "" {
		return a.Kind.String()
	}
	return a.Kind.String() + " " + a.Param
}

// An actionKind is a row of the table.
type actionKind struct {
	name   string
	kind   Kind
	levels Level
	parse  func(a *Action) error // reads Param; nil: there is none
	empty  bool                  // Param may be empty
	want   string                // an example of Param
	why    string                // why it cannot be used at a level that it is not of
}

// actionKinds are all there are, in the order of the manual.
func actionKinds() []actionKind {
	const ofAccount = "it is of an Account, and a server-wide Rule is run before any Account is known"
	const absent = "cgqd has no such service"
	return []actionKind{
		{"Stop Processing", StopProcessing, anyLevel, nil, true, "", ""},
		{"Discard", Discard, anyLevel, nil, true, "", ""},
		{"Reject with", Reject, anyLevel, parseReason, true, "no advertising here", ""},
		{"Add Header", AddHeader, anyLevel, parseFields, false, "X-Seen: yes", ""},
		{"Tag Subject", TagSubject, anyLevel, parseTag, false, "[external]", ""},
		{"Store in", StoreIn, ServerWide, parseMailbox, false, "~archive@example.com/Incoming", ""},
		{"Redirect to", RedirectTo, anyLevel, parseRecipients, false, "ann@example.com, bob@example.org", ""},
		{"Forward to", ForwardTo, anyLevel, parseRecipients, false, "ann@example.com", ""},
		{"Mirror to", MirrorTo, anyLevel, parseRecipients, false, "archive@example.com", ""},
		{"Reply with", ReplyWith, anyLevel, parseAnswer, false, "Your message has arrived.", ""},
		{"Reply to All with", ReplyToAllWith, anyLevel, parseAnswer, false, "Your message has arrived.", ""},
		{"React with", ReactWith, anyLevel, parseReaction, false, "+To: ops@example.com\nSubject: ^S\n\nIt came from ^F.", ""},
		{"Execute", Execute, anyLevel, parseCommand, false, "[FILE] /usr/local/bin/scan -q", ""},
		{"ExternalFilter", ExternalFilter, ServerWide, parseFilter, false, "antivirus", ""},
		{"Write To Log", WriteToLog, anyLevel, parseLine, false, "a message for the archive", ""},
		{"Skip account Rules", SkipAccountRules, ServerWide, nil, true, "", ""},
		{"Mark", 0, AccountWide, nil, false, "", ofAccount},
		{"Store Encrypted in", 0, AccountWide, nil, false, "", ofAccount},
		{"Copy Attachments into", 0, AccountWide, nil, false, "", ofAccount},
		{"Remember 'From' in", 0, AccountWide, nil, false, "", ofAccount},
		{"Accept Request", 0, AccountWide, nil, false, "", ofAccount},
		{"Send IM", 0, 0, nil, false, "", absent},
		{"FingerNotify", 0, 0, nil, false, "", absent},
		{"Execute URL", 0, 0, nil, false, "", absent},
	}
}

// example is how an action of this kind is written.
func (k actionKind) example() string {
	if k.want == "" {
		return "[" + tomlText(k.name) + "]"
	}
	return "[" + tomlText(k.name) + ", " + tomlText(k.want) + "]"
}

// action compiles one.
func (c *compiler) action(written []string) (Action, error) {
	if len(written) == 0 || len(written) > 2 {
		return Action{}, complain(`%d words; write ["Add Header", "X-Seen: yes"]`, len(written))
	}
	i := slices.IndexFunc(c.acts, func(k actionKind) bool { return strings.EqualFold(k.name, written[0]) })
	if i < 0 && strings.EqualFold(written[0], "Reject") {
		i = slices.IndexFunc(c.acts, func(k actionKind) bool { return k.kind == Reject })
	}
	if i < 0 {
		return Action{}, complain("there is no action %q%s", written[0], nearest(written[0], names(c.acts, func(k actionKind) string { return k.name })))
	}
	k := c.acts[i]
	a := Action{Kind: k.kind}
	if len(written) == 2 {
		a.Param = written[1]
	}
	switch {
	case k.levels&c.level == 0:
		return a, complain("%q cannot be used here: %s", k.name, k.why)
	case k.parse == nil && a.Param != "":
		return a, complain("%q stands alone; write [%q]", k.name, k.name)
	case strings.TrimSpace(a.Param) == "" && !k.empty:
		return a, complain("%q needs a parameter; write %s", k.name, k.example())
	case len(a.Param) > maxParameter:
		return a, complain("%q: a parameter of %d bytes; %d are allowed", k.name, len(a.Param), maxParameter)
	case k.parse == nil:
		return a, nil
	}
	if err := k.parse(&a); err != nil {
		return a, fmt.Errorf("%q: %w; write %s", k.name, err, k.example())
	}
	return a, nil
}
