package program

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Result is how a program has ended, and what it has said.
type Result struct {
	Exit           int            // exit status, 0 to 255; -1 if a signal has ended it
	Signal         syscall.Signal // which signal has ended it; 0: none
	Stdout, Stderr []byte         // the first bytes, at most Command.Output each
	Cut            bool           // there was more output than is here
	TimedOut       bool           // it was ended at its time limit, however it took that
}

// The statuses of sysexits(3).
const (
	exitBase     = 64
	exitOSErr    = 71
	exitIOErr    = 74
	exitTempFail = 75
)

// sysexits are the meanings of the statuses from 64 to 78, from sysexits(3).
var sysexits = [...]string{
	"command line usage error",     // EX_USAGE
	"data format error",            // EX_DATAERR
	"cannot open input",            // EX_NOINPUT
	"user unknown",                 // EX_NOUSER
	"host name unknown",            // EX_NOHOST
	"service unavailable",          // EX_UNAVAILABLE
	"internal software error",      // EX_SOFTWARE
	"system error",                 // EX_OSERR
	"critical system file missing", // EX_OSFILE
	"cannot create output file",    // EX_CANTCREAT
	"input/output error",           // EX_IOERR
	"temporary failure",            // EX_TEMPFAIL
	"remote error in protocol",     // EX_PROTOCOL
	"permission denied",            // EX_NOPERM
	"local configuration error",    // EX_CONFIG
}

// OK says whether the program has done what it was asked: exit status 0, in time.
func (r Result) OK() bool { return r.Exit == 0 && r.Signal == 0 && !r.TimedOut }

// Temporary says whether a program that has failed may succeed later.
//
// EX_TEMPFAIL and EX_OSERR are temporary to all mailers (Postfix: pipe(8), the table in
// global/sys_exits.c; sendmail: SysExMsg), and so is a signal (Postfix defers). Where those
// two disagree, the mail is kept: EX_IOERR, such as a full disk, is permanent to Postfix and
// 451 to sendmail. The time limit, at which Postfix bounces, is temporary here, too: it says
// nothing of the message. EX_CANTCREAT is permanent to both; so is every other status.
func (r Result) Temporary() bool {
	if r.TimedOut || r.Signal != 0 {
		return true
	}
	return r.Exit == exitOSErr || r.Exit == exitIOErr || r.Exit == exitTempFail
}

// Reason says in a few words why the program has failed; it is empty if it has not.
func (r Result) Reason() string {
	switch {
	case r.OK():
		return ""
	case r.TimedOut:
		return "time limit exceeded"
	case r.Signal != 0:
		if name := unix.SignalName(r.Signal); name != "" {
			return "killed by " + name
		}
		return fmt.Sprintf("killed by signal %d", int(r.Signal))
	case r.Exit >= exitBase && r.Exit < exitBase+len(sysexits):
		return fmt.Sprintf("%s (exit status %d)", sysexits[r.Exit-exitBase], r.Exit)
	}
	return fmt.Sprintf("exit status %d", r.Exit)
}
