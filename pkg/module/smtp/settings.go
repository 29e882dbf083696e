package smtp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"cgq/pkg/mail"
	"cgq/pkg/settings"
)

// Settings is the section smtp.
type Settings struct {
	Receive Receive `toml:"receive" doc:"mail that comes in"`
	Send    Send    `toml:"send" doc:"mail that goes out"`
}

// Receive is the settings of the receiving side. A session keeps those that it began with.
type Receive struct {
	Listen                []string          `toml:"listen" doc:"addresses to listen on, host:port; takes effect at the next start"`
	MaxMessageSize        settings.Size     `toml:"max_message_size" doc:"the largest message that is taken, 64K to 2G; announced as SIZE (RFC 1870)"`
	MaxRecipients         int               `toml:"max_recipients" doc:"recipients of one message, 100 to 100000 (RFC 5321 4.5.3.1.8 wants 100 at least)"`
	Connections           int               `toml:"connections" doc:"connections at the same time, 1 to 100000"`
	ConnectionsPerAddress int               `toml:"connections_per_address" doc:"connections at the same time from one network address, 0 to 100000; 0 is no limit"`
	CommandTimeout        settings.Duration `toml:"command_timeout" doc:"the longest wait for a command, 1s to 1h (RFC 5321 4.5.3.2.7 wants 5m)"`
	DataTimeout           settings.Duration `toml:"data_timeout" doc:"the longest wait for more of a message, 1s to 1h"`
}

// Send is the settings of the sending side.
type Send struct {
	Relay                 string              `toml:"relay" doc:"the host that takes all mail that leaves, host or host:port; empty: the mail exchangers (MX) of each domain"`
	RelayPort             int                 `toml:"relay_port" doc:"the port of a relay that is written without one, 1 to 65535"`
	Helo                  string              `toml:"helo" doc:"the name of this server in EHLO; empty: the main domain"`
	Channels              int                 `toml:"channels" doc:"connections at the same time, 1 to 10000 (chapter: Channels)"`
	QueueChannels         int                 `toml:"queue_channels" doc:"connections for one queue at the same time, 1 to 10000"`
	KeepIdle              settings.Duration   `toml:"keep_idle" doc:"how long a connection waits for more mail of its queue before it is closed, 0 to 5m"`
	MessagesPerConnection int                 `toml:"messages_per_connection" doc:"messages over one connection, 0 to 1000000; 0 is no limit"`
	MaxRecipients         int                 `toml:"max_recipients" doc:"recipients in one transaction, 1 to 1000 (RFC 5321 4.5.3.1.8: every server takes 100)"`
	ConnectTimeout        settings.Duration   `toml:"connect_timeout" doc:"the longest wait for a connection to one address, 1s to 5m"`
	CommandTimeout        settings.Duration   `toml:"command_timeout" doc:"the longest wait for a reply, 1s to 1h (RFC 5321 4.5.3.2.2)"`
	DataTimeout           settings.Duration   `toml:"data_timeout" doc:"the longest wait for the other side to take a piece of a message, 1s to 1h (RFC 5321 4.5.3.2.5)"`
	FinalTimeout          settings.Duration   `toml:"final_timeout" doc:"the longest wait for the reply to a whole message, 1s to 1h (RFC 5321 4.5.3.2.6)"`
	Retry                 []settings.Duration `toml:"retry" doc:"the waits between attempts, 1s to 1w each; the last one repeats"`
	Expire                settings.Duration   `toml:"expire" doc:"how long delivery is tried before a message fails, 1m to 30d"`
}

// Defaults returns the settings of a new server.
func Defaults() Settings {
	minutes := func(n int) settings.Duration { return settings.Duration(n) * settings.Duration(time.Minute) }
	return Settings{
		Receive: Receive{
			Listen:         []string{"127.0.0.1:2525"},
			MaxMessageSize: 50 * settings.MiB,
			MaxRecipients:  1000,
			Connections:    1000,
			CommandTimeout: minutes(5),
			DataTimeout:    minutes(5),
		},
		Send: Send{
			RelayPort:             25,
			Channels:              200,
			QueueChannels:         20,
			KeepIdle:              settings.Duration(5 * time.Second),
			MessagesPerConnection: 1000,
			MaxRecipients:         100,
			ConnectTimeout:        settings.Duration(30 * time.Second),
			CommandTimeout:        minutes(5),
			DataTimeout:           minutes(3),
			FinalTimeout:          minutes(10),
			Retry:                 []settings.Duration{minutes(5), minutes(15), minutes(30), minutes(60), minutes(120), minutes(180)},
			Expire:                5 * settings.Day,
		},
	}
}

// A checker collects what is wrong with settings.
type checker struct{ errs []error }

func (c *checker) bad(key, format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf(key+": "+format, args...))
}

// limits are the ends of a range, as the settings file writes them.
type limits[T any] struct{ least, most T }

func inRange[T int | settings.Duration | settings.Size](c *checker, key string, value T, l limits[T]) {
	if value < l.least || value > l.most {
		c.bad(key, "%v is not in %v to %v", value, l.least, l.most)
	}
}

// Validate implements settings.Validator.
func (s *Settings) Validate() error {
	var c checker
	s.Receive.validate(&c)
	s.Send.validate(&c)
	return errors.Join(c.errs...)
}

const (
	second = settings.Duration(time.Second)
	minute = settings.Duration(time.Minute)
	hour   = settings.Duration(time.Hour)
)

func (r *Receive) validate(c *checker) {
	for _, address := range r.Listen {
		if _, port, err := net.SplitHostPort(address); err != nil || !isPort(port, 0) {
			c.bad("receive.listen", "%q is not host:port", address)
		}
	}
	// go-smtp reads SIZE as a number of 32 bits.
	inRange(c, "receive.max_message_size", r.MaxMessageSize, limits[settings.Size]{64 * settings.KiB, 2 * settings.GiB})
	inRange(c, "receive.max_recipients", r.MaxRecipients, limits[int]{100, 100_000})
	inRange(c, "receive.connections", r.Connections, limits[int]{1, 100_000})
	inRange(c, "receive.connections_per_address", r.ConnectionsPerAddress, limits[int]{0, 100_000})
	inRange(c, "receive.command_timeout", r.CommandTimeout, limits[settings.Duration]{second, hour})
	inRange(c, "receive.data_timeout", r.DataTimeout, limits[settings.Duration]{second, hour})
}

func (s *Send) validate(c *checker) {
	if s.Relay != "" {
		if _, _, err := s.relay(); err != nil {
			c.bad("send.relay", "%v", err)
		}
	}
	inRange(c, "send.relay_port", s.RelayPort, limits[int]{1, 65535})
	if s.Helo != "" && !isHost(s.Helo) {
		c.bad("send.helo", "%q is not a domain or an address in square brackets", s.Helo)
	}
	inRange(c, "send.channels", s.Channels, limits[int]{1, 10_000})
	inRange(c, "send.queue_channels", s.QueueChannels, limits[int]{1, 10_000})
	inRange(c, "send.keep_idle", s.KeepIdle, limits[settings.Duration]{0, 5 * minute})
	inRange(c, "send.messages_per_connection", s.MessagesPerConnection, limits[int]{0, 1_000_000})
	inRange(c, "send.max_recipients", s.MaxRecipients, limits[int]{1, 1000})
	inRange(c, "send.connect_timeout", s.ConnectTimeout, limits[settings.Duration]{second, 5 * minute})
	inRange(c, "send.command_timeout", s.CommandTimeout, limits[settings.Duration]{second, hour})
	inRange(c, "send.data_timeout", s.DataTimeout, limits[settings.Duration]{second, hour})
	inRange(c, "send.final_timeout", s.FinalTimeout, limits[settings.Duration]{second, hour})
	if len(s.Retry) == 0 {
		c.bad("send.retry", "at least one wait is needed, such as [\"5m\"]")
	}
	for _, d := range s.Retry {
		inRange(c, "send.retry", d, limits[settings.Duration]{second, settings.Week})
	}
	inRange(c, "send.expire", s.Expire, limits[settings.Duration]{minute, 30 * settings.Day})
}

// relay returns host and port of the relay.
func (s *Send) relay() (host string, port int, err error) {
	host, port = s.Relay, s.RelayPort
	if h, p, err := net.SplitHostPort(s.Relay); err == nil {
		if !isPort(p, 1) {
			return "", 0, fmt.Errorf("%q: the port is not a number in 1 to 65535", s.Relay)
		}
		host = h
		port, _ = strconv.Atoi(p)
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if _, err := netip.ParseAddr(host); err != nil && !isHost(host) {
		return "", 0, fmt.Errorf("%q is not host or host:port", s.Relay)
	}
	return host, port, nil
}

func isPort(s string, least int) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= least && n <= 65535
}

// isHost reports whether s may stand behind the @ of an address.
func isHost(s string) bool {
	_, err := mail.ParseAddress("x@" + s)
	return err == nil && mail.Address{Local: s}.ASCII()
}
