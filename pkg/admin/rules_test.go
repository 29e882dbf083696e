package admin_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"cgq/pkg/admin"
	"cgq/pkg/control"
	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/rules"
)

// ruled is what the requests about Rules need.
func (h *house) ruled() admin.Rules {
	set, err := rules.Compile(&rules.File{Lists: map[string][]string{"bad": {"*@bad.example"}}, Rules: []rules.Rule{
		{Name: "tag", Priority: 9, Conditions: [][]string{{"From", "in", "#bad"}, {"Source", "not in", "trusted"}}, Actions: [][]string{{"Tag Subject", "[bad]"}}},
		{Name: "out", Priority: 5, Conditions: [][]string{{"Any Route", "is", "SMTP*"}}, Actions: [][]string{{"Reply with", "no"}, {"Discard"}}},
		{Name: "off", Actions: [][]string{{"Discard"}}},
	}})
	if err != nil {
		panic(err)
	}
	return admin.Rules{
		Live: func() *rules.Set { return set },
		Route: func(_ context.Context, a mail.Address) (string, error) {
			if a.Domain == "gone.example" {
				return "", module.Reject(5, 1, 1, "no such host")
			}
			return "SMTP(" + a.Domain + ")" + a.String(), nil
		},
		Client:  func(ip netip.Addr) bool { return ip == netip.MustParseAddr("192.0.2.1") },
		Replace: func(_ context.Context, _ control.Actor, text []byte) error { h.replaced = string(text); return nil },
	}
}

func kind(err error) control.Kind {
	e, _ := errors.AsType[*control.Error](err)
	if e == nil {
		return ""
	}
	return e.Kind
}

func TestRulesListAndShow(t *testing.T) {
	h := newHouse(t)
	var names []string
	for row, err := range control.RulesList.Do(t.Context(), h.client, control.Nothing{}) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, row.Priority+" "+row.Name)
	}
	if got := strings.Join(names, ", "); got != "9 tag, 5 out, inactive off" {
		t.Errorf("got %s", got)
	}
	one, err := control.RulesShow.Do(t.Context(), h.client, control.RuleName{Name: "TAG"})
	if err != nil || len(one.Rules) != 1 || !strings.HasPrefix(one.Text, "[[rule]]\nname = \"tag\"") {
		t.Errorf("%+v, %v", one, err)
	}
	all, err := control.RulesShow.Do(t.Context(), h.client, control.RuleName{})
	if err != nil || len(all.Rules) != 3 || len(all.Lists["bad"]) != 1 || !strings.Contains(all.Text, "[lists]") {
		t.Errorf("%+v, %v", all, err)
	}
	if _, err := control.RulesShow.Do(t.Context(), h.client, control.RuleName{Name: "x"}); kind(err) != control.KindNoSuchRule {
		t.Errorf("none: %v", err)
	}
}

func TestRulesTest(t *testing.T) {
	h := newHouse(t)
	head := []byte("From: Eve <eve@bad.example>\r\nTo: ann@a.example, x@gone.example\r\nSubject: hi\r\n\r\n")
	for _, tt := range []struct {
		name   string
		q      control.RulesQuery
		states string
		acts   string
	}{
		{"as the header has it", control.RulesQuery{}, "met, met, inactive", "Tag Subject [bad]; Reply with no; Discard"},
		{"a client", control.RulesQuery{IP: "192.0.2.1"}, "not met, met, inactive", "Reply with no; Discard"},
		{"as a client", control.RulesQuery{Client: true, IP: "192.0.2.9"}, "not met, met, inactive", "Reply with no; Discard"},
		{"made here", control.RulesQuery{Source: "list"}, "not met, met, inactive", "Reply with no; Discard"},
		{"a bounce to nobody", control.RulesQuery{From: "<>", To: []string{"x@gone.example"}}, "met, not met, inactive", "Tag Subject [bad]"},
		{"others", control.RulesQuery{Rules: []byte("[[rule]]\nname = \"r\"\npriority = 1\nactions = [[\"Discard\"]]\n")}, "met", "Discard"},
	} {
		tt.q.Header, tt.q.Size = head, 100
		got, err := control.RulesTest.Do(t.Context(), h.client, tt.q)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		var states, acts []string
		for _, r := range got.Rules {
			states = append(states, r.State)
		}
		for _, a := range got.Actions {
			acts = append(acts, strings.Join(a.Action, " "))
		}
		if strings.Join(states, ", ") != tt.states || strings.Join(acts, "; ") != tt.acts {
			t.Errorf("%s: %q %q, want %s; %s", tt.name, states, acts, tt.states, tt.acts)
		}
	}
	for want, q := range map[string]control.RulesQuery{
		"no message":             {},
		"from: not an address":   {Header: head, From: "a b"},
		"to: not an address":     {Header: head, To: []string{""}},
		"no Submit Address tag":  {Header: head, Source: "fax"},
		"no network address":     {Header: head, IP: "x"},
		"my.toml:1: rule: ":      {Header: head, File: "my.toml", Rules: []byte("rule = 5")},
		"my.toml: rule[1].name:": {Header: head, File: "my.toml", Rules: []byte("[[rule]]")},
	} {
		if _, err := control.RulesTest.Do(t.Context(), h.client, q); kind(err) != control.KindBadRequest || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestRulesImport(t *testing.T) {
	h := newHouse(t)
	do := func(text string, write bool) (control.RulesImported, error) {
		return control.RulesImport.Do(t.Context(), h.client, control.RulesText{Text: []byte(text), Write: write})
	}
	if got, err := do(`((1,a,(),((Discard))))`, false); err != nil || got.Rules != 1 || got.Written || h.replaced != "" {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := do(`((1,a,(),((Discard))),(1,b,(),((Mark,Seen))))`, true); err != nil || len(got.Problems) != 1 || got.Written || h.replaced != "" {
		t.Errorf("not all can be taken: %+v, %v", got, err)
	}
	if got, err := do(`((1,a,(),((Discard))))`, true); err != nil || !got.Written || h.replaced != got.Text {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := do(`((1,a`, true); kind(err) != control.KindBadRequest {
		t.Errorf("%v", err)
	}
}
