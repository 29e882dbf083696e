package admin

import (
	"context"
	"errors"

	"cgq/pkg/control"
	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/router"
)

func (s *Server) route(ctx context.Context, _ control.Actor, in control.RouteQuery) (control.Routing, error) {
	out := control.Routing{Address: in.Address, Sender: in.Sender, Steps: []control.RouteStep{}}
	a, err := mail.ParsePath(in.Address)
	if err != nil {
		return out, control.Errorf(control.KindBadRequest, "write it as ann@example.com", "%v", err)
	}
	if in.Sender {
		return out, refusal(&out, s.Router.Sender(ctx, a))
	}
	steps, to, err := s.Router.Trace(ctx, a)
	for _, step := range steps {
		out.Steps = append(out.Steps, control.RouteStep{Line: step.Line, Record: step.Record, Before: step.Before.String(),
			After: step.After.String(), Relay: step.Relay, Module: step.Module, Attempt: step.Attempt})
	}
	if err != nil {
		return out, refusal(&out, err)
	}
	out.Route, out.Module, out.Queue, out.To, out.Relay = to.String(), to.Module, to.Queue, to.Address.String(), to.Relay
	return out, nil
}

// refusal notes a Rejection in the answer, which it is; anything else is a fault.
func refusal(out *control.Routing, err error) error {
	var no *module.Rejection
	if !errors.As(err, &no) {
		return err
	}
	out.Refused, out.Trap = no.Error(), errors.Is(err, router.ErrSpamTrap)
	return nil
}
