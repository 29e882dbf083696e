package cli

import (
	"strings"
	"testing"

	"cgq/pkg/control"
)

// routing is what the daemon of the tests answers.
func routing(in control.RouteQuery) control.Routing {
	r := control.Routing{Address: in.Address, Sender: in.Sender}
	refused := strings.Contains(in.Address, "bad")
	switch {
	case in.Sender && refused:
		r.Refused = "5.7.1 the sender's address is blacklisted"
	case in.Sender:
	case refused:
		r.Steps = []control.RouteStep{{Line: 9, Record: "bad.example = ERROR", Before: in.Address, After: "ann@ERROR"}}
		r.Refused = "5.1.1 the address is routed to ERROR"
	case in.Address == "bait":
		r.Refused, r.Trap = "5.1.1 account unknown", true
	case in.Address == "sales":
		r.Steps = []control.RouteStep{
			{Record: "what has no domain is of the main domain", Before: "sales", After: "sales@example.org"},
			{Line: 11, Record: "<sales> = bob@example.net", Before: "sales@example.org", After: "bob@example.net", Relay: "relaying granted"},
			{Line: 40, Record: "NoRelay: <b*@example.net> = b*@example.net", Before: "bob@example.net", After: "bob@example.net"},
			{Record: "final attempt", Before: "bob@example.net", After: "bob@example.net", Module: "SMTP", Attempt: 2},
		}
		r.Route, r.Module, r.Queue, r.To = "SMTP(example.net)bob@example.net", "SMTP", "example.net", "bob@example.net"
	default:
		r.Steps = []control.RouteStep{
			{Line: 3, Record: hostile, Before: in.Address, After: "ann%a.example@gate.example._via"},
			{Record: "first attempt", Before: "ann%a.example@gate.example._via", After: "ann@a.example", Module: "SMTP", Attempt: 1},
		}
		r.Route, r.Module, r.Queue, r.To, r.Relay = "SMTP(gate.example)ann@a.example", "SMTP", "gate.example", "ann@a.example", true
	}
	return r
}

func TestRoute(t *testing.T) {
	base := full().serve(t)
	for name, line := range map[string]string{
		"route-sender":         "route --sender <> ann@example.com x@bad.example",
		"route-sender-name":    "route --sender ann@example.com x@bad.example -o name",
		"route-columns":        "route sales ann@bad.example --columns address,queue,refused",
		"route-columns-json":   "route sales --columns address,relay -o json",
		"route-refused":        "route bait ann@bad.example",
		"route-no-headers-csv": "route sales -o csv --no-headers",
	} {
		t.Run(name, func(t *testing.T) {
			args := strings.Fields(line)
			golden(t, name, cgq(t, base, nil, args...), args)
		})
	}
	for _, form := range formats() {
		args := []string{"route", "sales", "ann@a.example", "ann@bad.example", "-o", form}
		t.Run(form, func(t *testing.T) { golden(t, "route-"+form, cgq(t, base, nil, args...), args) })
	}
}

func TestExitStatusOfRoute(t *testing.T) {
	runExitCases(t, []exitCase{
		{"it goes", "route sales", nil, exitDone, ""},
		{"refused", "route sales ann@bad.example", nil, exitFailed, ""},
		{"refused, as a table", "route ann@bad.example -o csv", nil, exitFailed, ""},
		{"a sender is refused", "route --sender ann@bad.example", nil, exitFailed, ""},
		{"nobody", "route", nil, exitUsage, "route ADDRESS"},
		{"no right", "route sales", func(d *daemon) { d.rights = nil }, exitNoRight, `"monitor"`},
		{"a fault", "route sales", func(d *daemon) { d.err = errLate }, exitFailed, "journal on fire"},
		{"no such column", "route sales --columns steps", nil, exitUsage, "refused"},
	})
	if got := cgq(t, full().serve(t), nil, "route", ""); got.status != exitUsage {
		t.Errorf("an empty address: %+v", got)
	}
	if got := cgq(t, t.TempDir(), nil, "route", "ann"); got.status != exitNoDaemon {
		t.Errorf("without a daemon: %+v", got)
	}
}
