package smtp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/resolver"
	"cgq/pkg/serverlog"
)

const maxAddresses = 10 // tried in one attempt

// connect gets a connection for the queue: one that waits, or a new one to the first
// host that answers. It returns what happened when there is none: Failed is for good.
// A context that ended is not told apart.
func (w *work) connect() *mail.Result {
	key := poolKey(w.q.Name(), w.settings)
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
	host       string
	preference uint16       // of an MX
	ips        []netip.Addr // empty: to be asked for
	port       string
}

// open tries the hosts of the queue, address by address.
func (w *work) open() (*link, *mail.Result) {
	begin, name := time.Now(), w.q.Name()
	to, r := w.m.way(w.ctx, w.settings, name)
	if r != nil && w.ctx.Err() == nil {
		w.m.tries.unfound(name, name, begin, r)
	}
	shuffle(to.targets)
	left := maxAddresses
	for _, tg := range to.targets {
		begin := time.Now()
		ips, wrong := w.m.addresses(w.ctx, w.settings, name, tg)
		if wrong != nil {
			if w.ctx.Err() == nil {
				w.m.tries.unfound(name, tg.host, begin, wrong)
			}
			if r == nil || r.Final() {
				r = wrong
			}
			continue
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

// addresses returns those of a host, or what it means that it has none. Only when no host
// of a domain has one, the domain is wrong for good; a relay, and a host that the Router
// table names with its port, is a setting, and can be mended.
func (m *Module) addresses(ctx context.Context, s *Send, queue string, tg target) ([]netip.Addr, *mail.Result) {
	if len(tg.ips) > 0 {
		return tg.ips, nil
	}
	ips, err := m.resolver.IP(ctx, tg.host)
	switch {
	case err == nil:
		return ips, nil
	case errors.Is(err, resolver.ErrNoDomain) && s.Relay == "" && !mail.IsHop(queue):
		return nil, permanent(4, 4, "host "+tg.host+" has no address")
	}
	return nil, temporary(4, 3, tg.host, oneLine(err.Error(), maxSaid))
}

// A way is where the mail of a queue goes.
type way struct {
	by      module.Way
	targets []target      // in the order to try them; of those with the same preference any
	omitted []resolver.MX // since this server is one of them
}

// way finds the hosts of a queue (RFC 5321 §5.1). A queue that names a port is for that
// host alone: no MX, and no relay (chapter: Router).
func (m *Module) way(ctx context.Context, s *Send, name string) (to way, r *mail.Result) {
	hop, named := mail.ParseHop(name)
	switch {
	case named && hop.Port > 0:
		tg := target{host: hop.Host, port: strconv.Itoa(hop.Port)}
		if hop.IP.IsValid() {
			tg.ips = []netip.Addr{hop.IP}
		}
		return way{by: module.ByRouter, targets: []target{tg}}, nil
	case s.Relay != "":
		to.by = module.ByRelay
		host, port, err := s.relay()
		if err != nil {
			return to, temporary(3, 5, "", err.Error())
		}
		tg := target{host: host, port: strconv.Itoa(port)}
		if ip, err := netip.ParseAddr(host); err == nil {
			tg.ips = []netip.Addr{ip}
		}
		to.targets = []target{tg}
		return to, nil
	case named:
		return way{by: module.ByAddress, targets: []target{{host: name, ips: []netip.Addr{hop.IP}, port: m.port}}}, nil
	case mail.IsHop(name):
		return way{by: module.ByAddress}, permanent(1, 2, "not a name of a host")
	}
	to.by = module.ByMX
	list, err := m.resolver.MX(ctx, name)
	switch {
	case errors.Is(err, resolver.ErrNullMX): // RFC 7505 §4.2
		return to, permanent(1, 10, "the domain "+name+" takes no mail")
	case errors.Is(err, resolver.ErrNoDomain):
		return to, permanent(1, 2, "the domain "+name+" does not exist")
	case err != nil:
		return to, temporary(4, 3, "", oneLine(err.Error(), maxSaid))
	}
	list, to.omitted = m.withoutUs(list)
	if len(list) == 0 {
		return to, permanent(4, 6, "mail for "+name+" loops back to us")
	}
	for _, mx := range list {
		to.targets = append(to.targets, target{host: mx.Host, preference: mx.Preference, port: m.port})
	}
	return to, nil
}

// withoutUs takes this server out of the hosts, and all that are no better than it
// (RFC 5321 §5.1): else mail goes round and round.
func (m *Module) withoutUs(list []resolver.MX) (better, omitted []resolver.MX) {
	own := strings.ToLower(m.domain())
	us := slices.IndexFunc(list, func(mx resolver.MX) bool { return mx.Host == own })
	if us < 0 {
		return list, nil
	}
	for _, mx := range list {
		if mx.Preference < list[us].Preference {
			better = append(better, mx)
		} else {
			omitted = append(omitted, mx)
		}
	}
	return better, omitted
}

// shuffle spreads the load over hosts of the same preference (RFC 5321 §5.1).
func shuffle(list []target) {
	for begin := 0; begin < len(list); {
		end := begin + 1
		for end < len(list) && list[end].preference == list[begin].preference {
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
	attempt := module.Try{Begin: time.Now(), Host: tg.host, Address: address, Step: module.StepConnect, Outcome: module.Broken}
	ctx, cancel := context.WithTimeout(w.ctx, w.settings.ConnectTimeout.D())
	sock, err := w.m.dial(ctx, "tcp", address)
	cancel()
	if err != nil {
		if w.ctx.Err() == nil {
			w.m.tries.failed(w.q.Name(), attempt, why(err))
		}
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
	l.tried = w.m.tries.connected(w.q.Name(), attempt)
	l.closed = func() {
		w.m.active.Add(-1)
		w.m.tries.ended(l.tried)
	}
	if l.log.Enabled(w.ctx, serverlog.Low) {
		l.log.Info("connected " + endpoint(sock.LocalAddr()) + " -> " + endpoint(sock.RemoteAddr()) + ", " + tg.host)
	}
	l.bind(w.ctx)
	name := cmp.Or(w.settings.Helo, w.m.domain())
	if err := l.greet(name); err != nil {
		l.unbind()
		w.noteGreeting(l, err)
		_ = l.Close()
		return nil, ungreeted(tg.host, err)
	}
	w.m.tries.greeted(l.tried)
	return l, nil
}

// noteGreeting remembers that a host did not take us.
func (w *work) noteGreeting(l *link, err error) {
	said := (*gosmtp.SMTPError)(nil)
	switch {
	case w.ctx.Err() != nil:
	case !errors.As(err, &said):
		w.m.tries.broke(l.tried, l.step, why(err))
	default:
		text := strings.ReplaceAll(said.Message, "\n", " ")
		if e := said.EnhancedCode; e[0] == said.Code/100 {
			text = fmt.Sprintf("%d.%d.%d %s", e[0], e[1], e[2], text)
		}
		w.m.tries.refused(l.tried, l.step, answer{said.Code, text})
	}
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
