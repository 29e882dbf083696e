package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"cgq/pkg/fact"
	"cgq/pkg/journal"
	"cgq/pkg/mail"
	"cgq/pkg/spool"
)

// A kept spool is one that is measured.
type kept struct {
	*spool.Spool
	fs   *counted
	text []byte // of every message
	done func() error
}

// ofDaemon are the options that cgqd has by default.
func ofDaemon() spool.Options {
	return spool.Options{Journal: journal.Options{Segments: journalSegments}}
}

// openSpool opens a new spool in dir.
func openSpool(dir string, o spool.Options, text int) (*kept, error) {
	fs, closeFS, err := sub(dir, "spool")
	if err != nil {
		return nil, err
	}
	s, _, err := spool.Open(fs, "Queue", o, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, errors.Join(err, closeFS())
	}
	return &kept{s, fs, letter(text), func() error { return errors.Join(s.Close(), closeFS()) }}, nil
}

// letter is a text of so many bytes.
func letter(size int) []byte {
	const head = "From: <sender@src.test>\nTo: <rcpt@dst.test>\nSubject: a measurement\n\n"
	line := strings.Repeat("x", 71) + "\n"
	return []byte(head + strings.Repeat(line, size/len(line)+1))[:size]
}

func envelope(domain string) *mail.Envelope {
	return &mail.Envelope{
		ReturnPath: mail.Address{Local: "sender", Domain: "src.test"},
		Recipients: []mail.Recipient{{Address: mail.Address{Local: "rcpt", Domain: domain}}},
		Source:     mail.SMTP, Peer: netip.MustParseAddr("127.0.0.1"), Domain: "bench.test", Submitted: time.Now(),
	}
}

// accept takes a message as the Enqueuer does. When it returns the message is durable.
func (k *kept) accept(ctx context.Context, domain string) (mail.ID, error) {
	e := envelope(domain)
	d, err := k.Draft(e)
	if err != nil {
		return 0, err
	}
	defer d.Discard()
	if _, err := d.ReadFrom(bytes.NewReader(k.text)); err != nil {
		return 0, err
	}
	routed := fact.Routed{Module: "SMTP", Queue: domain, Address: e.Recipients[0].Address}
	n, err := d.Commit(ctx, journal.Intake, nil, routed)
	if err != nil {
		return 0, err
	}
	return d.ID, k.Wait(n)
}

var relayed = mail.Result{Action: mail.Relayed, Status: mail.Status{2, 0, 0}, Text: "relayed via dst.test: 250 ok", MTA: "dst.test"}

// leave says that a message has been transferred and is gone, as the kernel and the
// Dequeuer do: nobody waits for that.
func (k *kept) leave(id mail.ID) (spool.Number, error) {
	if _, err := k.Append(fact.Change{ID: id, Fact: fact.Settled{At: time.Now(), Result: relayed}}); err != nil {
		return 0, fmt.Errorf("message %d: settle: %w", id, err)
	}
	n, err := k.Append(fact.Change{ID: id, Fact: fact.Gone{}})
	if err != nil {
		return 0, fmt.Errorf("message %d: gone: %w", id, err)
	}
	return n, nil
}

// running lets the spool make checkpoints until stop is called.
func (k *kept) running(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		k.Run(ctx)
		close(ended)
	}()
	return func() {
		cancel()
		<-ended
	}
}
