package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"time"

	"cgq/pkg/disk"
	"cgq/pkg/fact"
	"cgq/pkg/journal"
	"cgq/pkg/mail"
)

// A Draft is a Temp File: a message that is being composed and counts for nothing
// (chapter: messages are created as temporary files). As long as it is small it is
// memory; what is over the inline limit, or comes when the memory for young texts
// is used up, is a file (F4). One goroutine uses it, and ends it with Commit or
// Discard; Discard after Commit does nothing.
type Draft struct {
	ID     mail.ID
	folder folder
	s      *Spool
	buf    []byte    // V line, envelope and text; of a spilled draft the part not written yet
	pool   *[]byte   // where buf came from
	textAt int       // where the text begins
	start  []byte    // of a spilled draft: the first bytes of the text
	file   disk.File // spilled
	done   int64     // bytes written to it
	sum    uint32    // of what was written, without the V line
	err    error     // of a write, sticky
}

// startSize is how much of the text of a spilled draft Start returns at least.
const startSize = 64 << 10

// maxEnvelope is how many bytes of lines an envelope may have, so that a damaged number
// cannot make a start read a whole text for one: 600 for each of 100,000 recipients.
const maxEnvelope = 64 << 20

// maxFacts is how many bytes a file may have behind its text, which are read into
// memory at once: more are those of a file that somebody has made longer.
const maxFacts = 1 << 30

// Draft begins a message with a new id. The envelope is written down now.
func (s *Spool) Draft(e *mail.Envelope) (*Draft, error) {
	id, in, err := s.newID()
	if err != nil {
		return nil, fmt.Errorf("spool: draft: %w", err)
	}
	d := &Draft{ID: id, folder: in, s: s}
	d.pool, _ = s.scratch.Get().(*[]byte)
	if d.pool == nil {
		b := make([]byte, 0, 16<<10)
		d.pool = &b
	}
	d.buf = appendEnvelope(append((*d.pool)[:0], make([]byte, headSize)...), e)
	if d.textAt = len(d.buf); d.textAt > maxEnvelope {
		d.Discard()
		return nil, fmt.Errorf("spool: draft: an envelope of %d bytes, %d are the most", d.textAt, maxEnvelope)
	}
	return d, nil
}

// Write adds to the text.
func (d *Draft) Write(p []byte) (int, error) {
	if d.err != nil {
		return 0, d.err
	}
	d.buf = append(d.buf, p...)
	return len(p), d.spill()
}

// ReadFrom adds all that r has to the text. An error of r comes back as it is.
func (d *Draft) ReadFrom(r io.Reader) (read int64, err error) {
	for d.err == nil {
		if cap(d.buf)-len(d.buf) < 4<<10 {
			d.buf = append(d.buf, make([]byte, 4<<10)...)[:len(d.buf)] // doubles
		}
		n, err := r.Read(d.buf[len(d.buf):cap(d.buf)])
		d.buf, read = d.buf[:len(d.buf)+n], read+int64(n)
		if err == io.EOF {
			return read, d.spill()
		}
		if err != nil {
			return read, err
		}
		if err := d.spill(); err != nil {
			return read, err
		}
	}
	return read, d.err
}

// spill writes what is in memory to the file, if it has become too much.
func (d *Draft) spill() error {
	if len(d.buf) <= d.s.options.Load().InlineLimit && (d.file != nil || !d.s.crowded()) {
		return nil
	}
	if err := d.create(); err != nil {
		return err
	}
	return d.flush()
}

// create makes the file, if there is none.
func (d *Draft) create() error {
	if d.file != nil {
		return nil
	}
	name := d.s.name(d.ID, d.folder, ".tmp")
	err := d.recycled(name)
	var f disk.File
	if err == nil {
		f, err = d.s.fs.Create(name)
	}
	if err != nil {
		d.err = fmt.Errorf("spool: temporary file: %w", err)
		return d.err
	}
	d.file = f
	return nil
}

// crowded says that the texts in memory are as many as they may be.
func (s *Spool) crowded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.young >= s.options.Load().Memory
}

func (d *Draft) flush() error {
	counted := d.buf
	if d.done == 0 {
		counted = d.buf[headSize:]
	}
	d.sum = crc32.Update(d.sum, castagnoli, counted)
	d.start = d.Start()
	n, err := d.file.WriteAt(d.buf, d.done)
	d.done += int64(n)
	if d.buf = d.buf[:0]; err != nil {
		d.err = fmt.Errorf("spool: temporary file: %w", err)
	}
	return d.err
}

// Err is why the text could not be taken, if that is a fault of the disk and not of
// the reader that it came from.
func (d *Draft) Err() error { return d.err }

// Start returns the first bytes of the text, all of it or at least 64 KiB: enough
// for a header. It is valid until Commit or Discard.
func (d *Draft) Start() []byte {
	if d.file == nil {
		return d.buf[d.textAt:]
	}
	text := d.buf[max(0, d.textAt-int(d.done)):] // the envelope is in the first piece
	return append(d.start[:len(d.start):len(d.start)], text[:min(len(text), max(0, startSize-len(d.start)))]...)
}

// Text reads the text so far. It is valid until the next Write, Commit or Discard.
func (d *Draft) Text() io.Reader {
	if d.file == nil {
		return bytes.NewReader(d.buf[d.textAt:])
	}
	return io.MultiReader(io.NewSectionReader(d.file, int64(d.textAt), d.done-int64(d.textAt)), bytes.NewReader(d.buf))
}

// Size is the length of the text so far, in bytes.
func (d *Draft) Size() int64 { return d.done + int64(len(d.buf)) - int64(d.textAt) }

// Commit is [Spool.Submit] of one message.
func (d *Draft) Commit(ctx context.Context, share journal.Share, parents []fact.Change, facts ...fact.Fact) (Number, error) {
	return d.s.Submit(ctx, share, parents, Submission{d, facts})
}

// A Submission is a draft with its first facts.
type Submission struct {
	*Draft
	Facts []fact.Fact
}

// Submit submits messages, each with its first facts, and, as one with them, the facts
// about the messages that they came of (L5): all of that, or none. They survive power
// loss when Wait for the number has returned nil; whatever becomes of the client (J1).
// After an error nothing is left behind: ErrFull, when a checkpoint has not made
// room within ten seconds. share is Intake for mail that comes in and Inside for
// what the server makes itself.
func (s *Spool) Submit(ctx context.Context, share journal.Share, parents []fact.Change, all ...Submission) (Number, error) {
	n, err := s.submit(ctx, share, parents, all)
	if err != nil {
		for _, d := range all {
			d.Discard()
		}
		return 0, fmt.Errorf("spool: message %d: %w", all[0].ID, err)
	}
	for _, d := range all {
		d.release()
	}
	return n, nil
}

// A born message has all but its frame.
type born struct {
	id    mail.ID
	kind  journal.Kind
	m     *message
	image []byte // or the note of its file
	lines []byte
}

// bear makes a draft whole: in memory as long as there is room for it in the frame, of
// which it takes some, else in its file.
func (d *Draft) bear(facts []fact.Fact, room *int) (born, error) {
	if d.err != nil {
		return born{}, d.err
	}
	m := &message{folder: d.folder, textAt: int32(d.textAt), text: d.Size(), facts: int32(len(facts))}
	var lines []byte
	for i, f := range facts {
		lines = appendLine(lines, i+1, f)
		m.edited = m.edited || edits(f) != nil
	}
	if d.file != nil || len(d.buf)+len(lines) > *room {
		if d.err = d.finish(m, lines); d.err != nil {
			return born{}, d.err
		}
		d.buf = appendDraftNote(d.buf[:0], m)
		return born{id: d.ID, kind: kindDraft, m: m, image: d.buf}, nil
	}
	*room -= len(d.buf) + len(lines)
	putHead(d.buf, d.ID, d.textAt, m.text, crc32.Checksum(d.buf[headSize:], castagnoli))
	m.image, m.unfiled = bytes.Clone(d.buf), lines
	return born{d.ID, kindMessage, m, d.buf, lines}, nil
}

// finish makes the file whole and durable, still under its temporary name (F4).
func (d *Draft) finish(m *message, lines []byte) error {
	if err := d.create(); err != nil {
		return err
	}
	if err := d.flush(); err != nil {
		return err
	}
	end := d.done
	tail := fillTo(lines, end)
	if _, err := d.file.WriteAt(tail, end); err != nil {
		return err
	}
	head := make([]byte, headSize)
	putHead(head, d.ID, d.textAt, m.text, d.sum)
	if _, err := d.file.WriteAt(head, 0); err != nil {
		return err
	}
	if err := d.file.Datasync(); err != nil {
		return err
	}
	m.draft, m.size = true, end+int64(len(tail))
	return d.s.syncDir(d.folder)
}

// fillTo fills b up so that, written at offset at, it ends on a sector.
func fillTo(b []byte, at int64) []byte {
	return append(b, bytes.Repeat([]byte("\n"), int((sector-(at+int64(len(b)))%sector)%sector))...)
}

// appendDraftNote is what a frame says of a file that it names.
func appendDraftNote(b []byte, m *message) []byte {
	return fmt.Appendf(b, "%d %d %d\n", m.textAt, m.text, m.size)
}

// roomWait is how long a message waits for a checkpoint to make room (J5).
const roomWait = 10 * time.Second

// submit appends the frames, as soon as there is room, and puts the messages among
// the others.
func (s *Spool) submit(ctx context.Context, share journal.Share, parents []fact.Change, drafts []Submission) (Number, error) {
	all := make([]born, len(drafts))
	room := s.journal.FrameLimit() / 2
	for i, d := range drafts {
		var err error
		if all[i], err = d.bear(d.Facts, &room); err != nil {
			return 0, err
		}
	}
	births := &act{changes: parents}
	defer s.dropAct(births)
	var patience <-chan time.Time
	for {
		n, freed, err := s.try(share, births, all)
		if errors.Is(err, errLarge) {
			if err := s.fileAct(births); err != nil {
				return 0, err
			}
			continue
		}
		if !errors.Is(err, ErrFull) {
			return n, err
		}
		if patience == nil {
			timer := time.NewTimer(roomWait)
			defer timer.Stop()
			patience = timer.C
			defer s.waits()()
		}
		select {
		case <-freed:
		case <-patience:
			return 0, err
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// maxCount is how many bytes the length of a batch takes, with its newline.
const maxCount = 16

// frames are those of messages; the first of them says the batch, too.
func frames(all []born, batch []byte) []journal.Entry {
	list := make([]journal.Entry, len(all))
	for i, b := range all {
		count := append(strconv.AppendInt(make([]byte, 0, maxCount), int64(len(batch)), 10), '\n')
		list[i] = journal.Entry{Kind: b.kind, ID: uint64(b.id), Payload: [][]byte{count, batch, b.image, b.lines}}
		batch = nil
	}
	return list
}

// try is one attempt of submit; freed is closed when there may be more room.
func (s *Spool) try(share journal.Share, births *act, all []born) (n Number, freed chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	filed, batch, err := s.payload(births, s.journal.FrameLimit()-journal.Length(frames(all, nil)...)-maxCount)
	if err != nil {
		return 0, nil, err
	}
	entries := frames(all, batch)
	entries[0].Kind |= filed
	size := journal.Length(entries...)
	if err := s.journal.Book(share, size); err != nil {
		s.starved = true
		s.wake()
		return 0, s.freed, err
	}
	if n, err = s.append(entries...); err != nil {
		s.journal.Unbook(size)
		return 0, s.freed, err
	}
	for _, b := range all {
		b.m.oldest = n
		s.since(b.id, -1)
		s.messages.put(b.id, b.m)
		s.unfiled++
		s.young += int64(len(b.m.image))
	}
	if s.young >= s.options.Load().Memory {
		s.wake()
	}
	s.said(births, filed, n)
	return n, nil, nil
}

// Discard throws the draft away (chapter: the Module discards of the temporary file).
func (d *Draft) Discard() {
	switch {
	case d.file == nil:
	case d.err != nil: // never again into a file that failed
		d.s.throwAway(spare{d.ID, d.folder})
	default:
		d.s.discard(d.ID, d.folder)
	}
	d.release()
}

// release gives the memory back; the second time it does nothing.
func (d *Draft) release() {
	if d.file != nil {
		d.file.Close() // its bytes are synced or thrown away
		d.file = nil
	}
	if d.pool != nil {
		if cap(d.buf) <= 1<<20 {
			*d.pool = d.buf[:0]
			d.s.scratch.Put(d.pool)
		}
		d.pool, d.buf = nil, nil
	}
}
