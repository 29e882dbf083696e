package spool_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/spool"
)

// Chapter: at Low-Level or All Info, file i/o operations are recorded; at others not.
func TestFileOperationsAreRecorded(t *testing.T) {
	for _, tt := range []struct {
		level      slog.Level
		want, none []string
	}{
		{slog.LevelDebug, []string{"msg=create file=Queue/01/1.tmp", "msg=write file=Queue/01/1.tmp at=0", "msg=sync file=Queue/01/1.tmp",
			"msg=rename file=Queue/01/1.tmp to=Queue/01/1.msg", `msg="sync directory" file=Queue/01`, "file=Queue/journal/00000000.seg",
			"msg=open file=Queue/01/1.msg"}, nil},
		{slog.LevelInfo, []string{"msg=create file=Queue/01/1.tmp", "msg=rename file=Queue/01/1.tmp"}, []string{"msg=write", "msg=sync", "msg=open"}},
		{slog.LevelWarn, nil, []string{"file="}},
	} {
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: tt.level}))
		s, _, err := spool.Open(crashdisk.New(-1), "Queue", small, log)
		if err != nil {
			t.Fatal(err)
		}
		id, err := submit(s, "text", nil, "routed")
		err = errors.Join(err, s.Empty())
		_, err2 := read(s, id)
		if err := errors.Join(err, err2, s.Close()); err != nil {
			t.Fatal(err)
		}
		for _, want := range tt.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%v: no %q in\n%s", tt.level, want, out.String())
			}
		}
		for _, none := range tt.none {
			if strings.Contains(out.String(), none) {
				t.Errorf("%v: %q in\n%s", tt.level, none, out.String())
			}
		}
	}
}
