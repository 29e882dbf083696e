// Package resolver asks the DNS for what mail needs: the mail exchangers of a domain
// and the addresses of a host. It keeps nothing.
package resolver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// A Resolver answers questions about names. Names are ASCII, without a dot at the
// end, in any case. It is safe for concurrent use.
type Resolver interface {
	// MX returns the hosts that take mail for domain, those to be tried first in
	// front. A domain that has none, but an address, is its own (RFC 5321 §5.1).
	// Errors match ErrNoDomain, ErrNullMX or ErrTemporary.
	MX(ctx context.Context, domain string) ([]MX, error)

	// IP returns the addresses of host, at least one. Errors match ErrNoDomain or
	// ErrTemporary.
	IP(ctx context.Context, host string) ([]netip.Addr, error)
}

// An MX is a host that takes mail. Of two, the one with the lower Preference is
// tried first; among equals the order says nothing.
type MX struct {
	Host       string // lower case, without a dot at the end
	Preference uint16
}

// What a question can come to beside an answer.
var (
	ErrNoDomain  = errors.New("no such domain")              // for good: neither hosts nor addresses
	ErrNullMX    = errors.New("the domain takes no mail")    // for good: RFC 7505
	ErrTemporary = errors.New("the DNS gives no answer now") // ask again later
)

// timeout bounds one question, whatever the DNS library tries for it.
const timeout = 30 * time.Second

// System returns the resolver that asks server, which is host or host:port, or the
// servers of the system when it is empty. Host names in /etc/hosts count.
func System(server string) Resolver {
	r := &net.Resolver{PreferGo: true}
	if server != "" {
		if _, _, err := net.SplitHostPort(server); err != nil {
			server = net.JoinHostPort(strings.Trim(server, "[]"), "53")
		}
		r.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, server)
		}
	}
	return &system{r}
}

type system struct{ net *net.Resolver }

func (s *system) MX(ctx context.Context, domain string) ([]MX, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	found, err := s.net.LookupMX(ctx, absolute(domain))
	if len(found) == 0 { // some bad names among good ones are an error, too
		if err = fault(domain, err); !errors.Is(err, ErrNoDomain) {
			return nil, err
		}
		// The library does not tell "no MX" from "no such name": its addresses do.
		if _, err := s.IP(ctx, domain); err != nil {
			return nil, err
		}
		return []MX{{Host: clean(domain)}}, nil
	}
	list := make([]MX, 0, len(found))
	for _, mx := range found {
		if host := clean(mx.Host); host != "" {
			list = append(list, MX{host, mx.Pref})
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: %w", domain, ErrNullMX)
	}
	slices.SortStableFunc(list, func(a, b MX) int { return cmp.Compare(a.Preference, b.Preference) })
	return list, nil
}

func (s *system) IP(ctx context.Context, host string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ips, err := s.net.LookupNetIP(ctx, "ip", absolute(host))
	if len(ips) == 0 {
		return nil, fault(host, err)
	}
	for i, ip := range ips {
		ips[i] = ip.Unmap()
	}
	return ips, nil
}

// fault says what an error of the library, or an answer without records, means.
func fault(name string, err error) error {
	dns := (*net.DNSError)(nil)
	if err == nil || errors.As(err, &dns) && dns.IsNotFound {
		return fmt.Errorf("%s: %w", name, ErrNoDomain)
	}
	if dns != nil { // it names the server of the system, whichever was asked
		return fmt.Errorf("%s: %w: %s", name, ErrTemporary, dns.Err)
	}
	return fmt.Errorf("%s: %w: %w", name, ErrTemporary, err)
}

// absolute keeps the search list of the system out of names with a dot.
func absolute(name string) string {
	if strings.Contains(name, ".") && !strings.HasSuffix(name, ".") {
		name += "."
	}
	return name
}

func clean(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

// Static is a Resolver for tests: it knows what stands in it, by names in lower
// case. It must not be changed while it is used.
type Static struct {
	Hosts  map[string][]MX
	Addrs  map[string][]netip.Addr
	Errors map[string]error // by name; before all others
}

// MX implements [Resolver].
func (s Static) MX(ctx context.Context, domain string) ([]MX, error) {
	name := clean(domain)
	if err := s.failure(ctx, name); err != nil {
		return nil, err
	}
	if list, ok := s.Hosts[name]; ok {
		return slices.Clone(list), nil
	}
	if _, err := s.IP(ctx, domain); err != nil {
		return nil, err
	}
	return []MX{{Host: name}}, nil
}

// IP implements [Resolver].
func (s Static) IP(ctx context.Context, host string) ([]netip.Addr, error) {
	name := clean(host)
	if err := s.failure(ctx, name); err != nil {
		return nil, err
	}
	if ips := s.Addrs[name]; len(ips) > 0 {
		return slices.Clone(ips), nil
	}
	return nil, fmt.Errorf("%s: %w", host, ErrNoDomain)
}

func (s Static) failure(ctx context.Context, name string) error {
	switch err := s.Errors[name]; {
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w: %w", name, ErrTemporary, ctx.Err())
	case err != nil:
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
