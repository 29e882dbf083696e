package serverlog

import (
	"cmp"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// tuning is the levels of the components: what the settings say, and, over that, what was
// set by hand.
type tuning struct {
	sync.Mutex
	standard slog.Level
	own      map[string]slog.Level
	byHand   map[string]*byHand
	knobs    map[string]*atomic.Int64 // what the handlers look at
	closed   bool
}

// A byHand is a level that was set while the log was open.
type byHand struct {
	level slog.Level
	until time.Time   // zero: no end
	timer *time.Timer // nil: no end
}

// A Setting is the level of a component, and where it is from.
type Setting struct {
	Tag      string
	Level    slog.Level
	Settings slog.Level // what the settings say
	ByHand   bool       // Level was set by [Log.SetLevel]
	Until    time.Time  // then Settings are back; zero: nobody knows
}

// Logger returns the logger of the component with a tag, such as "SMTPI". It
// follows the component's level.
func (l *Log) Logger(tag string) *slog.Logger {
	l.levels.Lock()
	defer l.levels.Unlock()
	return slog.New(newHandler(l, l.levels.knob(tag), tag))
}

// knob is called with v locked, as all below.
func (v *tuning) knob(tag string) *atomic.Int64 {
	k := v.knobs[tag]
	if k == nil {
		if v.knobs == nil {
			v.knobs = map[string]*atomic.Int64{}
		}
		k = new(atomic.Int64)
		v.knobs[tag] = k
		v.turn(tag)
	}
	return k
}

// settings is what the settings say of a component.
func (v *tuning) settings(tag string) slog.Level {
	if level, own := v.own[tag]; own {
		return level
	}
	return v.standard
}

// turn makes the level of a component what it has to be.
func (v *tuning) turn(tag string) {
	k := v.knobs[tag]
	if k == nil {
		return
	}
	level := v.settings(tag)
	if h := v.byHand[tag]; h != nil {
		level = h.level
	}
	k.Store(int64(level))
}

// forget ends a level that was set by hand.
func (v *tuning) forget(tag string) {
	if h := v.byHand[tag]; h != nil && h.timer != nil {
		h.timer.Stop()
	}
	delete(v.byHand, tag)
	v.turn(tag)
}

func (v *tuning) setting(tag string) Setting {
	s := Setting{Tag: tag, Settings: v.settings(tag)}
	s.Level = s.Settings
	if h := v.byHand[tag]; h != nil {
		s.Level, s.ByHand, s.Until = h.level, true, h.until
	}
	return s
}

// SetLevel sets the level of one component by hand, in place of what was set so before: for a time, then
// it is what the settings say, and ended is called; or with 0 until the settings give the
// component another level, or the log is closed.
func (l *Log) SetLevel(tag string, level slog.Level, lasts time.Duration, ended func()) {
	v := &l.levels
	v.Lock()
	defer v.Unlock()
	v.forget(tag)
	h := &byHand{level: level}
	if lasts > 0 && !v.closed {
		h.until = time.Now().Add(lasts)
		h.timer = time.AfterFunc(lasts, func() {
			if l.end(tag, h) && ended != nil {
				ended()
			}
		})
	}
	if v.byHand == nil {
		v.byHand = map[string]*byHand{}
	}
	v.byHand[tag] = h
	v.turn(tag)
}

// end ends h, if it is still what counts.
func (l *Log) end(tag string, h *byHand) bool {
	v := &l.levels
	v.Lock()
	defer v.Unlock()
	if v.byHand[tag] != h {
		return false
	}
	v.forget(tag)
	return true
}

// ResetLevel gives one component the level that the settings say.
func (l *Log) ResetLevel(tag string) {
	l.levels.Lock()
	defer l.levels.Unlock()
	l.levels.forget(tag)
}

// SetLevels sets what the settings say: the levels of the components in own, and standard
// for the rest. A component whose level in the settings stays what it was keeps the one
// that was set by hand.
func (l *Log) SetLevels(standard slog.Level, own map[string]slog.Level) {
	v := &l.levels
	v.Lock()
	defer v.Unlock()
	before := map[string]slog.Level{}
	for tag := range v.byHand {
		before[tag] = v.settings(tag)
	}
	v.standard, v.own = standard, maps.Clone(own)
	for tag, level := range before {
		if v.settings(tag) != level {
			v.forget(tag)
		}
	}
	for tag := range v.knobs {
		v.turn(tag)
	}
}

// Levels returns the level of every component that has a logger, by tag.
func (l *Log) Levels() []Setting {
	v := &l.levels
	v.Lock()
	defer v.Unlock()
	all := make([]Setting, 0, len(v.knobs))
	for tag := range v.knobs {
		all = append(all, v.setting(tag))
	}
	slices.SortFunc(all, func(a, b Setting) int { return cmp.Compare(a.Tag, b.Tag) })
	return all
}

// close ends what is to come by itself.
func (v *tuning) close() {
	v.Lock()
	defer v.Unlock()
	v.closed = true
	for _, h := range v.byHand {
		if h.timer != nil {
			h.timer.Stop()
		}
	}
}
