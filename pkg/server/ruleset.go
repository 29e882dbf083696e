package server

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"cgq/pkg/admin"
	"cgq/pkg/control"
	"cgq/pkg/extfilter"
	"cgq/pkg/mail"
	"cgq/pkg/router"
	"cgq/pkg/rules"
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
func (s *server) replaceRules(ctx context.Context, who control.Actor, text []byte) error {
	const name = "rules.toml"
	_, err := s.change(ctx, admin.SettingsOrder{Who: who, How: "rules import", Whole: name,
		Edit: func(files settings.Files) (settings.Files, error) {
			old, there := files.Text(name)
			next := files.With(name, string(text))
			if _, err := loadFiles(next); err != nil || !there {
				return next, nil //nolint:nilerr // it is said with the lines
			}
			return next, settings.Replace(s.fs, settingsDir, name+".old", old)
		}})
	return err
}
