package server

import (
	"slices"
	"strings"
	"testing"
	"time"

	"cgq/pkg/disk"
	"cgq/pkg/settings"
)

// SPOOL E3: a file system that forgets, or of which nothing is known, is refused, and the
// refusal names it and the setting; allowed, it is told of, and so is what is not synced.
func TestFileSystemOfTheQueue(t *testing.T) {
	ext4, tmpfs, unknown := disk.KindOf(0xef53), disk.KindOf(0x01021994), disk.KindOf(0x4711)
	for _, tt := range []struct {
		kind    disk.Kind
		change  func(*Journal)
		refused bool
		says    []string // warnings, by a word
	}{
		{ext4, func(*Journal) {}, false, nil},
		{ext4, func(j *Journal) { j.AnySystem = true }, false, nil},
		{ext4, func(j *Journal) { j.Durable = false }, false, []string{"durable = false"}},
		{tmpfs, func(*Journal) {}, true, nil},
		{unknown, func(*Journal) {}, true, nil},
		{tmpfs, func(j *Journal) { j.AnySystem = true }, false, []string{"tmpfs"}},
		{unknown, func(j *Journal) { j.AnySystem = true }, false, []string{"unknown (0x4711)"}},
		{tmpfs, func(j *Journal) { j.Durable = false }, true, nil}, // the one is not the other
		{tmpfs, func(j *Journal) { j.AnySystem, j.Durable = true, false }, false, []string{"tmpfs", "durable = false"}},
	} {
		j := journalDefaults()
		tt.change(&j)
		err := j.accepts(tt.kind)
		if (err != nil) != tt.refused {
			t.Errorf("%s, %+v: %v, want it refused: %v", tt.kind.Name, j, err, tt.refused)
		}
		if err != nil {
			if !strings.Contains(err.Error(), tt.kind.Name) || !strings.Contains(err.Error(), "allow_any_file_system = true") {
				t.Errorf("%s: %q does not say what to do", tt.kind.Name, err)
			}
			continue
		}
		s := storage{kind: tt.kind, durable: j.Durable}
		says := s.warnings()
		if len(says) != len(tt.says) {
			t.Errorf("%s, %+v: warnings %q, want %q", tt.kind.Name, j, says, tt.says)
		}
		for i := range min(len(says), len(tt.says)) {
			if !strings.Contains(says[i], tt.says[i]) || !strings.Contains(says[i], "MAIL MAY BE LOST") {
				t.Errorf("%s: warning %q, want %q", tt.kind.Name, says[i], tt.says[i])
			}
		}
	}
}

// What changes at once is not said to wait for the next start, and what waits is.
func TestWhatOfTheJournalNeedsARestart(t *testing.T) {
	old := journalDefaults()
	now := old
	now.Age, now.Memory, now.InlineLimit = settings.Duration(time.Minute), settings.MiB, settings.KiB
	now.SettledSync, now.MinBytes, now.MinInodes, now.Size = settings.Duration(time.Second), 0, 0, 3*segment
	if got := now.later(&old); len(got) > 0 {
		t.Errorf("later = %q, want nothing", got)
	}
	now.AnySystem, now.Durable = true, false
	if got := now.later(&old); !slices.Equal(got, []string{"allow_any_file_system", "durable"}) {
		t.Errorf("later = %q", got)
	}
}

// Of each key that waits for the next start its doc says so, and of no other.
func TestWhatNeedsARestartSaysSo(t *testing.T) {
	old, now := defaults(), defaults()
	now.Queue.Journal.AnySystem, now.Queue.Journal.Durable = true, false
	now.General.User = "root"
	later := keys(now.later(old))
	for _, section := range defaults().sections() {
		for _, k := range section.Keys(section.Value) {
			key := section.Name + "." + k.Key
			waits := slices.ContainsFunc(later, func(l string) bool { return key == l || strings.HasPrefix(key, l+".") })
			if says := strings.Contains(k.Doc, "takes effect at the next start"); says != waits {
				t.Errorf("%s waits for the next start: %v; its doc says %q", key, waits, k.Doc)
			}
		}
	}
}
