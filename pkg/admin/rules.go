package admin

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"iter"
	"net/netip"
	"strings"
	"time"

	"cgq/pkg/control"
	"cgq/pkg/mail"
	"cgq/pkg/rules"
	"cgq/pkg/serverlog"
	"cgq/pkg/settings"
)

// Rules is what the requests about Rules need of the daemon.
type Rules struct {
	Live    func() *rules.Set
	Route   func(context.Context, mail.Address) (string, error)             // MODULE(queue)address
	Client  func(netip.Addr) bool                                           // chapter: Client IP Addresses
	Replace func(ctx context.Context, who control.Actor, text []byte) error // puts a file live, or changes nothing
}

func ruleRow(r rules.Rule) control.RuleRow {
	row := control.RuleRow{Name: r.Name, Priority: r.Priority.String(), Conditions: r.Conditions, Actions: r.Actions}
	if row.Conditions == nil {
		row.Conditions = [][]string{}
	}
	return row
}

func (s *Server) rulesList(context.Context, control.Actor, control.Nothing) iter.Seq2[control.RuleRow, error] {
	return func(yield func(control.RuleRow, error) bool) {
		for _, r := range s.Rules.Live().Rules() {
			if !yield(ruleRow(r), nil) {
				return
			}
		}
	}
}

func (s *Server) rulesShow(_ context.Context, _ control.Actor, in control.RuleName) (control.RuleFile, error) {
	live := s.Rules.Live()
	file := live.File()
	out := control.RuleFile{Rules: []control.RuleRow{}, Lists: file.Lists, Text: file.TOML()}
	for _, r := range live.Rules() {
		if in.Name == "" {
			out.Rules = append(out.Rules, ruleRow(r))
		} else if strings.EqualFold(r.Name, in.Name) {
			return control.RuleFile{Rules: []control.RuleRow{ruleRow(r)}, Lists: map[string][]string{}, Text: r.TOML()}, nil
		}
	}
	if in.Name != "" {
		return out, control.Errorf(control.KindNoSuchRule, "cgq rules list shows all", "no Rule %q", in.Name)
	}
	return out, nil
}

func (s *Server) rulesTest(ctx context.Context, _ control.Actor, in control.RulesQuery) (out control.RulesReport, err error) {
	set := s.Rules.Live()
	if in.Rules != nil {
		f := &rules.File{}
		if err := settings.Decode(cmp.Or(in.File, "rules.toml"), in.Rules, f); err != nil {
			return out, control.Errorf(control.KindBadRequest, "", "%v", err)
		}
		if set, err = rules.Compile(f); err != nil {
			return out, control.Errorf(control.KindBadRequest, "", "%v", err)
		}
	}
	m, err := s.tested(in)
	if err != nil {
		return out, err
	}
	out = control.RulesReport{From: m.Envelope.ReturnPath.String(), Source: m.Envelope.Source.String(),
		Recipients: []control.RuleRoute{}, Rules: []control.RuleVerdict{}, Actions: []control.RuleAction{}}
	for _, r := range m.Envelope.Recipients {
		to := control.RuleRoute{Address: r.Address.String()}
		route, err := s.Rules.Route(ctx, r.Address)
		if err != nil {
			to.Refused = err.Error()
		} else {
			to.Route = route
			m.Routes = append(m.Routes, route)
		}
		out.Recipients = append(out.Recipients, to)
	}
	for _, v := range set.Explain(m) {
		out.Rules = append(out.Rules, verdict(v))
		for _, a := range v.Actions {
			row := control.RuleAction{Rule: v.Rule, Action: words(a)}
			if _, err := a.Make(m, "localhost", "1"); err != nil {
				row.Note = err.Error()
			}
			out.Actions = append(out.Actions, row)
			out.Ended = out.Ended || a.Kind.Ends()
		}
	}
	return out, nil
}

// words is an action as it is written.
func words(a rules.Action) []string {
	if a.Param == "" {
		return []string{a.Kind.String()}
	}
	return []string{a.Kind.String(), a.Param}
}

func verdict(v rules.Verdict) control.RuleVerdict {
	row := control.RuleVerdict{Name: v.Rule, Priority: v.Priority.String(), State: string(v.State),
		Conditions: []control.ConditionTest{}, Actions: [][]string{}}
	for _, c := range v.Conditions {
		row.Conditions = append(row.Conditions, control.ConditionTest{Condition: c.Condition, Holds: c.Holds, Value: c.Value})
	}
	for _, a := range v.Actions {
		row.Actions = append(row.Actions, words(a))
	}
	return row
}

// tested is the message that a query is about.
func (s *Server) tested(in control.RulesQuery) (*rules.Message, error) {
	m := &rules.Message{Header: bytes.ReplaceAll(in.Header, []byte("\r\n"), []byte("\n")), Size: in.Size, Client: in.Client, Now: time.Now()}
	m.Envelope = rules.Guess(m.Header)
	m.Envelope.Auth = in.Auth
	if in.From != "" {
		from, err := mail.ParsePath(in.From)
		if err != nil {
			return nil, control.Errorf(control.KindBadRequest, "", "from: %v", err)
		}
		m.Envelope.ReturnPath = from
	}
	if len(in.To) > 0 {
		m.Envelope.Recipients = nil
	}
	for _, text := range in.To {
		to, err := mail.ParseAddress(text)
		if err != nil {
			return nil, control.Errorf(control.KindBadRequest, "", "to: %v", err)
		}
		m.Envelope.Recipients = append(m.Envelope.Recipients, mail.Recipient{Address: to})
	}
	source, ok := mail.ParseSource(strings.ToUpper(cmp.Or(in.Source, "SMTP")))
	if !ok {
		return nil, control.Errorf(control.KindBadRequest, "such as SMTP, PIPE, DSN or LIST", "%q is no Submit Address tag", in.Source)
	}
	m.Envelope.Source = source
	if in.IP != "" {
		ip, err := netip.ParseAddr(strings.Trim(in.IP, "[]"))
		if err != nil {
			return nil, control.Errorf(control.KindBadRequest, "write it as 192.0.2.1", "%q is no network address", in.IP)
		}
		m.Envelope.Peer = ip.Unmap()
		m.Client = m.Client || s.Rules.Client(ip.Unmap())
	}
	return m, nil
}

func (s *Server) rulesImport(ctx context.Context, who control.Actor, in control.RulesText) (out control.RulesImported, err error) {
	f, problems := rules.Import(in.Text)
	if f == nil {
		return out, control.Errorf(control.KindBadRequest, "it is Settings/Rules.settings of the product that can be read", "%v", problems)
	}
	out = control.RulesImported{Text: f.TOML(), Rules: len(f.Rules), Problems: []string{}}
	var joined interface{ Unwrap() []error }
	if errors.As(problems, &joined) {
		for _, p := range joined.Unwrap() {
			out.Problems = append(out.Problems, p.Error())
		}
	}
	if !in.Write || len(out.Problems) > 0 {
		return out, nil
	}
	if err := s.Rules.Replace(ctx, who, []byte(out.Text)); err != nil {
		return out, err
	}
	out.Written = true
	s.Audit.Log(ctx, serverlog.Major, "the Rules were replaced by "+who.Name, "rules", out.Rules, "uid", who.UID, "pid", who.PID)
	return out, nil
}
