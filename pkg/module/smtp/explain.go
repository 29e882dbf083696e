package smtp

import (
	"context"
	"fmt"
	"sync"

	"cgq/pkg/mail"
	"cgq/pkg/module"
)

const (
	maxHostsShown = 20 // an attempt tries no more than maxAddresses addresses
	unanswered    = "the DNS has not answered yet; an attempt waits longer"
)

// Explain implements [module.Explainer].
func (m *Module) Explain(ctx context.Context, queue string) module.Explanation {
	s := &m.settings.Load().Send
	to, r := m.way(ctx, s, queue)
	e := module.Explanation{Way: to.by, TLS: module.NoTLS, Connections: m.pool.count(queue, s)}
	e.Tries, e.Since = m.tries.of(queue)
	if r != nil {
		e.NoHosts = told(ctx, r)
	}
	var finding sync.WaitGroup
	e.Hosts = make([]module.Host, min(len(to.targets), maxHostsShown))
	for i := range e.Hosts {
		tg := to.targets[i]
		e.Hosts[i] = module.Host{Name: tg.host, Preference: int(tg.preference), Port: tg.port}
		finding.Go(func() {
			ips, r := m.addresses(ctx, s, queue, tg)
			e.Hosts[i].Addresses = ips[:min(len(ips), maxAddresses)]
			if r != nil {
				e.Hosts[i].Error = told(ctx, r)
			}
		})
	}
	finding.Wait()
	e.Notes = to.notes()
	addresses := 0
	for _, h := range e.Hosts {
		addresses += len(h.Addresses)
	}
	if addresses > maxAddresses {
		e.Notes = append(e.Notes, fmt.Sprintf("an attempt tries the first %d addresses", maxAddresses))
	}
	return e
}

// told is a result of the DNS, for one who did not have the time that an attempt has.
func told(ctx context.Context, r *mail.Result) string {
	if ctx.Err() != nil && !r.Final() {
		return unanswered
	}
	return r.Text
}

// notes is what there is to say about hosts that are not shown.
func (w *way) notes() (all []string) {
	if more := len(w.targets) - maxHostsShown; more > 0 {
		all = append(all, fmt.Sprintf("and %d hosts more", more))
	}
	if len(w.omitted) > 0 {
		names := ""
		for i, mx := range w.omitted[:min(len(w.omitted), maxHostsShown)] {
			if i > 0 {
				names += ", "
			}
			names += fmt.Sprintf("%d %s", mx.Preference, mx.Host)
		}
		all = append(all, "not tried, since this server is one of the hosts and mail would come back: "+oneLine(names, maxSaid))
	}
	return all
}

// count is the connections of a queue.
func (p *pool) count(queue string, s *Send) module.Connections {
	key := poolKey(queue, s)
	p.mu.Lock()
	defer p.mu.Unlock()
	return module.Connections{Queue: p.open[key], QueueLimit: s.QueueChannels, Idle: len(p.idle[key]), All: p.total, Limit: s.Channels}
}
