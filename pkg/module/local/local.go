// Package local is the Local Delivery Module: it transfers messages to the
// mailboxes of local Accounts, which are Maildirs. Its queues are the Accounts.
//
// A message is written into tmp, synced, linked into new, and counts as delivered when
// new is synced. Its name is made of the spool's identity, its id and its
// recipient, so one whose delivery is repeated after a crash is found, not stored again
// (SPOOL L7). Rules and quotas are not its affair.
package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"

	"cgq/pkg/directory"
	"cgq/pkg/disk"
	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/serverlog"
)

// A Module is the Local Delivery Module.
type Module struct {
	fs         disk.FS
	dir        *directory.Directory
	identity   string
	mainDomain func() string
	log        *slog.Logger
	transfers  atomic.Uint64 // the number in LOCAL-nnnnnn
	left       leftovers
}

// New returns the module that delivers into the Accounts of dir, which are on fsys.
// The identity is that of the spool: it is the same after each restart, and no other
// spool that delivers here has it. The main domain's postmaster gets what is for the
// postmaster of a local domain that has none.
func New(fsys disk.FS, dir *directory.Directory, identity string, mainDomain func() string, log *slog.Logger) *Module {
	// Neither may be in a Maildir name; this is how Maildir writes them.
	identity = strings.NewReplacer("/", `\057`, ":", `\072`).Replace(identity)
	return &Module{fs: fsys, dir: dir, identity: identity, mainDomain: mainDomain, log: log}
}

// Name implements [module.Module].
func (m *Module) Name() string { return "LOCAL" }

const postmaster = "postmaster"

// Claim implements [module.Module]: addresses of local domains are its own, and so are
// the bare postmaster (RFC 5321 §4.5.1) and what is for name.local, an Account of the main
// domain whatever the local part is (chapter: Router). The queue is the Account.
func (m *Module) Claim(_ context.Context, a mail.Address, _ bool) (module.Route, error) {
	isPostmaster := strings.EqualFold(a.Local, postmaster)
	if a.Domain == "" && isPostmaster {
		a.Domain = m.mainDomain()
	}
	var acct directory.Account
	var err error
	name, unified := unified(a.Domain)
	switch {
	case m.dir.IsLocal(a.Domain):
		if acct, err = m.find(a); errors.Is(err, directory.ErrNoAccount) && isPostmaster {
			a.Domain = m.mainDomain()
			acct, err = m.dir.Find(a)
		}
	case unified:
		acct, err = m.dir.Find(mail.Address{Local: name, Domain: m.mainDomain()})
	default:
		return module.Route{}, module.ErrNotMine
	}
	switch {
	case errors.Is(err, directory.ErrNoAccount):
		return module.Route{}, &module.Rejection{Result: unknown}
	case errors.Is(err, directory.ErrFolder):
		return module.Route{}, &module.Rejection{Result: noMailbox}
	case err != nil:
		return module.Route{}, fmt.Errorf("local: %w", err)
	}
	return module.Route{Queue: acct.String(), Address: a.Fold()}, nil
}

// unified is the name of the Account that a domain stands for.
func unified(domain string) (name string, ok bool) {
	const suffix = ".local"
	n := len(domain) - len(suffix)
	if n <= 0 || !strings.EqualFold(domain[n:], suffix) {
		return "", false
	}
	return domain[:n], true
}

// find returns the Account of an address of a local domain: the one of that name, else,
// of mailbox#account, the one behind the # (chapter: direct mailbox addressing).
func (m *Module) find(a mail.Address) (directory.Account, error) {
	acct, err := m.dir.Find(a)
	folder, name, direct := strings.Cut(a.Local, "#")
	if !direct || !errors.Is(err, directory.ErrNoAccount) {
		return acct, err
	}
	if acct, err = m.dir.Find(mail.Address{Local: name, Domain: a.Domain}); err != nil {
		return acct, err
	}
	return acct, directory.CheckFolder(folder)
}

// folder is the mailbox that an address names beside the Account; empty: the inbox.
func (m *Module) folder(to mail.Address) string {
	name, _, direct := strings.Cut(to.Local, "#")
	if !direct || !m.dir.IsLocal(to.Domain) || strings.EqualFold(name, "INBOX") {
		return ""
	}
	return name
}

// noMailbox is the result for a mailbox that has a name which none can have.
var noMailbox = mail.Result{Action: mail.Failed, Status: mail.Status{5, 1, 3}, Text: "not a name of a mailbox"}

// unknown is the result for what has no Account (any more).
var unknown = mail.Result{Action: mail.Failed, Status: mail.Status{5, 1, 1}, Text: "account unknown"}

// delivered is the result of what is stored.
var delivered = mail.Result{Action: mail.Delivered, Status: mail.Status{2, 0, 0}, Text: "Delivered to the user mailbox"}

// Transfer implements [module.Module].
func (m *Module) Transfer(ctx context.Context, q module.Queue) {
	log := serverlog.Session(m.log, m.transfers.Add(1), q.Name())
	m.left.clear(m.fs)
	for t := range q.Due(ctx) {
		m.message(ctx, log.With("id", t.ID), q, t)
	}
}

// message delivers one message to its recipients in a queue, which are one Account.
func (m *Module) message(ctx context.Context, log *slog.Logger, q module.Queue, t *module.Transfer) {
	acct, err := account(q.Name())
	if err != nil {
		for i := range t.Recipients {
			t.Settle(i, unknown)
		}
		return
	}
	text, err := t.Open()
	if err != nil {
		log.Error("cannot read the message: " + err.Error())
		t.Delay(unreadable)
		return
	}
	defer text.Close()
	for i, r := range t.Recipients {
		d := &delivery{fs: m.fs, maildir: acct.Maildir(), name: m.fileName(t, r), t: t, to: r, text: text, left: &m.left}
		err := m.store(ctx, log, d, acct)
		var bad *textError
		switch {
		case err == nil && d.found:
			log.Log(ctx, serverlog.Major, "was stored before")
			t.Settle(i, delivered)
		case err == nil:
			log.Log(ctx, serverlog.Major, fmt.Sprintf("stored, %d bytes", d.size))
			t.Settle(i, delivered)
		case errors.Is(err, directory.ErrNoAccount):
			t.Settle(i, unknown)
		case errors.Is(err, directory.ErrFolder):
			t.Settle(i, noMailbox)
		case errors.As(err, &bad):
			log.Error("cannot read the message: " + err.Error())
			t.Delay(unreadable)
			return
		default:
			log.Error("cannot store the message: " + err.Error())
			q.Delay(trouble(err))
			return
		}
	}
}

// store delivers into the mailbox that the address names. What is missing of it, or of
// the Account's Maildir, is made first.
func (m *Module) store(ctx context.Context, log *slog.Logger, d *delivery, acct directory.Account) error {
	if name := m.folder(d.to.To); name != "" {
		dir, err := m.dir.Folder(acct, name)
		switch {
		case errors.Is(err, directory.ErrTooMany):
			log.Log(ctx, serverlog.Problem, err.Error()+", so the inbox gets it")
		case err != nil:
			return err
		default:
			d.maildir = dir
		}
	}
	err := d.store()
	if errors.Is(err, errNoMaildir) {
		if err = m.dir.Repair(acct); err == nil {
			err = d.store()
		}
	}
	return err
}

// account is the Account that is a queue's name.
func account(queue string) (directory.Account, error) {
	a, err := mail.ParseAddress(queue)
	if err != nil {
		return directory.Account{}, err
	}
	return directory.ParseAccount(a)
}
