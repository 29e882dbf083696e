package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"cgq/pkg/control"
)

// The names by which programs know a mail server's command.
const (
	sendmailName   = "sendmail"
	mailqName      = "mailq"
	newaliasesName = "newaliases"
)

// sendmailFaces are all of them.
var sendmailFaces = []string{sendmailName, mailqName, newaliasesName}

// A sendmailMode is what a command line of sendmail asks for.
type sendmailMode uint8

const (
	modeDeliver sendmailMode = iota // -bm
	modeQueue                       // -bp
	modeSMTP                        // -bs
	modeNothing                     // what another server would have to do: -bi, -q
	modeHelp
)

// A sendmailLine is a command line of sendmail.
type sendmailLine struct {
	mode sendmailMode
	letter
	base string // empty: not given
}

const sendmailUsage = "usage: sendmail [-t] [-i] [-f ADDRESS] [-F NAME] [-N never|success,failure,delay] [-R full|hdrs]\n" +
	"                [-V ENVID] [-B 7BIT|8BITMIME] [-v] [--spool] [--base DIR] [--] [RECIPIENT...]\n" +
	"       sendmail -bp | -bs\n" +
	"A message is read from standard input and handed to cgqd; see cgq submit --help.\n"

// parseSendmail reads the arguments of sendmail. Options end with the first that is none, or
// with --, so that what a stranger may choose, an address, is never taken for one there.
func parseSendmail(name string, args []string) (l sendmailLine, err error) {
	l.dots = true
	switch name {
	case mailqName:
		l.mode = modeQueue
	case newaliasesName:
		l.mode = modeNothing
	}
	for len(args) > 0 {
		arg := args[0]
		if len(arg) < 2 || arg[0] != '-' {
			break
		}
		args = args[1:]
		if arg == "--" {
			l.Recipients = toAll(args)
			return l, nil
		}
		if strings.HasPrefix(arg, "--") {
			args, err = l.long(arg, args)
		} else {
			args, err = l.short(arg[1:], args)
		}
		if err != nil {
			return l, err
		}
	}
	for _, arg := range args {
		if strings.HasPrefix(arg, "-") {
			return l, badLine("%q behind a recipient: options go in front, and what follows -- is none", arg)
		}
	}
	l.Recipients = toAll(args)
	return l, nil
}

func badLine(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// long takes an option that sendmail does not have.
func (l *sendmailLine) long(arg string, args []string) ([]string, error) {
	switch name, value, with := strings.Cut(arg, "="); {
	case arg == "--help":
		l.mode = modeHelp
	case arg == "--spool":
		l.spool = true
	case name == "--base" && with:
		l.base = value
	case name == "--base" && len(args) > 0:
		l.base, args = args[0], args[1:]
	default:
		return nil, badLine("no option %s; see sendmail --help", arg)
	}
	return args, nil
}

// What sendmail's options look like: alone, with a value behind them or in the next
// argument, or with one behind them or none.
const (
	alone    = "GIUimnstvx"
	valued   = "ABCDFLMNORTVXbfhopr"
	attached = "deq"
)

// short takes the options of one argument, such as ti or fann@example.com.
func (l *sendmailLine) short(letters string, args []string) ([]string, error) {
	for i := range len(letters) {
		c, rest := letters[i], letters[i+1:]
		switch {
		case strings.IndexByte(alone, c) >= 0:
			l.set(c)
			continue
		case strings.IndexByte(attached, c) >= 0:
			if c == 'q' && l.mode == modeDeliver {
				l.mode = modeNothing // cgqd runs its queue itself
			}
			return args, nil
		case strings.IndexByte(valued, c) < 0:
			return nil, badLine("no option -%c; see sendmail --help", c)
		case rest != "":
			return args, l.value(c, rest)
		case len(args) == 0:
			return nil, badLine("-%c needs a value", c)
		}
		return args[1:], l.value(c, args[0])
	}
	return args, nil
}

// set takes an option without a value. Those that are not here mean nothing to cgqd.
func (l *sendmailLine) set(c byte) {
	switch c {
	case 't':
		l.FromHeader = true
	case 'i':
		l.dots = false
	case 'v':
		l.verbose = true
	case 'I':
		l.mode = modeNothing
	}
}

// value takes an option with its value. Those that are not here mean nothing to cgqd.
func (l *sendmailLine) value(c byte, value string) error {
	switch c {
	case 'f', 'r':
		if l.ReturnPath = value; value == "" {
			l.ReturnPath = "<>"
		}
	case 'F':
		l.FullName = value
	case 'N':
		l.Notify = value
	case 'R':
		l.Return = value
	case 'V':
		l.EnvelopeID = value
	case 'B':
		l.Body = value
	case 'o':
		if value == "i" {
			l.dots = false
		}
	case 'O':
		key, on, _ := strings.Cut(value, "=")
		if strings.EqualFold(key, "IgnoreDots") && !strings.HasPrefix(strings.ToLower(on), "f") {
			l.dots = false
		}
	case 'b':
		return l.operate(value)
	}
	return nil
}

// operate takes a mode of operation.
func (l *sendmailLine) operate(mode string) error {
	modes := map[string]sendmailMode{"m": modeDeliver, "p": modeQueue, "s": modeSMTP, "i": modeNothing}
	m, ok := modes[mode]
	if !ok {
		why := "this is not known here"
		switch mode {
		case "d", "D":
			why = "the daemon is cgqd"
		case "t", "v":
			why = "addresses are tested with cgq route"
		}
		return badLine("-b%s: %s", mode, why)
	}
	l.mode = m
	return nil
}

// sendmail is the program by one of sendmail's names; it returns the exit status.
func (a *app) sendmail(ctx context.Context, name string, args []string) int {
	l, err := parseSendmail(name, args)
	if l.base != "" {
		a.base = l.base
	}
	if a.base == "" {
		a.base = defaultBase
	}
	if err == nil && l.mode == modeQueue {
		if err = a.mailq(ctx); err != nil {
			fmt.Fprintln(a.errOut, name+": "+a.explain(err))
		}
		return sysexit(err)
	}
	if err == nil {
		err = a.sendmailDo(ctx, name, l)
	}
	return a.submitted(name, err)
}

func (a *app) sendmailDo(ctx context.Context, name string, l sendmailLine) error {
	switch {
	case l.mode == modeHelp:
		_, err := fmt.Fprint(a.out, sendmailUsage)
		return err
	case l.mode == modeSMTP:
		return a.talk(ctx, l.letter)
	case l.mode == modeNothing && len(l.Recipients) == 0 && !l.FromHeader:
		return nil
	case len(l.Recipients) == 0 && !l.FromHeader:
		return badLine("no recipients: name them, or take those of the header with -t")
	}
	return a.hand(ctx, name, l.letter, func(out control.Submitted) error {
		if l.verbose {
			fmt.Fprintf(a.errOut, "%s: message %s is queued\n", name, out.ID)
		}
		return nil
	})
}

// faceOf returns the name of sendmail's by which the program was called, if it was.
func faceOf(program string) (string, bool) {
	name := filepath.Base(program)
	return name, slices.Contains(sendmailFaces, name)
}

// newSendmail returns a command that is what the program is by one of sendmail's names.
func newSendmail(a *app, name string) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: "What this program is when it is called " + name, Hidden: true, DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			return &statusError{a.sendmail(cmd.Context(), name, args)}
		},
	}
}

// A statusError is the end of a command that has said all, and knows its exit status.
type statusError struct{ status int }

func (e *statusError) Error() string { return fmt.Sprintf("status %d", e.status) }
