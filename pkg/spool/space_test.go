package spool_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/spool"
)

// E2: intake closes before a write can fail, with room for all that has no file yet,
// and opens by itself.
func TestIntakeClosesBeforeTheDiskIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var free spool.Space
		var fault error
		o := small
		o.MinBytes, o.MinInodes = 1000, 10
		o.Free = func() (spool.Space, error) { return free, fault }
		s := open(t, crashdisk.New(-1), o)
		defer s.Close()
		for _, tt := range []struct {
			free  spool.Space
			fault error
			want  string // part of the reason; empty: admitted
		}{
			{spool.Space{Bytes: 1000}, nil, ""},
			{spool.Space{Bytes: 999}, nil, "999 bytes"},
			{spool.Space{Bytes: 1 << 20, Inodes: 9, Counts: true}, nil, "9 inodes"},
			{spool.Space{Bytes: 1 << 20, Inodes: 10, Counts: true}, nil, ""},
			{spool.Space{}, errors.New("stale handle"), "stale handle"},
		} {
			time.Sleep(time.Second)
			free, fault = tt.free, tt.fault
			err := s.Admit()
			if (err == nil) != (tt.want == "") || err != nil && (!errors.Is(err, spool.ErrSpace) || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%+v, %v: %v, want %q", tt.free, tt.fault, err, tt.want)
			}
		}
		if _, err := submit(s, strings.Repeat("x", 100), nil, ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		free, fault = spool.Space{Bytes: 1000 + 4096}, nil
		if err := s.Admit(); err == nil {
			t.Error("no room was kept for a message without a file")
		}
		if err := s.Empty(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if err := s.Admit(); err != nil {
			t.Errorf("after the checkpoint: %v", err)
		}
	})
}
