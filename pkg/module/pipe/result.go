package pipe

import (
	"context"
	"fmt"
	"strings"

	"cgq/pkg/mail"
	"cgq/pkg/program"
	"cgq/pkg/serverlog"
)

// statuses are those of RFC 3463 for the exit statuses of sysexits(3): those of Postfix
// (pipe(8), global/sys_exits.c), but for 74, which is temporary here ([program.Result.Temporary]),
// and for 77, of which RFC 3463 §3.8 knows more than 5.7.0.
var statuses = map[int]mail.Status{
	65: {5, 6, 0}, // EX_DATAERR
	67: {5, 1, 1}, // EX_NOUSER
	68: {5, 1, 2}, // EX_NOHOST
	73: {5, 2, 0}, // EX_CANTCREAT
	76: {5, 5, 0}, // EX_PROTOCOL
	77: {5, 7, 1}, // EX_NOPERM
	78: {5, 3, 5}, // EX_CONFIG
}

// result is what a program that has ended says of the recipient.
func (r *run) result(ctx context.Context, line *program.Line, res program.Result) mail.Result {
	name := line.Args[0]
	if res.OK() {
		r.log.Log(ctx, serverlog.Major, fmt.Sprintf("given to the program, %d bytes", r.t.Size))
		return mail.Result{Action: mail.Delivered, Status: mail.Status{2, 0, 0}, Text: cut("Delivered to the program " + name)}
	}
	said := program.OneLine(string(res.Stderr))
	level := serverlog.Failure
	if res.Temporary() {
		level = serverlog.Problem
	}
	r.log.Log(ctx, level, "the program has failed: "+res.Reason(), "to", r.to.Address.String(), "stderr", said)
	status, ok := statuses[res.Exit]
	switch {
	case res.Temporary():
		status = mail.Status{4, 3, 0}
	case !ok:
		status = mail.Status{5, 3, 0}
	}
	text := "the program " + name + " has failed: " + res.Reason()
	if line.Stderr && said != "" && !res.TimedOut {
		status, said = ownStatus(status, said)
		text = strings.TrimSpace(res.Reason() + ": " + said)
	}
	if status[0] == 4 {
		return delayed(status, text)
	}
	return failed(status, text)
}

// ownStatus is the enhanced status that a program has said itself, and what it has said behind
// it. Also the class is the program's to choose, as for pipe(8).
func ownStatus(standard mail.Status, said string) (mail.Status, string) {
	first, rest, _ := strings.Cut(said, " ")
	if s, ok := mail.ParseStatus(first); ok && s[0] != 2 {
		return s, rest
	}
	return standard, said
}

// maxText is how much of a text there is in a result, in bytes: no more than the journal
// keeps, so that it is the same after a restart.
const maxText = 500

func cut(text string) string {
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "")
	}
	return text
}

func failed(s mail.Status, text string) mail.Result {
	return mail.Result{Action: mail.Failed, Status: s, Text: cut(text)}
}

func delayed(s mail.Status, text string) mail.Result {
	return mail.Result{Action: mail.Delayed, Status: s, Text: cut(text)}
}

// unreadable is the result when the Queue does not give the text.
var unreadable = mail.Result{
	Action: mail.Delayed,
	Status: mail.Status{4, 3, 0},
	Text:   "the message cannot be read from the queue",
}

// misconfigured is the result when a program cannot be started before somebody has mended
// something here: RFC 3463 §3.4 has X.3.5 for it, and 4 because the address is right and the
// message was taken. If nobody mends it, it fails when it expires.
func misconfigured(e *setupError) mail.Result {
	return delayed(mail.Status{4, 3, 5}, "the program cannot be started: "+e.why)
}

// trouble is the result when a program is not started for want of something else.
func trouble(err error) mail.Result {
	return delayed(mail.Status{4, 3, 0}, "the program cannot be started: "+reason(err))
}
