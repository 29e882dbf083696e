package admin_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"cgq/pkg/control"
	"cgq/pkg/fact"
	"cgq/pkg/mail"
	"cgq/pkg/queue"
	"cgq/pkg/spool"
)

func TestQueueBackup(t *testing.T) {
	h := newHouse(t)
	id := h.put(t, "x@c.example y@d.example")
	var b bytes.Buffer
	made, err := control.QueueBackup.Do(t.Context(), h.client, control.Nothing{}, &b)
	if err != nil || made != (control.Backup{Messages: 1, Bytes: int64(b.Len())}) {
		t.Errorf("backup: %+v of %d bytes, %v", made, b.Len(), err)
	}
	a, err := spool.ReadArchive(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil || a.Messages != 1 || a.Spool != h.spool.Identity() || a.Ceiling < id {
		t.Errorf("archive %+v, %v", a, err)
	}
	if lines := h.audited(t, "the queue was backed up by "); len(lines) != 1 || !strings.Contains(lines[0], ", messages=1, ") {
		t.Errorf("audited: %q", lines)
	}
}

// Who has got half of a backup has read that half, and it is known.
func TestABackupWhoseCallerLeavesIsAudited(t *testing.T) {
	h, _ := empty(t)
	h.read = make(chan struct{})
	close(h.read)
	s := h.face(t)
	left := errors.New("nobody listens")
	s.Backup = func(_ context.Context, w io.Writer) (spool.Archived, error) {
		_, err := io.WriteString(w, "half of it")
		return spool.Archived{}, cmp.Or(err, left)
	}
	h.serve(t, s.Mux(h.log.Logger("ADMIN")))
	if _, err := control.QueueBackup.Do(t.Context(), h.client, control.Nothing{}, io.Discard); err == nil {
		t.Fatal("it is whole")
	}
	if lines := h.audited(t, "a backup of the queue by "); len(lines) != 1 || !strings.Contains(lines[0], " came to no end: nobody listens, ") || !strings.HasSuffix(lines[0], ", bytes=10") {
		t.Errorf("audited: %q", lines)
	}
}

func TestHolds(t *testing.T) {
	h := newHouse(t)
	at := time.UnixMilli(1700000000000)
	stand := spool.Standing{Key: fact.RestoredKey,
		Value: string(fact.AppendRestored(nil, fact.Restored{Through: 1000, Backup: at, At: at}))}
	if _, err := h.spool.Act(nil, []spool.Standing{stand}); err != nil {
		t.Fatal(err)
	}
	h.kernel.RestoreStanding(h.spool.Standing(), time.Now())
	for id := mail.ID(1); id <= 3; id++ {
		m := queue.Message{ID: id, Hold: h.kernel.Holding(id), Envelope: &mail.Envelope{Recipients: make([]mail.Recipient, 1)}}
		if id == 2 {
			m.Hold = "facts \x1b are lost"
		}
		h.kernel.Restore(m, nil, []fact.Routed{{Module: "SMTP", Queue: "c.example"}}, nil)
	}
	reason := "restored from the backup of 2023-11-14 22:13:20 UTC"
	rows := all(t, control.HoldList.Do(t.Context(), h.client, control.Nothing{}))
	if len(rows) != 2 || rows[0].Name != "restored" || rows[0].Messages != 2 || rows[0].Reason != reason || !rows[0].Since.Equal(at) ||
		rows[1] != (control.HoldRow{ID: 2, Messages: 1, Reason: "facts \x1b are lost"}) {
		t.Errorf("holds %+v", rows)
	}
	queues := all(t, control.QueueList.Do(t.Context(), h.client, control.Selection{}))
	if len(queues) != 1 || queues[0].State != control.Held || queues[0].Hold != reason {
		t.Errorf("queues %+v", queues)
	}
	for _, name := range []string{"", "x"} {
		_, err := control.HoldRemove.Do(t.Context(), h.client, control.HoldAct{Name: name})
		refused(t, "remove "+name, err, map[string]control.Kind{"": control.KindBadRequest, "x": control.KindNoSuchHold}[name])
	}
	for _, dry := range []bool{true, false} {
		out, err := control.HoldRemove.Do(t.Context(), h.client, control.HoldAct{Name: "restored", DryRun: dry})
		_, held := h.spool.Standing()[fact.RestoredKey]
		if err != nil || out.Matched != 2 || out.Changed != 2 || out.Messages != 2 || held != dry {
			t.Errorf("remove, dry run %v: %+v, %v; held %v", dry, out, err, held)
		}
	}
	rows = all(t, control.HoldList.Do(t.Context(), h.client, control.Nothing{}))
	if m, _ := h.kernel.Message(1); len(rows) != 1 || m.Recipients[0].Status != queue.Ready {
		t.Errorf("afterwards %+v, %+v", rows, m)
	}
	var log []string
	for _, l := range all(t, control.LogTail.Do(t.Context(), h.client, control.LogQuery{Lines: 10, Tags: []string{"ADMIN"}})) {
		log = append(log, l.Line)
	}
	if text := strings.Join(log, "\n"); !strings.Contains(text, "unhold by ") {
		t.Errorf("the log has %q, and no word about it", text)
	}
}
