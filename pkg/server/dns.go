package server

import (
	"context"
	"net/netip"
	"sync/atomic"

	"cgq/pkg/resolver"
)

// names asks the DNS server that is set just now.
type names struct{ now atomic.Pointer[asked] }

// asked is a resolver with the setting that it is of.
type asked struct {
	resolver.Resolver
	server string
}

// use asks another server from now on.
func (n *names) use(server string) {
	if old := n.now.Load(); old == nil || old.server != server {
		n.now.Store(&asked{resolver.System(server), server})
	}
}

// MX implements [resolver.Resolver].
func (n *names) MX(ctx context.Context, domain string) ([]resolver.MX, error) {
	return n.now.Load().MX(ctx, domain)
}

// IP implements [resolver.Resolver].
func (n *names) IP(ctx context.Context, host string) ([]netip.Addr, error) {
	return n.now.Load().IP(ctx, host)
}
