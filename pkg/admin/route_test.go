package admin_test

import (
	"errors"
	"reflect"
	"testing"

	"cgq/pkg/control"
)

func TestRoute(t *testing.T) {
	h := newHouse(t)
	asked := func(address string) control.Routing {
		t.Helper()
		r, err := control.Route.Do(t.Context(), h.client, control.RouteQuery{Address: address})
		if err != nil {
			t.Errorf("route %s: %v", address, err)
		}
		return r
	}
	want := control.Routing{Address: "<ann@old.example>", Route: "SMTP(new.example)ann@new.example", Module: "SMTP", Queue: "new.example",
		To: "ann@new.example", Relay: true, Steps: []control.RouteStep{
			{Line: 1, Record: "old.example = new.example", Before: "ann@old.example", After: "ann@new.example"},
			{Record: "final attempt", Before: "ann@new.example", After: "ann@new.example", Module: "SMTP", Attempt: 2},
		}}
	if got := asked("<ann@old.example>"); !reflect.DeepEqual(got, want) {
		t.Errorf("route = %+v\nwant    %+v", got, want)
	}
	if got := asked("ann"); got.Relay || got.Queue != "away.example" || len(got.Steps) != 3 || got.Steps[1].Relay != "relaying granted" {
		t.Errorf("an alias: %+v; want it open to everybody", got)
	}
	if got := asked("bait"); !got.Trap || got.Refused != "5.1.1 account unknown" || got.Route != "" {
		t.Errorf("a spam trap: %+v", got)
	}
	if got := asked("x@bad.example"); got.Trap || got.Refused != "5.1.1 the address is routed to ERROR" || len(got.Steps) != 1 {
		t.Errorf("ERROR: %+v", got)
	}
	for address, kind := range map[string]control.Kind{"": control.KindBadRequest, "a@b@c": control.KindBadRequest,
		"x@broken.example": control.KindFault} {
		_, err := control.Route.Do(t.Context(), h.client, control.RouteQuery{Address: address})
		if e := (*control.Error)(nil); !errors.As(err, &e) || e.Kind != kind {
			t.Errorf("route %q: %v; want %s", address, err, kind)
		}
	}
	for address, want := range map[string]string{"<>": "", "ann@old.example": "", "x@bad.example": "5.1.8 the sender's address is routed to ERROR"} {
		r, err := control.Route.Do(t.Context(), h.client, control.RouteQuery{Address: address, Sender: true})
		if err != nil || r.Refused != want || !r.Sender || r.Route != "" {
			t.Errorf("sender %s: %+v, %v; want %q", address, r, err, want)
		}
	}
}
