package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"cgq/pkg/disk"
	"cgq/pkg/spool"
)

// A full Queue has messages for so many domains, and every tenth for one of them.
const (
	queueDomains = 3000
	queueText    = 3 << 10 // bytes of a text: a file is a block of 4 KiB
)

func domain(n int) string {
	if n%10 == 0 {
		return "many.test"
	}
	return fmt.Sprintf("d%04d.test", n%queueDomains)
}

// generate fills the Queue in base with so many messages, each in its file, in the
// spool's own way, but without its syncs: who calls syncs the whole file system.
func generate(ctx context.Context, base string, messages int) (err error) {
	real, err := disk.OpenOS(base)
	if err != nil {
		return err
	}
	lazy := &counted{FS: real, lazy: true}
	s, _, err := spool.Open(lazy, "Queue", ofDaemon(), slog.New(slog.DiscardHandler))
	if err != nil {
		return errors.Join(err, real.Close())
	}
	k := &kept{s, lazy, letter(queueText), func() error { return errors.Join(s.Close(), real.Close()) }}
	defer func() { err = errors.Join(err, k.done()) }()
	stop := k.running(ctx)
	begin := time.Now()
	_, err = crowd(ctx, 16, upTo(messages), func(n int) error {
		_, err := k.accept(ctx, domain(n))
		return err
	})
	stop()
	if err := errors.Join(err, k.Empty()); err != nil {
		return err
	}
	fmt.Printf("  made %d message files in %v\n", messages, time.Since(begin).Round(time.Second))
	return nil
}

// countMessages counts the message files in the Queue of a base directory.
func countMessages(base string) (n int, err error) {
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

// fullQueue returns a base directory whose Queue has so many messages; on an image that
// was kept it may be there already.
func (b *bench) fullQueue(ctx context.Context, messages int) (base string, err error) {
	base = filepath.Join(b.site.Dir, fmt.Sprintf("queue-%d", messages))
	whole := filepath.Join(base, "whole") // written when all the rest is there
	if _, err := os.Stat(whole); err == nil {
		return base, nil
	}
	if err := os.RemoveAll(base); err != nil {
		return "", err
	}
	if err := os.Mkdir(base, 0o755); err != nil {
		return "", err
	}
	if err := generate(ctx, base, messages); err != nil {
		return "", err
	}
	return base, os.WriteFile(whole, nil, 0o600)
}
