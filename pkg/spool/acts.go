package spool

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"cgq/pkg/disk"
	"cgq/pkg/fact"
	"cgq/pkg/journal"
	"cgq/pkg/mail"
)

// kindActs is added to the kind of a frame whose batch did not fit into it (J4): in
// place of the batch stands where that is,
//
//	<n> <length> <CRC-32C>      of Queue/acts/<n>, a batch, which was synced before
//	<id> <more>                 a line for each message that got facts since that was written
//
// The numbers of the facts in the file were the next ones when it was written. While
// that goes on, which takes the disk, messages of the act may get other facts: their
// numbers in the file are too low by so many as the frame says. So the frame, whose
// place in the journal is the act's, fixes the numbers, and whoever reads it has the
// same ones. n is an id that no message has: it is never given twice (F8).
const kindActs journal.Kind = 8

// An act is what one frame says besides a message of its own: facts, of one message
// or many, and standing things.
type act struct {
	changes []fact.Change
	stands  []Standing
	file    *actFile // holds the batch; nil: it goes into the frame
	tries   int      // to write one
}

// An actFile is a batch in a file, and what its numbers rely on.
type actFile struct {
	reference
	bases []base
}

// A base is how many facts a message had when those behind them were numbered.
type base struct {
	id    mail.ID
	facts int32
}

// A reference is what a frame says of a file.
type reference struct {
	n      mail.ID
	length int
	sum    uint32
	more   map[mail.ID]int // by how much the numbers in the file are too low
}

// errLarge says that an act goes into a file before a frame can say it.
var errLarge = errors.New("more than a frame takes")

var errLostAct = errors.New("no frame names this act, and the journal has lost commits")

// actTries is how often an act is written while others add facts to so many of its
// messages that not even these fit into a frame: many ten thousand at a time.
const actTries = 5

func (s *Spool) acts() string                { return path.Join(s.dir, "acts") }
func (s *Spool) actName(n mail.ID) string    { return path.Join(s.acts(), n.String()) }
func (s *Spool) actTmpName(n mail.ID) string { return s.actName(n) + ".tmp" }

// payload is what a frame says of an act, in so many bytes at most: a batch, or where
// it is; kind is to be added to the frame's. After errLarge fileAct is to be called.
// The caller holds mu.
func (s *Spool) payload(a *act, limit int) (kind journal.Kind, b []byte, err error) {
	if a.file != nil {
		b, err := s.refer(a.file)
		if err != nil || len(b) <= limit {
			return kindActs, b, err
		}
	}
	if len(a.changes) > composeAbove {
		return 0, nil, errLarge
	}
	w := batchWriter{s: s}
	if err := w.add(a.changes); err != nil {
		return 0, nil, err
	}
	if b = appendStands(w.b, a.stands); len(b) <= limit {
		return 0, b, nil
	}
	return 0, nil, errLarge
}

// composeAbove is how many changes are written while nobody else has to wait. More go into
// a file, so many at a time.
const composeAbove = 2000

// actBatch writes the batch of an act that goes into a file. Nobody calls it holding mu.
func (s *Spool) actBatch(a *act) ([]byte, []base, error) {
	w := batchWriter{s: s, counts: make(map[mail.ID]counted, len(a.changes))}
	for some := range slices.Chunk(a.changes, composeAbove) {
		s.mu.Lock()
		err := w.add(some)
		s.mu.Unlock()
		if err != nil {
			return nil, nil, err
		}
	}
	return appendStands(w.b, a.stands), w.bases(), nil
}

// refer writes the reference to a file, with what has changed since it was written.
// The caller holds mu.
func (s *Spool) refer(f *actFile) ([]byte, error) {
	b := fmt.Appendf(nil, "%d %d %08x\n", uint64(f.n), f.length, f.sum)
	for _, was := range f.bases {
		facts, ok := s.messages.facts(was.id)
		if !ok {
			return nil, fmt.Errorf("%w: there is no message %d any more", ErrFact, was.id)
		}
		if facts != was.facts {
			b = fmt.Appendf(b, "%d %d\n", uint64(was.id), facts-was.facts)
		}
	}
	return b, nil
}

// parseReference reads what refer has written.
func parseReference(b []byte) (r reference, err error) {
	first, rest, _ := strings.Cut(string(b), "\n")
	_, err = fmt.Sscanf(first, "%d %d %x", &r.n, &r.length, &r.sum)
	if err != nil || r.n == 0 || r.length < 0 || first != fmt.Sprintf("%d %d %08x", uint64(r.n), r.length, r.sum) {
		return r, fmt.Errorf("%w: the file of an act: %q", fact.ErrText, first)
	}
	r.more = map[mail.ID]int{}
	for line := range strings.Lines(rest) {
		var id mail.ID
		var more int
		_, err := fmt.Sscanf(line, "%d %d\n", &id, &more)
		if err != nil || more < 1 || line != fmt.Sprintf("%d %d\n", uint64(id), more) {
			return r, fmt.Errorf("%w: the numbers of an act: %q", fact.ErrText, line)
		}
		r.more[id] = more
	}
	return r, nil
}

// fileAct puts the batch of an act into a file, durably, before a frame says that it
// counts. Nobody calls it holding mu.
func (s *Spool) fileAct(a *act) error {
	s.dropAct(a)
	if a.tries++; a.tries > actTries {
		return fmt.Errorf("%w: its messages got more other facts than a frame takes, %d times: try again", ErrFact, actTries)
	}
	lines, bases, err := s.actBatch(a)
	if err != nil {
		return err
	}
	n, _, err := s.newID()
	if err != nil {
		return fmt.Errorf("spool: act: %w", err)
	}
	a.file = &actFile{reference{n: n, length: len(lines), sum: crc32.Checksum(lines, castagnoli)}, bases}
	f, err := s.write(s.actTmpName(n), lines)
	if err == nil {
		err = errors.Join(disk.Publish(s.fs, f, s.actTmpName(n), s.actName(n)), f.Close())
	}
	if err != nil {
		return fmt.Errorf("spool: act: %w", err)
	}
	return nil
}

// dropAct takes a file away that no frame names.
func (s *Spool) dropAct(a *act) {
	if a.file == nil {
		return
	}
	s.removeAct(s.actTmpName(a.file.n))
	s.removeAct(s.actName(a.file.n))
	a.file = nil
}

func (s *Spool) removeAct(name string) {
	if err := s.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Error("cannot remove the file of an act; it goes at the next start", "file", name, "err", err)
	}
}

// said notes that commit n says an act, in a frame to whose kind so much was added.
// The caller holds mu.
func (s *Spool) said(a *act, kind journal.Kind, n Number) {
	if kind == kindActs {
		s.filed[a.file.n] = n
		a.file = nil
	}
	s.apply(n, a.changes)
	for _, st := range a.stands {
		s.stand(st, n)
	}
}

// freeActs takes the files away whose frames are free, through commit n. Whatever
// becomes of that: the next start removes what no frame names.
func (s *Spool) freeActs(n Number) {
	s.mu.Lock()
	var done []mail.ID
	for id, said := range s.filed {
		if said <= n {
			done = append(done, id)
			delete(s.filed, id)
		}
	}
	s.mu.Unlock()
	slices.Sort(done)
	for _, id := range done {
		s.removeAct(s.actName(id))
	}
}

// listActs finds the files of acts.
func (r *recovering) listActs() error {
	names, err := r.fs.List(r.acts())
	if err != nil {
		return err
	}
	for _, name := range names {
		file := path.Join(r.acts(), name)
		n, ok := mail.ParseID(strings.TrimSuffix(name, ".tmp"))
		switch {
		case !ok || n > maxID || file != r.actName(n) && file != r.actTmpName(n):
			r.finding(file, fmt.Errorf("%w: it has no name of ours here", ErrDamaged), leftAlone)
		case !r.movable(file):
			r.finding(file, disk.ErrNotRegular, leftAlone)
		default:
			r.unnamed[file] = n
		}
	}
	return nil
}

// batchOf reads the batch of a frame, wherever it is. A file that is not there as it
// was is a hole in the journal (R3): none of its facts happens, and a message that has
// got others since is held.
func (r *recovering) batchOf(f journal.Frame, b []byte) ([]numbered, []Standing, error) {
	if f.Kind&kindActs == 0 {
		return parseBatch(b)
	}
	ref, err := parseReference(b)
	if err != nil {
		return nil, nil, err
	}
	name := r.actName(ref.n)
	lines, err := r.readAct(name, ref)
	if errors.Is(err, ErrDamaged) {
		fate := "nothing is left of it"
		if _, ours := r.unnamed[name]; ours {
			fate = "moved to " + r.damaged()
			r.moves = append(r.moves, name)
		}
		delete(r.unnamed, name)
		r.holed = true
		r.finding(name, err, fate)
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	delete(r.unnamed, name)
	r.filed[ref.n] = f.Number
	all, stands, err := parseBatch(lines)
	for i := range all {
		all[i].number += ref.more[all[i].ID]
	}
	return all, stands, err
}

// actOf is the batch in the file that a frame names, or nothing: what is wrong with it is
// told when the frame has its turn.
func (r *recovering) actOf(b []byte) []byte {
	ref, err := parseReference(b)
	if err != nil {
		return nil
	}
	lines, _ := r.readAct(r.actName(ref.n), ref)
	return lines
}

// readAct reads the file of an act, and believes it, or says why not.
func (r *recovering) readAct(name string, ref reference) ([]byte, error) {
	b, err := disk.ReadFile(r.fs, name)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, disk.ErrNotRegular):
		return nil, fmt.Errorf("act %d: %w: its facts are missing", ref.n, ErrDamaged)
	case err != nil:
		return nil, err
	case len(b) != ref.length:
		return nil, fmt.Errorf("act %d: %w: %d bytes, its frame says %d", ref.n, ErrDamaged, len(b), ref.length)
	case crc32.Checksum(b, castagnoli) != ref.sum:
		return nil, fmt.Errorf("act %d: %w: its check sum is wrong", ref.n, ErrDamaged)
	}
	return b, nil
}

// sentenceActs says what becomes of the files that no frame names: their acts were
// never said, or are free. But of one that had its name a hole in the journal may be
// the reason (R3).
func (r *recovering) sentenceActs() {
	for _, name := range slices.SortedFunc(maps.Keys(r.unnamed), func(a, b string) int {
		return cmp.Or(cmp.Compare(r.unnamed[a], r.unnamed[b]), cmp.Compare(a, b))
	}) {
		if r.holed && name == r.actName(r.unnamed[name]) {
			r.moves = append(r.moves, name)
			r.finding(name, fmt.Errorf("%w: %w", ErrDamaged, errLostAct), "moved to "+r.damaged())
			continue
		}
		r.Removed = append(r.Removed, name)
	}
}
