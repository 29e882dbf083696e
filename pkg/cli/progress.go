package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"cgq/pkg/control"
)

const (
	// progressAfter is how long something may take before a person is told how far it is.
	progressAfter = 500 * time.Millisecond
	progressEvery = 200 * time.Millisecond
	progressBar   = 20 // columns of the bar
)

// The statistics elements that say how far the acts are that run.
const (
	elementActing     = "numActRecipients"
	elementActingDone = "numActRecipientsDone"
)

// progress tells a person at a terminal how far something is that takes long, on a line
// of stderr that is gone afterwards. stop ends it, and returns when it has ended.
func (a *app) progress(how func() string) (stop func()) {
	if !a.bars {
		return func() {}
	}
	began, end, ended := time.Now(), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-end:
			return
		case <-time.After(progressAfter):
		}
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		const spinner = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
		for n, wheel := 0, []rune(spinner); ; n++ {
			fmt.Fprintf(a.errOut, "\r\x1b[K%c %s  %s", wheel[n%len(wheel)], how(), duration(time.Since(began)))
			select {
			case <-end:
				fmt.Fprint(a.errOut, "\r\x1b[K")
				return
			case <-tick.C:
			}
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}

// bar is how many of them are done, with a bar when it is known how many there are.
func bar(done, total int64, noun string) string {
	if total <= 0 {
		return fmt.Sprintf("%d %ss", done, noun)
	}
	done = min(done, total)
	full := int(done * progressBar / total)
	return fmt.Sprintf("[%s%s] %3d%%  %d of %s", strings.Repeat("█", full), strings.Repeat("░", progressBar-full),
		100*done/total, done, plural(int(total), noun))
}

// acting asks the daemon how far its acts are: this one, and whatever others there are.
func (a *app) acting(ctx context.Context, past string) func() string {
	client := a.client()
	return func() string {
		ctx, cancel := context.WithTimeout(ctx, progressEvery)
		defer cancel()
		values := map[string]int64{}
		asked := control.StatQuery{Names: []string{elementActing, elementActingDone}}
		for e, err := range control.Stat.Do(ctx, client, asked) {
			if err != nil {
				return "to be " + past
			}
			values[e.Name] = e.Value
		}
		switch total, done := values[elementActing], values[elementActingDone]; {
		case total == 0:
			return "to be " + past
		case done == 0:
			return fmt.Sprintf("to be %s: found %s so far", past, plural(int(total), "recipient"))
		default:
			return past + " " + bar(done, total, "recipient")
		}
	}
}
