package smtp

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"strings"

	gosmtp "github.com/emersion/go-smtp"

	"cgq/pkg/mail"
	"cgq/pkg/resolver"
	"cgq/pkg/serverlog"
)

const maxAddresses = 10 // tried in one attempt

// connect gets a connection for the queue: one that waits, or a new one to the first
// host that answers. It returns what happened when there is none: Failed is for good.
// A context that ended is not told apart.
func (w *work) connect() *mail.Result {
	key := w.q.Name() + "\n" + w.settings.Relay
	l, err := w.m.acquire(w.ctx, key, w.settings)
	if l != nil {
		w.link = l
		l.bind(w.ctx)
		return nil
	}
	if err != nil {
		return temporary(4, 2, "", why(err))
	}
	l, r := w.open()
	if l == nil {
		w.m.free(key)
		w.m.log.Warn("no connection for " + w.q.Name() + ": " + r.String())
		return r
	}
	l.key = key
	w.link = l
	return nil
}

func temporary(subject, detail uint16, host, text string) *mail.Result {
	return &mail.Result{Action: mail.Delayed, Status: mail.Status{4, subject, detail}, Text: text, MTA: host}
}

func permanent(subject, detail uint16, text string) *mail.Result {
	return &mail.Result{Action: mail.Failed, Status: mail.Status{5, subject, detail}, Text: text}
}

// A target is a host to try.
type target struct {
	host string
	ips  []netip.Addr // empty: to be asked for
	port string
}

// open tries the hosts of the queue, address by address.
func (w *work) open() (*link, *mail.Result) {
	targets, r := w.targets()
	left := maxAddresses
	for _, tg := range targets {
		ips := tg.ips
		if len(ips) == 0 {
			var err error
			if ips, err = w.m.resolver.IP(w.ctx, tg.host); err != nil {
				r = w.noAddress(tg.host, err, r)
				continue
			}
		}
		for _, ip := range ips {
			if left--; left < 0 || w.ctx.Err() != nil {
				return nil, cmp.Or(r, temporary(4, 1, tg.host, "stopped"))
			}
			var l *link
			if l, r = w.try(tg, ip); l != nil {
				return l, nil
			}
		}
	}
	return nil, r
}

// noAddress is the result for a host without address. Only when no host of a domain
// has one, the domain is wrong for good; a relay, and a host that the Router table names
// with its port, is a setting, and can be mended.
func (w *work) noAddress(host string, err error, before *mail.Result) *mail.Result {
	switch {
	case before != nil && !before.Final():
		return before
	case errors.Is(err, resolver.ErrNoDomain) && w.settings.Relay == "" && !mail.IsHop(w.q.Name()):
		return permanent(4, 4, "host "+host+" has no address")
	}
	return temporary(4, 3, host, oneLine(err.Error(), maxSaid))
}

// targets returns the hosts in the order to try them (RFC 5321 §5.1). A queue that names
// a port is for that host alone: no MX, and no relay (chapter: Router).
func (w *work) targets() ([]target, *mail.Result) {
	name := w.q.Name()
	hop, named := mail.ParseHop(name)
	switch {
	case named && hop.Port > 0:
		tg := target{host: hop.Host, port: strconv.Itoa(hop.Port)}
		if hop.IP.IsValid() {
			tg.ips = []netip.Addr{hop.IP}
		}
		return []target{tg}, nil
	case w.settings.Relay != "":
		host, port, err := w.settings.relay()
		if err != nil {
			return nil, temporary(3, 5, "", err.Error())
		}
		tg := target{host: host, port: strconv.Itoa(port)}
		if ip, err := netip.ParseAddr(host); err == nil {
			tg.ips = []netip.Addr{ip}
		}
		return []target{tg}, nil
	case named:
		return []target{{host: name, ips: []netip.Addr{hop.IP}, port: w.m.port}}, nil
	case mail.IsHop(name):
		return nil, permanent(1, 2, "not a name of a host")
	}
	list, err := w.m.resolver.MX(w.ctx, name)
	switch {
	case errors.Is(err, resolver.ErrNullMX): // RFC 7505 §4.2
		return nil, permanent(1, 10, "the domain "+name+" takes no mail")
	case errors.Is(err, resolver.ErrNoDomain):
		return nil, permanent(1, 2, "the domain "+name+" does not exist")
	case err != nil:
		return nil, temporary(4, 3, "", oneLine(err.Error(), maxSaid))
	}
	if list = w.m.withoutUs(list); len(list) == 0 {
		return nil, permanent(4, 6, "mail for "+name+" loops back to us")
	}
	shuffle(list)
	targets := make([]target, len(list))
	for i, mx := range list {
		targets[i] = target{host: mx.Host, port: w.m.port}
	}
	return targets, nil
}

// withoutUs drops this server from the hosts, and all that are no better than it
// (RFC 5321 §5.1): else mail goes round and round.
func (m *Module) withoutUs(list []resolver.MX) []resolver.MX {
	own := strings.ToLower(m.domain())
	for _, mx := range list {
		if mx.Host != own {
			continue
		}
		better := list[:0:0]
		for _, other := range list {
			if other.Preference < mx.Preference {
				better = append(better, other)
			}
		}
		return better
	}
	return list
}

// shuffle spreads the load over hosts of the same preference (RFC 5321 §5.1).
func shuffle(list []resolver.MX) {
	for begin := 0; begin < len(list); {
		end := begin + 1
		for end < len(list) && list[end].Preference == list[begin].Preference {
			end++
		}
		equal := list[begin:end]
		rand.Shuffle(len(equal), func(i, j int) { equal[i], equal[j] = equal[j], equal[i] })
		begin = end
	}
}

// try makes a connection with one address of a host.
func (w *work) try(tg target, ip netip.Addr) (*link, *mail.Result) {
	address := net.JoinHostPort(ip.String(), tg.port)
	ctx, cancel := context.WithTimeout(w.ctx, w.settings.ConnectTimeout.D())
	sock, err := w.m.dial(ctx, "tcp", address)
	cancel()
	if err != nil {
		name := tg.host + " " + address
		if tg.host == ip.String() {
			name = address
		}
		return nil, temporary(4, 1, tg.host, "no connection with "+name+": "+why(err))
	}
	w.m.total.Add(1)
	w.m.active.Add(1)
	l := &link{
		Conn: sock, host: tg.host, settings: w.settings,
		log: serverlog.Session(w.m.log, w.m.sessions.Add(1), w.q.Name()),
	}
	l.closed = func() { w.m.active.Add(-1) }
	if l.log.Enabled(w.ctx, serverlog.Low) {
		l.log.Info("connected " + endpoint(sock.LocalAddr()) + " -> " + endpoint(sock.RemoteAddr()) + ", " + tg.host)
	}
	l.bind(w.ctx)
	name := cmp.Or(w.settings.Helo, w.m.domain())
	if err := l.greet(name); err != nil {
		l.unbind()
		_ = l.Close()
		return nil, ungreeted(tg.host, err)
	}
	return l, nil
}

// ungreeted is the result for a host that did not take us. A 5yz in place of a
// greeting may be meant for us or for all: it does not cost a message.
func ungreeted(host string, err error) *mail.Result {
	said := (*gosmtp.SMTPError)(nil)
	if !errors.As(err, &said) {
		return temporary(4, 2, host, "connection with "+host+" is broken: "+why(err))
	}
	text := oneLine(strconv.Itoa(said.Code)+" "+strings.ReplaceAll(said.Message, "\n", " "), maxSaid)
	r := temporary(4, 2, host, "host "+host+" refuses the session: "+text)
	if e := said.EnhancedCode; said.Code/100 == 4 {
		r.Code = said.Code
		if e[0] == 4 && e[1] >= 0 && e[2] >= 0 && e[1] < 1000 && e[2] < 1000 {
			r.Status = mail.Status{4, uint16(e[1]), uint16(e[2])}
		}
	}
	return r
}
