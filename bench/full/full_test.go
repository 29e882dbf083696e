package full

import (
	"path/filepath"
	"testing"
	"time"

	"cgq/pkg/disk"
	"cgq/pkg/fact"
	"cgq/pkg/mail"
	"cgq/pkg/spool"
)

// What Make leaves is a Queue like any other, all in files.
func TestMadeQueueOpens(t *testing.T) {
	base := filepath.Join(t.TempDir(), "base")
	letter := func(n int) Letter {
		domain := "few.test"
		if n%10 == 0 {
			domain = "many.test"
		}
		return Letter{Text: make([]byte, 100), Facts: []fact.Fact{fact.Tried{At: time.Now(), Attempts: n + 1}},
			Envelope: &mail.Envelope{Source: mail.SMTP, Recipients: []mail.Recipient{{Address: mail.Address{Local: "r", Domain: domain}}}}}
	}
	for range 2 { // the second time it is there
		if err := Make(t.Context(), base, 300, letter); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := Count(base); n != 300 || err != nil {
		t.Errorf("Count = %d, %v; want 300", n, err)
	}
	fs, err := disk.OpenOS(base)
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	got, err := spool.Inspect(fs, "Queue")
	if err != nil {
		t.Fatal(err)
	}
	many := 0
	for _, m := range got.Messages {
		if m.Envelope.Recipients[0].Address.Domain == "many.test" {
			many++
		}
		if m.Size != 100 || len(m.Facts) != 2 {
			t.Errorf("message %d: %d bytes, facts %v", m.ID, m.Size, m.Facts)
		}
	}
	if len(got.Messages) != 300 || many != 30 || got.Young != 0 || len(got.Damage) > 0 {
		t.Errorf("%d messages, %d for many.test, %d young, damage %v; want 300, 30, 0, none", len(got.Messages), many, got.Young, got.Damage)
	}
}

// A daemon that answers early knows all its messages only when it says 100; one that
// does not, when it has as many as there were files.
func TestIsWhole(t *testing.T) {
	for _, tt := range []struct {
		name  string
		in    map[string]int64
		want  bool
		fails bool
	}{
		{"answers late, all there", map[string]int64{"numQueuedMessages": 10}, true, false},
		{"answers late, some came on top", map[string]int64{"numQueuedMessages": 11}, true, false},
		{"some are missing", map[string]int64{"numQueuedMessages": 9}, false, false},
		{"counted and not read yet", map[string]int64{"numQueuedMessages": 10, "numUnreadMessages": 1}, false, false},
		{"answers early, all there", map[string]int64{"numQueuedMessages": 10, "numUnreadMessages": 0}, true, false},
		{"not a daemon of ours", map[string]int64{}, false, true},
	} {
		if got, err := isWhole(tt.in, 10); got != tt.want || (err != nil) != tt.fails {
			t.Errorf("%s: isWhole(%v) = %v, %v; want %v, failure %v", tt.name, tt.in, got, err, tt.want, tt.fails)
		}
	}
}
