package pipe

import (
	"context"

	"cgq/pkg/module"
)

// Explain implements [module.Explainer]: which program it is, and whether it can be started.
func (m *Module) Explain(_ context.Context, queue string) module.Explanation {
	set := m.settings()
	path, err := find(m.directory(set), queue)
	if err == nil {
		if _, wrong := runAs(set.User); wrong != nil {
			err = &setupError{path, "deliver.user: " + wrong.Error()}
		}
	}
	if err != nil {
		return module.Explanation{Notes: []string{err.Error()}}
	}
	return module.Explanation{Notes: []string{"to the program " + path + ", which is there and executable"}}
}
