package resolver_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/foxcpp/go-mockdns"

	"cgq/pkg/resolver"
)

var (
	v4 = netip.MustParseAddr("192.0.2.1")
	v6 = netip.MustParseAddr("2001:db8::1")
)

// server answers for a few zones.
func server(t *testing.T) resolver.Resolver {
	t.Helper()
	srv, err := mockdns.NewServerWithLogger(map[string]mockdns.Zone{
		"two.example.":     {MX: []net.MX{{Host: "b.two.example.", Pref: 20}, {Host: "A.two.example.", Pref: 10}}},
		"null.example.":    {MX: []net.MX{{Host: ".", Pref: 0}}},
		"address.example.": {A: []string{"192.0.2.1"}, AAAA: []string{"2001:db8::1"}},
		"text.example.":    {TXT: []string{"neither MX nor address"}},
		"broken.example.":  {Err: errors.New("no")},
	}, log.New(io.Discard, "", 0), false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	return resolver.System(srv.LocalAddr().String())
}

// static answers the same.
var static = resolver.Static{
	Hosts: map[string][]resolver.MX{"two.example": {{Host: "a.two.example", Preference: 10}, {Host: "b.two.example",
		Preference: 20}}},
	Addrs:  map[string][]netip.Addr{"address.example": {v4, v6}},
	Errors: map[string]error{"null.example": resolver.ErrNullMX, "broken.example": resolver.ErrTemporary},
}

func TestMX(t *testing.T) {
	for name, r := range map[string]resolver.Resolver{"System": server(t), "Static": static} {
		for _, tt := range []struct {
			domain string
			want   []resolver.MX
			err    error
		}{
			{"two.example", []resolver.MX{{Host: "a.two.example", Preference: 10}, {Host: "b.two.example", Preference: 20}},
				nil},
			{"TWO.Example", []resolver.MX{{Host: "a.two.example", Preference: 10}, {Host: "b.two.example", Preference: 20}},
				nil},
			{"null.example", nil, resolver.ErrNullMX},
			{"address.example", []resolver.MX{{Host: "address.example"}}, nil},
			{"text.example", nil, resolver.ErrNoDomain},
			{"none.example", nil, resolver.ErrNoDomain},
			{"broken.example", nil, resolver.ErrTemporary},
		} {
			got, err := r.MX(context.Background(), tt.domain)
			if !slices.Equal(got, tt.want) || !errors.Is(err, tt.err) {
				t.Errorf("%s: MX(%s) = %v, %v; want %v, %v", name, tt.domain, got, err, tt.want, tt.err)
			}
		}
	}
}

func TestIP(t *testing.T) {
	for name, r := range map[string]resolver.Resolver{"System": server(t), "Static": static} {
		for _, tt := range []struct {
			host string
			want []netip.Addr
			err  error
		}{
			{"address.example", []netip.Addr{v4, v6}, nil},
			{"text.example", nil, resolver.ErrNoDomain},
			{"none.example", nil, resolver.ErrNoDomain},
			{"broken.example", nil, resolver.ErrTemporary},
		} {
			got, err := r.IP(context.Background(), tt.host)
			slices.SortFunc(got, netip.Addr.Compare)
			if !slices.Equal(got, tt.want) || !errors.Is(err, tt.err) {
				t.Errorf("%s: IP(%s) = %v, %v; want %v, %v", name, tt.host, got, err, tt.want, tt.err)
			}
		}
	}
}

func TestEndedContextIsTemporary(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for name, r := range map[string]resolver.Resolver{"System": server(t), "Static": static} {
		if _, err := r.MX(ctx, "two.example"); !errors.Is(err, resolver.ErrTemporary) {
			t.Errorf("%s: MX = %v; want ErrTemporary", name, err)
		}
		if _, err := r.IP(ctx, "address.example"); !errors.Is(err, resolver.ErrTemporary) {
			t.Errorf("%s: IP = %v; want ErrTemporary", name, err)
		}
	}
}

func TestServerThatIsNotThereIsTemporary(t *testing.T) {
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.LocalAddr().String()
	l.Close()
	if _, err := resolver.System(addr).MX(context.Background(), "two.example"); !errors.Is(err, resolver.ErrTemporary) {
		t.Errorf("MX = %v; want ErrTemporary", err)
	}
}

func TestHostsFileCounts(t *testing.T) {
	got, err := resolver.System("127.0.0.1:1").IP(context.Background(), "localhost")
	if err != nil || !slices.ContainsFunc(got, netip.Addr.IsLoopback) {
		t.Errorf("IP(localhost) = %v, %v; want a loopback address", got, err)
	}
}
