package enqueuer

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"cgq/pkg/settings"
)

// Settings are those of the chapter's Enqueuer panel, and the Queue Limit.
type Settings struct {
	Asynchronously  string              `toml:"enqueue_asynchronously" values:"anybody|nobody|authenticated|unauthenticated|clients|non-clients" doc:"whose messages are answered as soon as they are on disk, before the Router, the Rules and External Filters have seen them: anybody, nobody, authenticated, unauthenticated, clients (authenticated senders, and the client_ip_addresses of server.toml), non-clients; what is refused later is reported with a DSN (chapter: Enqueue Asynchronously)"`
	Processors      int                 `toml:"processors" doc:"how many messages the Enqueuer works on at the same time, of those that it enqueues asynchronously and of what the server itself has made; 1 to 1000 (chapter: Processors)"`
	HopCounterLimit int                 `toml:"hop_counter_limit" doc:"a message with more Received fields is refused, because it loops; 1 to 1000 (chapter: Hop Counter Limit)"`
	Retry           []settings.Duration `toml:"retry" doc:"how long a message waits for a filter that cannot decide, or is down, or a program that asks for it, until it is tried again: after the first time, the second …; the last one repeats"`
	Expire          settings.Duration   `toml:"expire" doc:"a message that has waited so long for that is returned to its sender; 0s: never"`
	ExecuteTime     settings.Duration   `toml:"execute_time" doc:"how long a program may run that a Rule executes, until it and all that it has started are killed; 1s to 1h"`
	ExecuteOutput   settings.Size       `toml:"execute_output" doc:"how much of the output of such a program is kept; 1K to 16M"`
	QueueLimit      int                 `toml:"queue_limit" doc:"with more messages in the Queue no new ones are accepted, reports excepted; 0 is no limit (chapter: Queue Limit)"`
	QueueReserve    int                 `toml:"queue_reserve" doc:"so many messages above queue_limit reports and other mail of the server itself may take; what replaces its message always goes; 0 to 1000000 (chapter: Queue Limit)"`
	SpamTrapTime    settings.Duration   `toml:"spamtrap_time" doc:"how long nothing is taken from an address that has sent to a recipient which the Router sends to SPAMTRAP; Client IP Addresses and authenticated senders excepted; 0s to 720h"`
}

// Defaults are the settings of a new server. RFC 5321 §6.3 wants a hop limit of at
// least 100.
func Defaults() Settings {
	minutes := func(n int) settings.Duration { return settings.Duration(time.Duration(n) * time.Minute) }
	return Settings{Asynchronously: nobody, Processors: 10, HopCounterLimit: 100, QueueReserve: 1000,
		Retry: []settings.Duration{minutes(1), minutes(2), minutes(5), minutes(10)}, Expire: minutes(5 * 24 * 60),
		ExecuteTime: minutes(2), ExecuteOutput: 64 << 10, SpamTrapTime: minutes(10)}
}

// The values of Enqueue Asynchronously.
const (
	anybody         = "anybody"
	nobody          = "nobody"
	authenticated   = "authenticated"
	unauthenticated = "unauthenticated"
	clients         = "clients"
	nonClients      = "non-clients"
)

// Validate names the first key that cannot be used.
func (s *Settings) Validate() error {
	modes := []string{anybody, nobody, authenticated, unauthenticated, clients, nonClients}
	between := func(key string, n, low, high int) error {
		if n < low || n > high {
			return fmt.Errorf("%s: %d is not between %d and %d", key, n, low, high)
		}
		return nil
	}
	within := func(key string, d, low, high time.Duration) error {
		if d < low || d > high {
			return fmt.Errorf("%s: %s is not between %s and %s", key, settings.Duration(d), settings.Duration(low), settings.Duration(high))
		}
		return nil
	}
	if !slices.Contains(modes, s.Asynchronously) {
		return fmt.Errorf("enqueue_asynchronously: %q is none of %s", s.Asynchronously, strings.Join(modes, ", "))
	}
	if len(s.Retry) == 0 {
		return fmt.Errorf("retry: it is empty; write one time at least, as [\"5m\"]")
	}
	for _, d := range s.Retry {
		if err := within("retry", d.D(), time.Second, 7*24*time.Hour); err != nil {
			return err
		}
	}
	if s.ExecuteOutput < 1<<10 || s.ExecuteOutput > 16<<20 {
		return fmt.Errorf("execute_output: %s is not between 1K and 16M", s.ExecuteOutput)
	}
	if s.QueueLimit < 0 {
		return fmt.Errorf("queue_limit: %d is below 0", s.QueueLimit)
	}
	for _, err := range []error{
		between("processors", s.Processors, 1, 1000),
		between("hop_counter_limit", s.HopCounterLimit, 1, 1000),
		between("queue_reserve", s.QueueReserve, 0, 1_000_000),
		within("expire", s.Expire.D(), 0, 365*24*time.Hour),
		within("execute_time", s.ExecuteTime.D(), time.Second, time.Hour),
		within("spamtrap_time", s.SpamTrapTime.D(), 0, 720*time.Hour),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}
