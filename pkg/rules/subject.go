package rules

import "slices"

// A subject is what a condition looks at.
type subject uint8

const (
	from subject = iota + 1
	sender
	to
	cc
	replyTo
	fromName
	toOrCc
	subjectField
	messageID
	headerField
	security // the last that is read from the header
	returnPath
	recipients
	routes
	source
	submitAddress
	messageSize
	human
	timeOfDay
	currentDay
	currentDate
	subjects // how many there are
)

// An operator is what a condition does with it.
type operator string

const (
	is      operator = "is"
	isNot   operator = "is not"
	in      operator = "in"
	notIn   operator = "not in"
	less    operator = "less than"
	greater operator = "greater than"
	unary   operator = "---" // the product writes it where there is none
)

var (
	texts  = []operator{is, isNot, in, notIn}
	ranges = []operator{in, notIn}
	bounds = []operator{less, greater}
)

// A quantifier says of how many values a condition must hold.
type quantifier uint8

const (
	one  quantifier = iota // is: of one; is not: of all
	some                   // of one, whatever the operator
	each                   // of all
)

// A kind of condition is a row of the table.
type conditionKind struct {
	name      string
	levels    Level
	subject   subject
	quantity  quantifier
	operators []operator // none: unary
	want      string     // an example of a parameter
	why       string     // why it cannot be used at a level that it is not of
}

const anyLevel = ServerWide | AccountWide

// conditions are all there are, in the order of the manual.
func conditionKinds() []conditionKind {
	const address, ofAccount = "*@example.com", "it is of an Account, and a server-wide Rule is run before any Account is known"
	return []conditionKind{
		{"From", anyLevel, from, one, texts, address, ""},
		{"Sender", anyLevel, sender, one, texts, address, ""},
		{"Return-Path", anyLevel, returnPath, one, texts, address, ""},
		{"To", anyLevel, to, one, texts, address, ""},
		{"Cc", anyLevel, cc, one, texts, address, ""},
		{"Reply-To", anyLevel, replyTo, one, texts, address, ""},
		{"'From' Name", anyLevel, fromName, one, texts, "*Smith*", ""},
		{"Any To or Cc", anyLevel, toOrCc, some, texts, address, ""},
		{"Each To or Cc", anyLevel, toOrCc, each, texts, address, ""},
		{"Subject", anyLevel, subjectField, one, texts, "*invoice*", ""},
		{"Message-ID", anyLevel, messageID, one, texts, "<*@example.com>", ""},
		{"Message Size", anyLevel, messageSize, one, bounds, "512K", ""},
		{"Header Field", anyLevel, headerField, one, texts, "X-Spam: yes*", ""},
		{"Any Recipient", anyLevel, recipients, some, texts, address, ""},
		{"Each Recipient", anyLevel, recipients, each, texts, address, ""},
		{"Any Route", ServerWide, routes, some, texts, "SMTP*", ""},
		{"Each Route", ServerWide, routes, each, texts, "LOCAL(*", ""},
		{"Source", anyLevel, source, one, texts, "trusted,authenticated", ""},
		{"Submit Address", anyLevel, submitAddress, one, texts, "SMTP [192.0.2.*]", ""},
		{"Security", anyLevel, security, one, texts, "encrypted,signed", ""},
		{"Human Generated", anyLevel, human, one, nil, "", ""},
		{"Time Of Day", anyLevel, timeOfDay, one, ranges, "22:00-06:00", ""},
		{"Current Day", anyLevel, currentDay, one, texts, "Sat,Sun", ""},
		{"Current Date", anyLevel, currentDate, one, bounds, "24 Dec 2026 12:00:00", ""},
		{"Existing Mailbox", AccountWide, 0, one, texts, "", ofAccount},
		{"Preference", AccountWide, 0, one, texts, "", ofAccount},
		{"FreeBusy", AccountWide, 0, one, texts, "", ofAccount},
	}
}

// words are the only values that some subjects have.
func (s subject) words() []string {
	switch s {
	case source:
		return []string{trusted, authenticated}
	case security:
		return []string{encrypted, signed}
	case currentDay:
		return days[:]
	}
	return nil
}

func (k conditionKind) takes(op operator) bool { return slices.Contains(k.operators, op) }
