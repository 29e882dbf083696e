package local

import (
	"context"
	"errors"

	"cgq/pkg/directory"
	"cgq/pkg/module"
)

// Explain implements [module.Explainer]: where the mail of an Account lies, or that there is none.
func (m *Module) Explain(_ context.Context, queue string) module.Explanation {
	note := func(text string) module.Explanation { return module.Explanation{Notes: []string{text}} }
	acct, err := account(queue)
	if err == nil {
		_, err = m.dir.Find(acct.Address())
	}
	switch {
	case errors.Is(err, directory.ErrNoAccount):
		return note("there is no such Account any more: the next attempt fails for good")
	case err != nil:
		return note("the Account cannot be looked up: " + err.Error())
	}
	return note("into " + acct.Maildir() + ", below the base directory")
}
