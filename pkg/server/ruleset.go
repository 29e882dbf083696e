package server

import (
	"context"
	"errors"
	"net/netip"
	"path/filepath"
	"slices"

	"cgq/pkg/control"
	"cgq/pkg/mail"
	"cgq/pkg/router"
	"cgq/pkg/rules"
	"cgq/pkg/serverlog"
	"cgq/pkg/settings"
)

// rulesFile is where the Rules are, below the base directory.
var rulesFile = filepath.Join(settingsDir, "rules.toml")

// liveRules are the Rules that are applied.
func (s *server) liveRules() *rules.Set { return s.config.Load().rules }

// routeText is the Router for one who wants to know where an address goes.
func routeText(r *router.Router) func(context.Context, mail.Address) (string, error) {
	return func(ctx context.Context, a mail.Address) (string, error) {
		to, err := r.Route(ctx, a)
		return to.String(), err
	}
}

// isClient says whether a network address is one of the Client IP Addresses, of which
// those of this machine always are.
func (s *server) isClient(ip netip.Addr) bool {
	return ip.IsLoopback() || slices.ContainsFunc(s.clients(), func(p netip.Prefix) bool { return p.Contains(ip) })
}

// replaceRules puts other Rules in place of those that are applied. The old file is kept
// as rules.toml.old. If anything is wrong, with these or with the other settings, which
// are read anew with them, all stays as it is.
func (s *server) replaceRules(ctx context.Context, text []byte) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	f := &rules.File{}
	if err := settings.Decode(rulesFile, text, f); err != nil {
		return control.Errorf(control.KindBadRequest, "nothing was changed", "%v", err)
	}
	if _, err := load(s.fs); err != nil {
		var problems settings.Problems
		if !errors.As(err, &problems) || !only(problems, rulesFile) {
			return control.Errorf(control.KindBadRequest, "correct it first; nothing was changed", "the settings cannot be read anew: %v", err)
		}
	}
	if err := settings.Replace(s.fs, settingsDir, "rules", string(text)); err != nil {
		return err
	}
	s.system.Log(ctx, serverlog.Major, "the Rules are replaced, the old ones are in "+rulesFile+".old", "rules", len(f.Rules))
	return s.reread()
}

// only says whether all problems are in one file.
func only(problems settings.Problems, file string) bool {
	for _, p := range problems {
		if p.File != file {
			return false
		}
	}
	return true
}
