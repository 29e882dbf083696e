package cli

import (
	"context"
	"errors"
	"io/fs"
	"strings"

	"cgq/pkg/control"
)

// The exit statuses of what hands in mail: mail programs know those of sysexits.h.
const (
	exUsage       = 64 // the command line cannot be understood
	exDataErr     = 65 // the message cannot be used
	exNoUser      = 67 // there is no such address
	exUnavailable = 69 // it is refused for another reason
	exIOErr       = 74 // the message could not be read
	exTempFail    = 75 // try again later
	exNoPerm      = 77 // the caller may not
)

// An inputError is why a message could not be read to its end.
type inputError struct{ error }

func (e *inputError) Unwrap() error { return e.error }

// sysexit is the exit status of an error, in the words of sysexits.h.
func sysexit(err error) int {
	_, usage := errors.AsType[*usageError](err)
	_, input := errors.AsType[*inputError](err)
	e, told := errors.AsType[*control.Error](err)
	switch {
	case err == nil:
		return exitDone
	case usage:
		return exUsage
	case told:
		return sysexitOf(e)
	case input:
		return exIOErr
	case errors.Is(err, fs.ErrPermission):
		return exNoPerm
	}
	return exTempFail // no daemon, a broken connection, interrupted, no room
}

// sysexitOf is the exit status of what the daemon has answered.
func sysexitOf(e *control.Error) int {
	switch {
	case e.Kind == control.KindNoRight, e.Kind == control.KindRefused && strings.HasPrefix(e.Code, "5.7."):
		return exNoPerm
	case e.Kind == control.KindBadRequest:
		return exUsage
	case e.Kind == control.KindRefused && strings.HasPrefix(e.Code, "5.1.3"), e.Kind == control.KindRefused && strings.HasPrefix(e.Code, "5.6."),
		e.Kind == control.KindTooLarge:
		return exDataErr
	case e.Kind == control.KindRefused && strings.HasPrefix(e.Code, "5.1."):
		return exNoUser
	case e.Kind == control.KindRefused, e.Kind == control.KindNoSuchCall:
		return exUnavailable
	}
	return exTempFail
}

// notSent is the text about an error for stderr; it is safe.
func (a *app) notSent(err error) string {
	usage, isUsage := errors.AsType[*usageError](err)
	input, isInput := errors.AsType[*inputError](err)
	e, told := errors.AsType[*control.Error](err)
	switch {
	case isUsage:
		return safe(usage.text)
	case errors.Is(err, control.ErrNoDaemon):
		return safe("cgqd is not running (socket " + a.submitSocket() + "): message not sent; try again later")
	case told && e.Code != "":
		return safe("message not sent: " + e.Code + " " + e.Error())
	case isInput:
		return safe("the message could not be read: " + input.Error() + "; message not sent")
	case errors.Is(err, context.Canceled):
		return "interrupted; message not sent"
	case errors.Is(err, fs.ErrPermission):
		return safe("message not sent: " + err.Error() + "; submit.users in pipe.toml names nobody, or a directory on the way is closed: the log of cgqd says which")
	}
	return safe("message not sent: " + err.Error())
}
