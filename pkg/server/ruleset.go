package server

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"cgq/pkg/control"
	"cgq/pkg/extfilter"
	"cgq/pkg/mail"
	"cgq/pkg/router"
	"cgq/pkg/rules"
	"cgq/pkg/serverlog"
	"cgq/pkg/settings"
)

// rulesFile is where the Rules are, below the base directory.
var rulesFile = filepath.Join(settingsDir, "rules.toml")

// named says which External Filters Rules name that are not there. One that is disabled is.
func named(set *rules.Set, filters *extfilter.Settings) error {
	var problems settings.Problems
	for _, name := range set.Filters() {
		if !slices.ContainsFunc(filters.Filters, func(f extfilter.Filter) bool { return strings.EqualFold(f.Name, name) }) {
			problems = append(problems, settings.Problem{File: rulesFile, Why: fmt.Sprintf("no External Filter has the name %q "+
				"that a Rule gives; filters.toml has %s", name, strings.Join(append(filters.Names(), "no others"), ", "))})
		}
	}
	if len(problems) > 0 {
		return problems
	}
	return nil
}

// liveRules are the Rules that are applied.
func (s *server) liveRules() *rules.Set { return s.config.Load().rules }

// routeText is the Router for one who wants to know where an address goes.
func routeText(r *router.Router) func(context.Context, mail.Address) (string, error) {
	return func(ctx context.Context, a mail.Address) (string, error) {
		to, err := r.Route(ctx, a)
		return to.String(), err
	}
}

// replaceRules puts other Rules in place of those that are applied. The old file is kept
// as rules.toml.old. If anything is wrong, with these or with the other settings, which
// are read anew with them, all stays as it is.
func (s *server) replaceRules(ctx context.Context, text []byte) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	f := &rules.File{}
	err := settings.Decode(rulesFile, text, f)
	if err == nil {
		var set *rules.Set
		if set, err = rules.Compile(f); err == nil {
			err = named(set, &s.config.Load().Filters)
		}
	}
	if err != nil {
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
