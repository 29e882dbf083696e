package settings

import (
	"errors"
	"fmt"
	"time"
)

// Working is how a module works its queues. It is made of the settings of modules that run
// something for each message on this machine.
type Working struct {
	Channels, QueueChannels int
	Retry                   []Duration
	Expire                  Duration
}

// Validate says what is out of its range, each with its key in front: channels,
// queue_channels, retry, expire.
func (w Working) Validate() error {
	var errs []error
	wrong := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf(key+": "+format, args...))
	}
	if w.Channels < 1 || w.Channels > 1000 {
		wrong("channels", "%d is not in 1 to 1000", w.Channels)
	} else if w.QueueChannels < 1 || w.QueueChannels > w.Channels {
		wrong("queue_channels", "%d is not in 1 to %d, which is channels", w.QueueChannels, w.Channels)
	}
	if len(w.Retry) == 0 {
		wrong("retry", "want one wait at least")
	}
	for _, d := range w.Retry {
		if d < Duration(time.Second) || d > Week {
			wrong("retry", "%s is not in 1s to 1w", d)
		}
	}
	if d := w.Expire; d < Duration(time.Minute) || d > 30*Day {
		wrong("expire", "%s is not in 1m to 30d", d)
	}
	return errors.Join(errs...)
}
