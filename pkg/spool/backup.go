package spool

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"cgq/pkg/disk"
	"cgq/pkg/mail"
)

// A listed message was there at the instant of a backup.
type listed struct {
	id    mail.ID
	facts int32 // how many it had then
	more  bool  // it has more now
}

// A listing is the spool at one instant.
type listing struct {
	at       time.Time
	newest   Number // of all that had been said
	ceiling  mail.ID
	total    int // messages
	messages []listed
	standing []Standing
}

// listSlice is how many messages are listed before others get the lock.
const listSlice = 2000

// list notes what is there at the instant of its call. The lock is taken for some
// messages at a time; what changes meanwhile notes itself what it was at that instant
// (see since), so the list shows no half of an act: no fact of a frame that came
// later, and every one of a frame that came before. What has gone by then may be
// missing.
func (s *Spool) list() listing {
	s.listing.Lock()
	defer s.listing.Unlock()
	l := s.begin()
	s.fill(&l)
	return l
}

// begin is the instant.
func (s *Spool) begin() listing {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut = map[mail.ID]int32{}
	l := listing{at: time.Now().UTC().Truncate(time.Millisecond), newest: s.newest, ceiling: max(s.ceiling, s.last),
		total: s.messages.len()}
	for _, key := range slices.Sorted(maps.Keys(s.standing)) {
		if !strings.HasPrefix(key, internal) {
			l.standing = append(l.standing, Standing{key, s.standing[key].value})
		}
	}
	return l
}

// fill adds the messages of the instant.
func (s *Spool) fill(l *listing) {
	l.messages = make([]listed, 0, l.total)
	some := make([]listed, 0, 2*listSlice)
	for last, more := mail.ID(0), true; more; {
		s.mu.Lock()
		some = s.messages.some(some[:0], last, listSlice)
		for _, m := range some {
			last = m.id
			if facts, changed := s.cut[m.id]; changed {
				m.facts = facts
			}
			if m.facts >= 0 {
				l.messages = append(l.messages, m)
			}
		}
		if more = len(some) == listSlice; !more {
			s.cut = nil
		}
		s.mu.Unlock()
	}
}

// since notes, as long as a list is being made, how many facts a message had when
// that began: -1, if it was not there. It is called before the first of them is
// added. The caller holds mu.
func (s *Spool) since(id mail.ID, had int32) {
	if s.cut == nil {
		return
	}
	if _, changed := s.cut[id]; !changed {
		s.cut[id] = had
	}
}

// Backup writes an archive of the spool as it is at one instant: every message with
// the facts that it had then, all of them durable, and the standing things. A message
// that leaves the queue while the archive is written may be missing, and is counted;
// so is one whose file cannot be read, and the log names it. No lock is held while w
// is written to, so one who does not read keeps nobody waiting. Before Index has read
// all it is refused. The memory is 16 bytes
// a message. An error is one of w, of the journal, or the cause of ctx: then the
// archive has no end.
func (s *Spool) Backup(ctx context.Context, w io.Writer) (Archived, error) {
	if n := s.Unread(); n > 0 {
		return Archived{}, fmt.Errorf("spool: backup: %d messages are not read yet", n)
	}
	l := s.list()
	if err := s.Wait(l.newest); err != nil {
		return Archived{}, fmt.Errorf("spool: backup: %w", err)
	}
	a := &archiver{out: &tally{w: w, sum: sha256.New()}, at: l.at.Truncate(time.Second)}
	a.tar = tar.NewWriter(a.out)
	err := a.text(firstEntry, fmt.Appendf(nil, firstFormat, s.identity, l.at.Format(timeFormat), l.total, l.ceiling))
	for _, m := range l.messages {
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return a.Archived, fmt.Errorf("spool: backup: %w", err)
		}
		err = s.pack(a, m)
	}
	if a.Left = l.total - a.Messages - a.Damaged; err == nil {
		err = a.end(l.standing)
	}
	if err != nil {
		err = fmt.Errorf("spool: backup: %w", err)
	}
	return a.Archived, err
}

// pack writes one message. The error is one of the archive.
func (s *Spool) pack(a *archiver, l listed) error {
	c, err := s.copy(l)
	switch {
	case err == nil && c == nil: // gone meanwhile
		return nil
	case err != nil:
		a.Damaged++
		s.log.Error("left out of a backup: "+err.Error(), "id", l.id)
		return nil
	}
	defer c.close() //nolint:errcheck // it was read
	a.Messages++
	if err := a.begin(l.id.String()+".msg", c.size); err != nil {
		return err
	}
	_, err = io.Copy(a.tar, c)
	return err
}

// A copied message is one as it was at the instant of a list.
type copied struct {
	io.Reader
	size  int64
	close func() error
}

// copy returns a message with the facts that it had when it was listed, as its file
// would be after a clean stop; nil, if it has gone. Of a file the text is held against
// its check sum before.
func (s *Spool) copy(l listed) (*copied, error) {
	for {
		s.mu.Lock()
		m, ok := s.messages.look(l.id)
		s.mu.Unlock()
		if !ok {
			return nil, nil //nolint:nilnil // it is nobody's fault
		}
		l.more = m.facts > l.facts
		if m.image != nil {
			return l.copy(bytes.NewReader(m.image), int64(len(m.image)), m.unfiled, func() error { return nil }), nil
		}
		f, err := s.openFile(l.id, m)
		if err != nil {
			return nil, fmt.Errorf("message %d: %w", l.id, err)
		}
		if f == nil { // moved, or gone
			continue
		}
		c, err := l.copyFile(f, m.size, m.unfiled)
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return c, nil
	}
}

// copyFile copies a message of whose file so many bytes count; the lines of unfiled
// come behind them.
func (l listed) copyFile(f disk.File, size int64, unfiled []byte) (*copied, error) {
	has, err := f.Size()
	if err == nil && has < size {
		err = fmt.Errorf("message %d: %w: %d bytes, there were %d", l.id, ErrDamaged, has, size)
	}
	if err != nil {
		return nil, err
	}
	end, _, err := verifyText(f, l.id, size)
	if err != nil {
		return nil, err
	}
	tail := make([]byte, size-end, size-end+int64(len(unfiled)))
	if err := readAt(f, tail, end); err != nil {
		return nil, err
	}
	return l.copy(f, end, append(tail, unfiled...), f.Close), nil
}

// copy puts together where a text ends and the facts behind it.
func (l listed) copy(f io.ReaderAt, end int64, tail []byte, closed func() error) *copied {
	if l.more {
		tail = until(tail, int(l.facts))
	}
	tail = fillTo(tail[:len(tail):len(tail)], end) // of a young message it is the spool's
	return &copied{io.MultiReader(io.NewSectionReader(f, 0, end), bytes.NewReader(tail)), end + int64(len(tail)), closed}
}

// until leaves out the facts behind a number. What it cannot read it leaves in: it is
// the reason why a message is held.
func until(tail []byte, last int) []byte {
	kept := make([]byte, 0, len(tail)+sector)
	for raw := range bytes.Lines(tail) {
		if l, _, ok := parseLine(bytes.TrimSuffix(raw, []byte("\n"))); !ok || l.number <= last {
			kept = append(kept, raw...)
		}
	}
	return kept
}

// An archiver writes an archive.
type archiver struct {
	Archived
	tar *tar.Writer
	out *tally
	at  time.Time
}

func (a *archiver) begin(name string, size int64) error {
	return a.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: size, ModTime: a.at})
}

func (a *archiver) text(name string, b []byte) error {
	if err := a.begin(name, int64(len(b))); err != nil {
		return err
	}
	_, err := a.tar.Write(b)
	return err
}

// end writes what comes behind the messages.
func (a *archiver) end(standing []Standing) error {
	if err := a.text(standingEntry, appendStands(nil, standing)); err != nil {
		return err
	}
	if err := a.tar.Flush(); err != nil {
		return err
	}
	err := a.text(endEntry, fmt.Appendf(nil, endFormat, a.Messages, a.Left, a.Damaged, len(standing), a.out.n,
		fmt.Sprintf("%x", a.out.sum.Sum(nil))))
	err = errors.Join(err, a.tar.Close())
	a.Bytes = a.out.n
	return err
}

// A tally counts and sums up what is written to w.
type tally struct {
	w   io.Writer
	n   int64
	sum hash.Hash
}

func (t *tally) Write(p []byte) (int, error) {
	n, err := t.w.Write(p)
	t.n += int64(n)
	t.sum.Write(p[:n]) // never fails
	return n, err
}
