package selection

import (
	"strings"
	"time"

	"cgq/pkg/mail"
)

// A Field is a word of the language: a field of a subject, or a function. The
// tables of Fields and Functions are those that Compile uses; docs/selection.md and
// the completion are held to them.
type Field struct {
	Name    string   // in an expression
	Flag    string   // the term of the same name, such as "sender-domain"; empty: there is none
	Type    string   // text, number, duration or time; of a function its form
	Meaning string   // for people
	Example string   // an expression
	Values  []string // all that there are, if they are few
	Regexp  bool     // the flag takes a ~regexp
	Wild    bool     // the flag takes * for any run of characters
	Part    bool     // a plain value of the flag is looked for anywhere in the text
	Passing bool     // it changes while the message waits

	value   func(sub Subject, now time.Time) any // in an expression
	text    func(sub Subject) string             // of a text: it
	address func(sub Subject) mail.Address       // of an address: it
	given   func(t *Terms) []string              // the values of the flag
	plain   func(value string) (string, string)  // a plain value as it is compared, or why not
}

// Fields are the fields of a subject, the cheap ones first: in this order their
// terms are tried.
func Fields() []Field { return append([]Field(nil), fields...) }

var fields = finish([]Field{
	{Name: "id", Flag: "ids-from", Type: "number", Meaning: "number of the message", Example: "id in [4711, 4712]",
		value: func(sub Subject, _ time.Time) any { return int(sub.ID()) }},
	{Name: "age", Passing: true, Flag: "age", Type: "duration", Meaning: "how long ago the message was submitted", Example: `age > duration("2h")`,
		value: func(sub Subject, now time.Time) any { return age(sub, now) }},
	{Name: "size", Flag: "size", Type: "number", Meaning: "bytes of the message", Example: `size >= bytes("1M")`,
		value: func(sub Subject, _ time.Time) any { return int(sub.Size()) }},
	{Name: "attempts", Passing: true, Type: "number", Meaning: "transfers that have failed", Example: "attempts == 0",
		value: func(sub Subject, _ time.Time) any { return sub.Attempts() }},
	{Name: "submitted", Type: "time", Meaning: "when the message was submitted, in UTC", Example: `submitted < date("2026-08-01")`,
		value: func(sub Subject, _ time.Time) any { return sub.Submitted().UTC() }},
	{Name: "module", Flag: "module", Type: "text", Meaning: "module that transfers to the recipient", Example: `module == "SMTP"`,
		text: Subject.Module, given: func(t *Terms) []string { return t.Module }},
	{Name: "state", Passing: true, Flag: "state", Type: "text", Meaning: "what the recipient is doing", Example: `state == "delayed"`,
		Values: append(States(), "active"),
		text:   Subject.State, given: func(t *Terms) []string { return t.State }, plain: knownState},
	{Name: "source", Flag: "source", Type: "text", Meaning: "Submit Address tag", Example: `source == "LIST"`, Values: tags(),
		text: Subject.Source, given: func(t *Terms) []string { return t.Source }, plain: knownSource},
	{Name: "queue", Flag: "queue", Type: "text", Meaning: "name of the host queue", Example: `queue == "example.com"`, Regexp: true, Wild: true,
		text: Subject.Queue, given: func(t *Terms) []string { return t.Queue }},
	{Name: "auth", Flag: "auth", Type: "text", Meaning: "Account of the authenticated sender, or empty", Example: `auth != ""`, Regexp: true, Wild: true,
		text: Subject.Auth, given: func(t *Terms) []string { return t.Auth }},
	{Name: "sender", Flag: "sender", Type: "text", Meaning: "return path, or <>", Example: `sender == "ann@example.com"`, Regexp: true, Wild: true,
		address: Subject.Sender, given: func(t *Terms) []string { return t.Sender }, plain: path},
	{Name: "rcpt", Flag: "rcpt", Type: "text", Meaning: "recipient, as submitted", Example: `wild(rcpt, "*@example.com")`, Regexp: true, Wild: true,
		address: Subject.Recipient, given: func(t *Terms) []string { return t.Recipient }, plain: path},
	{Name: "sender_domain", Flag: "sender-domain", Type: "text", Meaning: "domain of the return path, or empty",
		Example: `sender_domain in ["example.com", "example.net"]`, Regexp: true, Wild: true, plain: domain,
		text: func(sub Subject) string { return sub.Sender().Domain }, given: func(t *Terms) []string { return t.SenderDomain }},
	{Name: "rcpt_domain", Flag: "rcpt-domain", Type: "text", Meaning: "domain of the recipient, or empty",
		Example: `rcpt_domain endsWith ".example.com"`, Regexp: true, Wild: true, plain: domain,
		text: func(sub Subject) string { return sub.Recipient().Domain }, given: func(t *Terms) []string { return t.RecipientDomain }},
	{Name: "error", Passing: true, Flag: "error", Type: "text", Meaning: "last error, or empty", Example: `error contains "greylist"`, Regexp: true, Part: true,
		text: Subject.Error, given: func(t *Terms) []string { return t.Error }},
	{Name: "subject", Flag: "subject", Type: "text", Meaning: "Subject of the message", Example: `subject matches "^re:"`, Regexp: true, Part: true,
		text: Subject.Subject, given: func(t *Terms) []string { return t.Subject }},
})

// finish makes the value of each text, which is in lower case in an expression.
func finish(fields []Field) []Field {
	for i := range fields {
		f := &fields[i]
		switch {
		case f.address != nil:
			f.value = func(sub Subject, _ time.Time) any { return lower(f.address(sub).String()) }
		case f.text != nil:
			f.value = func(sub Subject, _ time.Time) any { return lower(f.text(sub)) }
		}
	}
	return fields
}

// lower is how texts are compared. It returns valid UTF-8.
func lower(s string) string { return strings.ToLower(s) }

func field(name string) *Field {
	for i := range fields {
		if fields[i].Name == name {
			return &fields[i]
		}
	}
	return nil
}

func tags() (list []string) {
	for s := mail.SMTP; ; s++ {
		if _, ok := mail.ParseSource(s.String()); !ok {
			return list
		}
		list = append(list, s.String())
	}
}

func knownState(value string) (string, string) {
	name := state(lower(value))
	for _, s := range States() {
		if s == name {
			return s, ""
		}
	}
	return "", "there is no such state; there are active, " + strings.Join(States(), ", ")
}

func knownSource(value string) (string, string) {
	if _, ok := mail.ParseSource(strings.ToUpper(value)); !ok {
		return "", "there is no such Submit Address tag; there are " + strings.Join(tags(), ", ")
	}
	return lower(value), ""
}

// path reads an address, in angle brackets or without them; <> is the null return path.
func path(value string) (string, string) {
	a, err := mail.ParsePath(value)
	if err != nil {
		why := err.Error() // not an address: "what it is": why
		return "", why[strings.LastIndex(why, `": `)+len(`": `):]
	}
	return lower(a.String()), ""
}

func domain(value string) (string, string) {
	if strings.Contains(value, "@") {
		return "", "that is not a domain; a domain has no @"
	}
	return lower(value), ""
}
