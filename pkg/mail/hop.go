package mail

import (
	"net/netip"
	"strconv"
	"strings"
)

// A Hop is the next host of an address whose domain names it outright (chapter: Router):
// host._via, host.25._via, host:25, [192.0.2.1] or [192.0.2.1]:25, also with ._via behind.
type Hop struct {
	Host string     // in lower case; an address literal in its brackets
	IP   netip.Addr // of an address literal
	Port int        // 1 to 65535; 0: none was given
}

const via = "._via"

// IsHop reports whether a domain has the form of a Hop, be it one or not. No host of
// the Internet has such a name, except that an address literal is one, too.
func IsHop(domain string) bool {
	return strings.IndexByte(domain, ':') >= 0 || strings.HasPrefix(domain, "[") || hasVia(domain)
}

func hasVia(domain string) bool {
	n := len(domain) - len(via)
	return n >= 0 && strings.EqualFold(domain[n:], via)
}

// ParseHop returns the Hop that a domain names, and false if it names none.
func ParseHop(domain string) (h Hop, ok bool) {
	if !IsHop(domain) {
		return Hop{}, false
	}
	host, port := strings.ToLower(domain), ""
	if hasVia(host) {
		host = host[:len(host)-len(via)]
		if i := strings.LastIndexByte(host, '.'); i >= 0 && digits(host[i+1:]) && !isIP(host) {
			host, port = host[:i], host[i+1:]
		}
	}
	if i := strings.LastIndexByte(host, ':'); port == "" && i > strings.LastIndexByte(host, ']') {
		host, port = host[:i], host[i+1:]
		if port == "" {
			return Hop{}, false
		}
	}
	if port != "" {
		n, err := strconv.Atoi(port)
		if err != nil || !digits(port) || n < 1 || n > 65535 {
			return Hop{}, false
		}
		h.Port = n
	}
	if isIP(host) { // 192.0.2.1._via
		host = "[" + host + "]"
	}
	h.Host = host
	if strings.HasPrefix(host, "[") {
		h.IP = Literal(host)
		return h, h.IP.IsValid()
	}
	return h, checkDomain(host) == "" && !digits(host)
}

// String is the Hop in its shortest form: the name of its host queue. ParseHop reads it,
// unless it is a host alone.
func (h Hop) String() string {
	if h.Port == 0 {
		return h.Host
	}
	return h.Host + ":" + strconv.Itoa(h.Port)
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

func isIP(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Is4()
}

// Literal is the network address in an address literal (RFC 5321 §4.1.3), or the zero
// Addr if the domain is none.
func Literal(domain string) netip.Addr {
	inner, open := strings.CutPrefix(domain, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	const tag = "ipv6:"
	six := len(inner) > len(tag) && strings.EqualFold(inner[:len(tag)], tag)
	if six {
		inner = inner[len(tag):]
	}
	if ip, err := netip.ParseAddr(inner); open && closed && err == nil && ip.Is6() == six && ip.Zone() == "" {
		return ip
	}
	return netip.Addr{}
}
