package spool

import (
	"cmp"

	"cgq/pkg/journal"
)

// Tune changes the options while the spool works: each operation that begins from now
// on knows the new ones, and a checkpoint that is due by them is made at once. The
// journal grows or shrinks to its new number of segments in the background; its other
// options, and who is asked for free space, stay as Open had them. When folders
// cannot be made, the old foldering stays, and that is the error. It is safe for
// concurrent use.
func (s *Spool) Tune(o Options) error {
	was := s.options.Load()
	segments := o.Journal.Segments
	o.Journal, o.Free = was.Journal, was.Free
	o.Journal.Segments = segments
	s.journal.Resize(cmp.Or(segments, journal.DefaultSegments))
	o.setDefaults(s.journal.FrameLimit())
	s.options.Store(&o)
	s.space.mu.Lock()
	s.space.asked = s.space.asked.Add(-spaceAge) // the next one asks with the new limits
	s.space.mu.Unlock()
	s.SetRecycle(o.Recycle)
	s.wake()
	return s.SetFoldering(o.Foldering)
}
