// Package pipe is the PIPE module: it transfers messages to programs. Its queues are
// the programs; what is at the domain pipe is a command line, and each recipient is one
// run of it (chapter: PIPE module).
//
// Which command lines there are is the Router table's to say: no other address at the
// domain pipe comes here. A program is a file in one directory, gets an argument
// vector and never meets a shell, and is killed with all that it has started. Its
// exit status, read as sysexits(3), is what became of the message.
//
// A message is given to a program at least once: after a crash nobody can say whether it
// had been, so one that is Repeated is given again. docs/pipe.md is the manual.
package pipe

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/program"
	"cgq/pkg/serverlog"
)

// Domain is that of the addresses that are command lines.
const Domain = "pipe"

// Lend gives a program a copy of a message as a file. The name is relative to the base
// directory; back takes the file back.
type Lend func(id mail.ID) (name string, back func(), err error)

// A Module is the PIPE module.
type Module struct {
	base      string
	settings  func() *Deliver
	lend      Lend
	log       *slog.Logger
	transfers atomic.Uint64 // the number in PIPE-nnnnnn
	root      sync.Once     // it was said that programs run as root
}

// New returns the module that starts programs in a base directory, which is an absolute path.
func New(base string, set func() *Deliver, lend Lend, log *slog.Logger) *Module {
	return &Module{base: base, settings: set, lend: lend, log: log}
}

// Name implements [module.Module].
func (m *Module) Name() string { return "PIPE" }

// Claim implements [module.Module]: all at the domain pipe is its own. The queue is the
// program, whatever its parameters are. Only clients may send there, unless a record of
// the Router table says otherwise.
//
// That a program is not there is said to the sender while he listens. What is wrong with one
// that is there can be mended, so mail is taken and waits.
func (m *Module) Claim(_ context.Context, a mail.Address, _ bool) (module.Route, error) {
	if !strings.EqualFold(a.Domain, Domain) {
		return module.Route{}, module.ErrNotMine
	}
	line, err := parse(a.Local)
	if err != nil {
		return module.Route{}, module.Reject(5, 1, 3, err.Error()) // RFC 3463 §3.2: bad syntax
	}
	name := line.Args[0]
	if _, err := os.Lstat(filepath.Join(m.directory(m.settings()), name)); errors.Is(err, fs.ErrNotExist) {
		return module.Route{}, module.Reject(5, 1, 1, "no such program") // RFC 3463 §3.2: it does not exist
	}
	return module.Route{Queue: name, Address: a.Fold(), Relay: true}, nil
}

// parse reads a local part. Its error is fit for a stranger.
func parse(local string) (*program.Line, error) {
	line, err := program.ParseLine(local)
	if err != nil {
		return nil, errors.New("not a program with its parameters")
	}
	name := line.Args[0]
	// What is shown as the name of a queue is the name, and it is one of a file in the directory.
	if program.OneLine(name) != name || strings.ContainsAny(name, `/\`) || strings.HasPrefix(name, ".") {
		return nil, errors.New("not a name of a program")
	}
	if strings.Contains(local, "\x00") { // no argument can have it
		return nil, errors.New("not a program with its parameters")
	}
	return line, nil
}

// directory is that of the programs.
func (m *Module) directory(set *Deliver) string {
	if filepath.IsAbs(set.Directory) {
		return set.Directory
	}
	return filepath.Join(m.base, set.Directory)
}

// Transfer implements [module.Module].
func (m *Module) Transfer(ctx context.Context, q module.Queue) {
	log := serverlog.Session(m.log, m.transfers.Add(1), q.Name())
	for t := range q.Due(ctx) {
		m.message(ctx, log.With("id", t.ID), q, t)
	}
}

// message gives one message to a program, once for each recipient.
func (m *Module) message(ctx context.Context, log *slog.Logger, q module.Queue, t *module.Transfer) {
	for i := range t.Recipients {
		if ctx.Err() != nil {
			return // the server stops: what has not begun is left alone
		}
		r := &run{Module: m, set: m.settings(), log: log, t: t, to: &t.Recipients[i]}
		result, err := r.do(ctx)
		var bad *textError
		var wrong *setupError
		switch {
		case err == nil:
			t.Settle(i, result)
		case ctx.Err() != nil:
			log.Log(ctx, serverlog.Problem, "stopped: the server stops; the program gets the message again")
			return
		case errors.As(err, &bad):
			log.Error("cannot read the message: " + err.Error())
			t.Delay(unreadable)
			return
		case errors.As(err, &wrong):
			log.Error(err.Error())
			q.Delay(misconfigured(wrong))
			return
		default:
			log.Error("cannot start the program: " + err.Error())
			q.Delay(trouble(err))
			return
		}
	}
}
