package control

// The requests about Rules.
var (
	RulesList = Stream[Nothing, RuleRow]{"rules/list", Settings,
		"the server-wide Rules in the order in which they apply, the inactive ones last"}
	RulesShow = Call[RuleName, RuleFile]{"rules/show", Settings,
		"one Rule, or all with their lists, also as they are written"}
	RulesTest = Call[RulesQuery, RulesReport]{"rules/test", Settings,
		"what Rules would do with a message, and why; changes nothing"}
	RulesImport = Call[RulesText, RulesImported]{"rules/import", Settings,
		"makes a file of Rules of the product's Rules.settings, and puts it live if that is wanted"}
)

// A RuleRow is one Rule.
type RuleRow struct {
	Name       string     `json:"name"`
	Priority   string     `json:"priority"`   // "9", the highest, to "1", or "inactive"
	Conditions [][]string `json:"conditions"` // condition, operator, parameter; all must hold
	Actions    [][]string `json:"actions"`    // action, parameter
}

// A RuleName names one Rule, in any case; empty: all.
type RuleName struct {
	Name string `json:"name,omitempty"`
}

// A RuleFile is Rules as they are written.
type RuleFile struct {
	Rules []RuleRow           `json:"rules"`
	Lists map[string][]string `json:"lists"` // by name; of one Rule none
	Text  string              `json:"text"`  // TOML, as it stands in Settings/rules.toml
}

// A RulesQuery is a message, and what is to be known of where it came from.
type RulesQuery struct {
	Header []byte   `json:"header"`           // of the message, with LF or CRLF
	Size   int64    `json:"size"`             // of the whole message, in bytes
	From   string   `json:"from,omitempty"`   // return path; "<>": the null one; empty: as the header has it
	To     []string `json:"to,omitempty"`     // recipients; empty: as the header has them
	Source string   `json:"source,omitempty"` // Submit Address tag; empty: SMTP
	IP     string   `json:"ip,omitempty"`     // of the submitter
	Auth   string   `json:"auth,omitempty"`   // Account of the authenticated sender
	Client bool     `json:"client,omitempty"` // as from one of the Client IP Addresses, whatever the IP
	File   string   `json:"file,omitempty"`   // what Rules were read from, for what is wrong with them
	Rules  []byte   `json:"rules,omitempty"`  // TOML; absent: those that are live
}

// Check wants a message.
func (q RulesQuery) Check() error {
	if len(q.Header) == 0 {
		return Errorf(KindBadRequest, "send its header", "no message")
	}
	return nil
}

// A RulesReport says what Rules would do with a message.
type RulesReport struct {
	From       string        `json:"from"` // the return path that was assumed
	Source     string        `json:"source"`
	Recipients []RuleRoute   `json:"recipients"`
	Rules      []RuleVerdict `json:"rules"`   // in the order in which they apply
	Actions    []RuleAction  `json:"actions"` // that would run, in their order
	Ended      bool          `json:"ended"`   // the last of them ended the Rules
}

// A RuleRoute is a recipient and where the Router sends it.
type RuleRoute struct {
	Address string `json:"address"`
	Route   string `json:"route,omitempty"` // MODULE(queue)address
	Refused string `json:"refused,omitempty"`
}

// A RuleVerdict is what becomes of one Rule for one message.
type RuleVerdict struct {
	Name       string          `json:"name"`
	Priority   string          `json:"priority"`
	State      string          `json:"state"`      // RuleStates
	Conditions []ConditionTest `json:"conditions"` // of one that is not reached, or inactive, none
	Actions    [][]string      `json:"actions"`    // that would run
}

// RuleStates are the states of a [RuleVerdict].
func RuleStates() []string { return []string{"met", "not met", "not reached", "inactive"} }

// A ConditionTest is one condition with its verdict.
type ConditionTest struct {
	Condition []string `json:"condition"` // as it is written
	Holds     bool     `json:"holds"`
	Value     string   `json:"value"` // what it has looked at; hostile
}

// A RuleAction is one action that would run.
type RuleAction struct {
	Rule   string   `json:"rule"`
	Action []string `json:"action"`
	Note   string   `json:"note,omitempty"` // why it would do nothing
}

// A RulesText is Rules in the form of the product.
type RulesText struct {
	Text  []byte `json:"text"`
	Write bool   `json:"write,omitempty"` // put them live, in place of those that are; only if all can be taken
}

// A RulesImported is what became of them.
type RulesImported struct {
	Text     string   `json:"text"`     // TOML
	Rules    int      `json:"rules"`    // taken
	Problems []string `json:"problems"` // a Rule each; hostile
	Written  bool     `json:"written"`  // they are live
}
