package server

import (
	"testing"

	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/serverlog"
)

// Each component has its own level, the Temp File Manager too (chapter: Temp File Manager, Log).
func TestLevelsByTag(t *testing.T) {
	log, err := serverlog.Open(crashdisk.NewTree(-1), "SystemLogs", serverlog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	files, queue := log.Logger("TEMPFILE"), log.Logger("QUEUE")
	for _, tt := range []struct {
		levels        map[string]string
		files, queued bool // whether All Info is written
	}{
		{map[string]string{"TEMPFILE": "5"}, true, false},
		{map[string]string{"tempfile": "All Info"}, true, false},
		{map[string]string{"QUEUE": "5"}, false, true},
		{nil, false, false},
	} {
		set := Logging{Level: "Problems", Levels: tt.levels}
		if err := set.Validate(); err != nil {
			t.Errorf("%v: %v", tt.levels, err)
		}
		set.apply(log)
		f, q := files.Enabled(t.Context(), serverlog.All), queue.Enabled(t.Context(), serverlog.All)
		if f != tt.files || q != tt.queued {
			t.Errorf("%v: All Info of TEMPFILE %v and QUEUE %v, want %v and %v", tt.levels, f, q, tt.files, tt.queued)
		}
	}
}
