package admin_test

import (
	"context"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"cgq/pkg/control"
	"cgq/pkg/module"
)

// What a module says of a host queue comes to who asks, whole, and it has two seconds for it.
func TestWhatAModuleSays(t *testing.T) {
	h := newHouse(t)
	h.put(t, "x@slow.example")
	begin := time.Date(2026, 11, 23, 22, 15, 1, 0, time.UTC)
	asked := ""
	h.hands.says = func(ctx context.Context, queue string) module.Explanation {
		asked = queue
		if at, ok := ctx.Deadline(); !ok || time.Until(at) > 2*time.Second {
			t.Errorf("it has until %s, want two seconds", at)
		}
		return module.Explanation{Way: module.ByMX, TLS: module.NoTLS, Notes: []string{"and one host more"}, NoHosts: "no",
			Hosts: []module.Host{{Name: "mx", Preference: 10, Port: "25", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}},
				{Name: "mx2", Error: "no address"}},
			Connections: module.Connections{Queue: 2, QueueLimit: 20, Idle: 1, All: 3, Limit: 200}, Since: begin,
			Tries: []module.Try{{Begin: begin, Took: 1234567 * time.Microsecond, Host: "mx", Address: "192.0.2.1:25", Step: module.StepRCPT,
				Outcome: module.Deferred, Reply: "450 \x1b[2J", Messages: 3, Refusals: 2, Open: true}}}
	}
	ask := func() control.Explanation {
		t.Helper()
		e, err := control.QueueExplain.Do(t.Context(), h.client, control.QueueName{Module: "SMTP", Queue: "slow.example"})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	got := ask()
	said := control.Explanation{Way: got.Way, Hosts: got.Hosts, NoHosts: got.NoHosts, TLS: got.TLS, Connections: got.Connections,
		Tries: got.Tries, TriesSince: got.TriesSince, Notes: got.Notes}
	want := control.Explanation{Way: "mx", TLS: "none", Notes: []string{"and one host more"}, NoHosts: "no",
		Hosts: []control.HostRow{{Host: "mx", Preference: 10, Port: "25", Addresses: []string{"192.0.2.1"}},
			{Host: "mx2", Addresses: []string{}, Error: "no address"}},
		Connections: &control.Connections{Open: 2, Idle: 1, Limit: 20, ModuleOpen: 3, ModuleLimit: 200}, TriesSince: begin,
		Tries: []control.TryRow{{Begin: begin, Took: 1.235, Host: "mx", Address: "192.0.2.1:25", Step: "rcpt", Outcome: "delayed",
			Reply: "450 \x1b[2J", Messages: 3, Refusals: 2, Open: true}}}
	if !reflect.DeepEqual(said, want) || asked != "slow.example" {
		t.Errorf("of %q: got\n%+v\nwant\n%+v", asked, said, want)
	}

	h.hands.says = nil
	if got := ask(); got.Way != "" || got.Connections != nil || got.Hosts == nil || got.Tries == nil || got.Notes == nil || !got.TriesSince.IsZero() {
		t.Errorf("of a module that says nothing: %+v; want empty lists and nothing else", got)
	}
}

// The words of the protocol are those of the plug.
func TestWordsOfExplanations(t *testing.T) {
	words := func(all ...any) (words []string) {
		for _, w := range all {
			words = append(words, reflect.ValueOf(w).String())
		}
		return words
	}
	for _, tt := range []struct{ plug, protocol []string }{
		{words(module.ByMX, module.ByRelay, module.ByAddress, module.ByRouter), control.Ways()},
		{words(module.NoTLS), control.TLSPolicies()},
		{words(module.StepDNS, module.StepConnect, module.StepGreeting, module.StepEHLO, module.StepMAIL, module.StepRCPT, module.StepDATA,
			module.StepText, module.StepEnd, module.StepRSET), control.TrySteps()},
		{words(module.Connected, module.Sent, module.Deferred, module.Refused, module.Broken), control.TryOutcomes()},
	} {
		if !slices.Equal(tt.plug, tt.protocol) {
			t.Errorf("%q and %q", tt.plug, tt.protocol)
		}
	}
}
