package rules

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"cgq/pkg/header"
	"cgq/pkg/mail"
	"cgq/pkg/program"
)

// maxReason is how many bytes the text of a reject has: it goes into one line of a reply
// (RFC 5321 §4.5.3.1.5).
const maxReason = 400

func parseReason(a *Action) error {
	if len(a.Param) > maxReason {
		return fmt.Errorf("a reason has %d bytes at most", maxReason)
	}
	return parseLine(a)
}

// parseLine takes one line of text.
func parseLine(a *Action) error {
	if why := oneLine(a.Param); why != "" {
		return errors.New(why + ", and it goes into one line")
	}
	return nil
}

func parseFilter(a *Action) error {
	a.Param = strings.TrimSpace(a.Param)
	return parseLine(a)
}

// parseFields reads the fields that Add Header adds: a line each, or several that are
// folded (RFC 5322 §2.2).
func parseFields(a *Action) error {
	var out []byte
	for i, line := range strings.Split(strings.TrimRight(strings.ReplaceAll(a.Param, "\r\n", "\n"), "\n"), "\n") {
		if why := oneLine(line); why != "" {
			return fmt.Errorf("line %d: %s", i+1, why)
		}
		if strings.TrimSpace(line) == "" {
			return fmt.Errorf("line %d is empty, and an empty line ends a header", i+1)
		}
		if i > 0 && (line[0] == ' ' || line[0] == '\t') {
			out = append(out, encodeWords(line, 0)...)
			out = append(out, '\n')
			continue
		}
		name, value, err := cutField(line)
		if err != nil {
			return fmt.Errorf("line %d: %w", i+1, err)
		}
		out = append(out, fieldLine(name, value)...)
	}
	a.fields = out
	return nil
}

// cutField splits a line of a header at its colon.
func cutField(line string) (name, value string, err error) {
	name, value, ok := strings.Cut(line, ":")
	if !ok {
		return "", "", fmt.Errorf("%q has no colon", line)
	}
	if name == "" {
		return "", "", fmt.Errorf("%q has no name before the colon", line)
	}
	for _, c := range []byte(name) {
		if c <= ' ' || c >= 0x7f {
			return "", "", fmt.Errorf("%q cannot be the name of a field", name)
		}
	}
	return name, strings.Trim(value, " \t"), nil
}

func parseTag(a *Action) error {
	if err := parseLine(a); err != nil {
		return err
	}
	a.fields = []byte(encodeWords(strings.TrimSpace(a.Param), len("Subject: ")))
	return nil
}

// parseRecipients reads a list of addresses.
func parseRecipients(a *Action) error {
	for _, text := range splitAddresses(a.Param) {
		address, err := mail.ParsePath(text)
		if err == nil && address.IsZero() {
			err = errors.New("the null return path is no recipient")
		}
		if err != nil {
			return err
		}
		a.Addresses = append(a.Addresses, address)
	}
	if len(a.Addresses) == 0 {
		return errors.New("no address")
	}
	return nil
}

// splitAddresses splits a list at its commas and semicolons, those in quotes apart.
func splitAddresses(s string) (all []string) {
	start := 0
	for i := 0; i <= len(s); {
		if i < len(s) && s[i] != ',' && s[i] != ';' {
			i = header.SkipToken(s, i)
			continue
		}
		if e := strings.TrimSpace(s[start:i]); e != "" {
			all = append(all, e)
		}
		i++
		start = i
	}
	return all
}

// parseMailbox reads ~account@domain/mailbox. The copy goes to the address
// mailbox#account@domain.
func parseMailbox(a *Action) error {
	text, ok := strings.CutPrefix(strings.TrimSpace(a.Param), "~")
	path, mailbox, slash := strings.Cut(text, "/")
	if !ok || !slash || mailbox == "" {
		return fmt.Errorf("%q is not the full name of a mailbox", a.Param)
	}
	account, err := mail.ParseAddress(path)
	if err != nil {
		return err
	}
	if account.Domain == "" {
		return fmt.Errorf("%q has no domain", path)
	}
	if why := oneLine(mailbox); why != "" || strings.ContainsAny(mailbox, "#\t") || strings.Contains(account.Local, "#") {
		return fmt.Errorf("%q: neither # nor a control character can be in it", a.Param)
	}
	for part := range strings.SplitSeq(mailbox, "/") {
		if part == "" || part == "." || part == ".." {
			return fmt.Errorf("%q is no name of a mailbox", mailbox)
		}
	}
	account.Local = mailbox + "#" + account.Local
	if len(account.Local) > mail.MaxLocal {
		return fmt.Errorf("%q: mailbox and Account have more than %d bytes together", a.Param, mail.MaxLocal-1)
	}
	a.Mailbox, a.Addresses = mailbox, []mail.Address{account}
	return nil
}

// parseCommand reads [FLAG] … and a command line.
func parseCommand(a *Action) (err error) {
	if err := parseLine(a); err != nil {
		return err
	}
	a.Command, err = program.ParseLine(a.Param)
	return err
}

// clean is a text in one line: what could end the line, or is not UTF-8, becomes a blank.
func clean(s string) string {
	return strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "\uFFFD"), func(r rune) bool {
		return r == ' ' || isControl(r)
	}), " ")
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
