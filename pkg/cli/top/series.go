package top

import (
	"strings"
	"time"
)

const (
	// step is the time that one bar of a graph is of.
	step = 5 * time.Second
	// maxSamples is how many samples of a number are kept: for graphs across a wide screen.
	maxSamples = 2000
	// recent is the time that a rate is of.
	recent = time.Minute
)

// A series is a number over time, the oldest sample first.
type series struct {
	rises   bool // it is a counter, of which a graph shows how much it rises
	samples []sample
}

type sample struct {
	at    time.Time
	value int64
}

// add appends a sample. A counter that is less than before belongs to another process: its
// past is forgotten. So it is when the clock was set back.
func (s *series) add(at time.Time, value int64) {
	if n := len(s.samples); n > 0 && (s.rises && value < s.samples[n-1].value || slot(at) < slot(s.samples[n-1].at)) {
		s.samples = nil
	}
	s.samples = append(s.samples, sample{at, value})
	if over := len(s.samples) - maxSamples; over > 0 {
		s.samples = s.samples[over:]
	}
}

// perMinute is how much a counter rises in a minute, from the last one; false: nobody
// knows yet.
func (s *series) perMinute() (int64, bool) {
	if len(s.samples) < 2 {
		return 0, false
	}
	last := s.samples[len(s.samples)-1]
	first := s.samples[0]
	for _, p := range s.samples {
		if last.at.Sub(p.at) <= recent {
			break
		}
		first = p
	}
	d := last.at.Sub(first.at)
	if d <= 0 {
		return 0, false
	}
	return int64(float64(last.value-first.value)/d.Minutes() + 0.5), true
}

// heights are n numbers, each of a step, the last of the one that is going on; -1: nothing
// is known of it. Of a counter they are how much it rose, of others how high it was.
func (s *series) heights(n int) []int64 {
	all := make([]int64, n)
	for i := range all {
		all[i] = -1
	}
	if len(s.samples) == 0 {
		return all
	}
	now := slot(s.samples[len(s.samples)-1].at)
	for i, p := range s.samples {
		at := n - 1 - int(now-slot(p.at))
		if at < 0 {
			continue
		}
		switch {
		case !s.rises:
			all[at] = max(all[at], p.value)
		case i > 0:
			all[at] = max(all[at], 0) + p.value - s.samples[i-1].value
		}
	}
	return all
}

func slot(at time.Time) int64 { return at.UnixNano() / int64(step) }

// graph is heights as bars, as high as the highest allows.
func graph(heights []int64) string {
	const bars = "▁▂▃▄▅▆▇█"
	levels := []rune(bars)
	most := int64(1)
	for _, h := range heights {
		most = max(most, h)
	}
	var b strings.Builder
	for _, h := range heights {
		if h < 0 {
			b.WriteByte(' ')
			continue
		}
		b.WriteRune(levels[int(float64(h)/float64(most)*float64(len(levels)-1))])
	}
	return b.String()
}
