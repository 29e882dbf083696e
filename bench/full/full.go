// Package full makes base directories whose Queue is full, and starts cgqd on them.
package full

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"cgq/bench/rig"
	"cgq/pkg/disk"
	"cgq/pkg/fact"
	"cgq/pkg/journal"
	"cgq/pkg/mail"
	"cgq/pkg/spool"
)

// A Letter is a message that waits.
type Letter struct {
	Envelope *mail.Envelope
	Text     []byte
	Facts    []fact.Fact // behind those that put its recipients into the host queues of their domains
}

// Make makes a base directory whose Queue has so many messages, the n-th from 0 as letter
// says, which many call at the same time. One that was made whole before stays, whatever
// is in it now.
func Make(ctx context.Context, base string, messages int, letter func(n int) Letter) error {
	whole := filepath.Join(base, "whole") // written when all the rest is there
	if _, err := os.Stat(whole); err == nil {
		return nil
	}
	if err := os.RemoveAll(base); err != nil {
		return err
	}
	if err := os.Mkdir(base, 0o755); err != nil {
		return err
	}
	begin := time.Now()
	if err := fill(ctx, base, messages, letter); err != nil {
		return err
	}
	fmt.Printf("  made %d message files in %v\n", messages, time.Since(begin).Round(time.Second))
	return os.WriteFile(whole, nil, 0o600)
}

// fill fills the Queue in base, each message in its file, in the spool's own way, but
// without its syncs: who calls syncs the whole file system.
func fill(ctx context.Context, base string, messages int, letter func(n int) Letter) (err error) {
	real, err := disk.OpenOS(base)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, real.Close()) }()
	s, _, err := spool.Open(disk.Unsynced(real), "Queue", spool.Options{Journal: journal.Options{Segments: 16}}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	working, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		s.Run(working)
		close(ended)
	}()
	_, err = rig.Crowd(ctx, 16, rig.UpTo(messages), func(n int) error { return put(ctx, s, letter(n)) })
	cancel()
	<-ended
	return errors.Join(err, s.Empty())
}

// put puts a letter into the Queue, as the Enqueuer does.
func put(ctx context.Context, s *spool.Spool, l Letter) error {
	d, err := s.Draft(l.Envelope)
	if err != nil {
		return err
	}
	defer d.Discard()
	if _, err := d.ReadFrom(bytes.NewReader(l.Text)); err != nil {
		return err
	}
	var facts []fact.Fact
	for i, r := range l.Envelope.Recipients {
		facts = append(facts, fact.Routed{Rcpt: i, Module: "SMTP", Queue: r.Address.Domain, Address: r.Address})
	}
	number, err := d.Commit(ctx, journal.Intake, nil, append(facts, l.Facts...)...)
	if err != nil {
		return err
	}
	return s.Wait(number)
}

// Count counts the message files in the Queue of a base directory.
func Count(base string) (n int, err error) {
	queue := filepath.Join(base, "Queue")
	err = filepath.WalkDir(queue, func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && (d.Name() == "damaged" || d.Name() == "journal") {
			return fs.SkipDir
		}
		if err == nil && strings.HasSuffix(name, ".msg") {
			n++
		}
		return err
	})
	return n, err
}
