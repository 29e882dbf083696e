package server

import (
	"context"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	quiet    = 300 * time.Millisecond // nobody has written for so long: then the files are whole
	patience = 2 * time.Second        // after the first write, however many follow
	every    = time.Minute            // a look without a reason, should an event be lost
)

// watch rereads the settings soon after somebody has edited one. It watches the directory:
// a file that an editor replaces is another file. Its own writes it knows by their bytes.
func (s *server) watch(ctx context.Context) {
	var events <-chan fsnotify.Event
	var failures <-chan error
	dir := filepath.Join(s.base, settingsDir)
	w, err := fsnotify.NewWatcher()
	if err == nil {
		defer w.Close()
		events, failures = w.Events, w.Errors
		err = w.Add(dir)
	}
	if err != nil {
		s.system.Error("nobody tells when a file of the settings is edited: it is noticed within a minute: " + err.Error())
	}
	look := time.NewTicker(every)
	defer look.Stop()
	soon := time.NewTimer(every)
	soon.Stop()
	var latest time.Time // when it looks though events go on; zero: nothing has happened
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-events:
			if e.Op == fsnotify.Chmod {
				continue
			}
			if latest.IsZero() {
				latest = time.Now().Add(patience)
			}
			soon.Reset(max(0, min(quiet, time.Until(latest))))
		case err := <-failures: // events were lost
			s.system.Warn("an edit of the settings may not have been told, so they are read: " + err.Error())
			soon.Reset(quiet)
		case <-soon.C:
			latest = time.Time{}
			s.rescan()
		case <-look.C:
			if w != nil {
				_ = w.Add(dir) // another may have come into its place
			}
			s.rescan()
		}
	}
}
