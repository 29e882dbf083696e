package admin

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"

	"cgq/pkg/control"
	"cgq/pkg/directory"
	"cgq/pkg/mail"
	"cgq/pkg/stats"
)

// account reads the address of an Account in a request.
func (s *Server) account(address string) (mail.Address, error) {
	a, err := mail.ParseAddress(address)
	if err != nil || a.Domain == "" {
		return a, control.Errorf(control.KindBadRequest, "write it as ann@example.com", "%q is not the address of an account", address)
	}
	if !s.Directory.IsLocal(a.Domain) {
		return a, control.Errorf(control.KindNoSuchDomain, "add it to the local domains: cgq settings get local.domains, then cgq settings set local.domains=…",
			"%s is not a local domain", a.Domain)
	}
	if _, err := directory.ParseAccount(a); err != nil {
		return a, control.Errorf(control.KindBadRequest, "", "%v", err)
	}
	return a, nil
}

func (s *Server) accountCreate(ctx context.Context, who control.Actor, in control.Account) (control.Account, error) {
	a, err := s.account(in.Address)
	if err != nil {
		return control.Account{}, err
	}
	made, err := s.Directory.Create(a)
	if err != nil {
		return control.Account{}, accountError(err, a)
	}
	s.note(ctx, who, "account "+made.String()+" created by "+who.Name)
	return control.Account{Address: made.String()}, nil
}

// accountError says what kind of failure it is.
func accountError(err error, a mail.Address) error {
	switch {
	case errors.Is(err, directory.ErrExist):
		return control.Errorf(control.KindExists, "", "there is an account %s already", a)
	case errors.Is(err, directory.ErrNoAccount):
		return control.Errorf(control.KindNoSuchAccount, "cgq account list shows all", "there is no account %s", a)
	}
	return err
}

func (s *Server) accountList(_ context.Context, _ control.Actor, in control.AccountQuery) iter.Seq2[control.Account, error] {
	return func(yield func(control.Account, error) bool) {
		for _, domain := range in.Domain {
			if !s.Directory.IsLocal(domain) {
				yield(control.Account{}, control.Errorf(control.KindNoSuchDomain, "", "%s is not a local domain", domain))
				return
			}
		}
		all, err := s.Directory.List("")
		if err != nil {
			yield(control.Account{}, err)
			return
		}
		for _, a := range all {
			listed := len(in.Domain) == 0 || slices.ContainsFunc(in.Domain, func(d string) bool { return strings.EqualFold(d, a.Domain) })
			if listed && !yield(control.Account{Address: a.String()}, nil) {
				return
			}
		}
	}
}

// accountDelete counts Accounts and the messages in them.
func (s *Server) accountDelete(ctx context.Context, who control.Actor, in control.AccountAct) (control.Outcome, error) {
	a, err := s.account(in.Address)
	if err != nil {
		return control.Outcome{}, err
	}
	stored, err := s.Directory.Stored(a)
	if err != nil {
		return control.Outcome{}, accountError(err, a)
	}
	out := control.Outcome{Matched: 1, Changed: 1, Messages: stored}
	if in.DryRun {
		return out, nil
	}
	// Mail that comes between counting and deleting was not meant.
	if err := s.Directory.Delete(a, stored > 0); err != nil {
		return control.Outcome{}, accountError(err, a)
	}
	s.note(ctx, who, "account "+a.String()+" deleted by "+who.Name, "messages", stored)
	return out, nil
}

func (s *Server) stat(_ context.Context, _ control.Actor, in control.StatQuery) iter.Seq2[control.Element, error] {
	return func(yield func(control.Element, error) bool) {
		all := s.Stats.All()
		if len(in.Names) == 0 {
			for _, e := range all {
				if !yield(element(e), nil) {
					return
				}
			}
			return
		}
		for _, name := range in.Names {
			i := slices.IndexFunc(all, func(e stats.Element) bool { return e.Name == name })
			if i < 0 {
				yield(control.Element{}, control.Errorf(control.KindNoSuchElement, "cgq stat shows all", "no element %q", name))
				return
			}
			if !yield(element(all[i]), nil) {
				return
			}
		}
	}
}

func element(e stats.Element) control.Element {
	return control.Element{Name: e.Name, Value: e.Value, Kind: e.Kind.String(), Doc: e.Doc}
}

func (s *Server) listeners(context.Context, control.Actor, control.Nothing) iter.Seq2[control.Listener, error] {
	return func(yield func(control.Listener, error) bool) {
		for _, l := range s.Listeners() {
			if !yield(l, nil) {
				return
			}
		}
	}
}
