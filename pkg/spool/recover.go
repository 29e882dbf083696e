package spool

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"cgq/pkg/disk"
	"cgq/pkg/fact"
	"cgq/pkg/header"
	"cgq/pkg/journal"
	"cgq/pkg/mail"
)

// folders is how many NN there are (chapter: Queue Foldering).
const folders = 100

// A Found message is one that a start has found in the Queue.
type Found struct {
	ID       mail.ID
	Envelope *mail.Envelope
	Subject  string
	Size     int64 // of the text
	Facts    []fact.Fact
	Hold     string // why nobody may touch it before a person has looked; empty: none
}

// A Recovery is what a start finds, and does about it.
type Recovery struct {
	Messages []Found  // by their ids
	Damage   []error  // each a [Finding]: was durable once and is lost, or cannot be believed
	Removed  []string // temporary files that nothing names: what was never accepted
}

// A candidate is a message in the making.
type candidate struct {
	m     *message
	env   []byte // envelope lines
	start []byte // of the text
	lines []line // by number
	torn  bool   // the lines of the file do not end as they were written
	filed bool   // a file has its text
}

// A recovering spool is a spool while it is read. Until that is done nothing is written.
type recovering struct {
	*Spool
	Recovery
	found  map[mail.ID]*candidate
	bad    map[mail.ID]error
	drafts map[mail.ID]string // .tmp files
	images map[mail.ID][]byte // of the bad ones that only the journal holds; nil: a file does
	moves  []string           // files that go to damaged/
	holed  bool               // commits of the journal are lost
}

func recovery(fsys disk.FS, dir string, log *slog.Logger) *recovering {
	s := &Spool{fs: fsys, dir: dir, log: log, messages: map[mail.ID]*message{},
		unfiled: map[mail.ID]*message{}, standing: map[string]standing{},
		gone: map[mail.ID]bool{}, unsynced: map[string]bool{}, due: make(chan struct{}, 1), freed: make(chan struct{})}
	return &recovering{Spool: s, found: map[mail.ID]*candidate{}, bad: map[mail.ID]error{},
		drafts: map[mail.ID]string{}, images: map[mail.ID][]byte{}}
}

// Open recovers the spool in dir. When it returns a spool, the journal holds
// standing things alone and the files are the whole truth. A file or segment of a
// newer version is an error, and nothing is touched; so is half a backup
// ([ErrUnfinished]).
func Open(fsys disk.FS, dir string, o Options, log *slog.Logger) (*Spool, *Recovery, error) {
	if err := finished(fsys, dir); err != nil {
		return nil, nil, err
	}
	return open(fsys, dir, o, log)
}

func open(fsys disk.FS, dir string, o Options, log *slog.Logger) (*Spool, *Recovery, error) {
	r := recovery(fsys, dir, log)
	dirs := []string{r.journals(), r.damaged()}
	for nn := range folders {
		dirs = append(dirs, r.folder(nn))
	}
	for _, d := range dirs {
		if err := fsys.Mkdir(d); err != nil {
			return nil, nil, fmt.Errorf("spool: %w", err)
		}
	}
	if err := errors.Join(fsys.SyncDir(path.Dir(dir)), fsys.SyncDir(dir)); err != nil {
		return nil, nil, fmt.Errorf("spool: %w", err)
	}
	o.Journal.Aside = r.damaged()
	var err error
	if r.journal, err = journal.Open(fsys, r.journals(), o.Journal); err != nil {
		return nil, nil, fmt.Errorf("spool: %w", err)
	}
	o.setDefaults(r.journal.FrameLimit())
	r.options = o
	if err := r.recover(); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("spool: recover: %w", err), r.journal.Close())
	}
	return r.Spool, &r.Recovery, nil
}

func (s *Spool) journals() string { return path.Join(s.dir, "journal") }
func (s *Spool) damaged() string  { return path.Join(s.dir, "damaged") }

// recover reads everything first, then writes: a crash meanwhile changes nothing (R1).
func (r *recovering) recover() error {
	if err := r.read(r.journal.Replay()); err != nil {
		return err
	}
	if r.identity == "" {
		var random [8]byte
		rand.Read(random[:]) // never fails
		r.identity = fmt.Sprintf("%x", random)
		if err := r.raise(); err != nil {
			return err
		}
	}
	if err := r.setAside(); err != nil {
		return err
	}
	return r.rewrite()
}

// read reads files and frames, and says what becomes of them. It writes nothing.
func (r *recovering) read(frames iter.Seq2[journal.Frame, error]) error {
	if err := r.readCeiling(); err != nil {
		return err
	}
	for nn := range folders {
		if err := r.index(r.folder(nn)); err != nil {
			return err
		}
	}
	for f, err := range frames {
		var hole *journal.DamageError
		switch {
		case errors.As(err, &hole):
			r.holed = true
			r.finding(hole.Segment, err, "moved to "+r.damaged())
		case err != nil:
			return err
		default:
			if err := r.replay(f); err != nil {
				return fmt.Errorf("commit %d: %w", f.Number, err)
			}
		}
	}
	r.judge()
	r.sentence()
	return nil
}

// maxID is the highest id there can be: a fact takes no higher one, and a ceiling above
// it still is a number.
const maxID = 1 << 62

// readCeiling reads the id ceiling and the identity of the spool, if it has them.
func (r *recovering) readCeiling() error {
	name := path.Join(r.dir, "ids")
	b, err := r.slurp(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	ceiling, rest, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
	n, err := strconv.ParseUint(ceiling, 10, 64)
	if err != nil || n > maxID || rest == "" || strings.ContainsAny(rest, " /\n") {
		return fmt.Errorf("%s: not a number and an identity: %q; write a number above every id ever used, a space and a word", name, b)
	}
	r.last, r.ceiling, r.identity = mail.ID(n), mail.ID(n), rest
	return nil
}

// index reads the files of one folder.
func (r *recovering) index(folder string) error {
	names, err := r.fs.List(folder)
	if err != nil {
		return err
	}
	for _, name := range names {
		file := path.Join(folder, name)
		stem, msg := strings.CutSuffix(name, ".msg")
		tmp := !msg
		if tmp {
			stem = strings.TrimSuffix(name, ".tmp")
		}
		id, ok := mail.ParseID(stem)
		if !ok || id > maxID || file != r.name(id, suffix(tmp)) {
			r.finding(file, fmt.Errorf("%w: it has no name of ours here", ErrDamaged), leftAlone)
			continue
		}
		if tmp && !r.movable(file) {
			r.finding(file, disk.ErrNotRegular, leftAlone)
			continue
		}
		if tmp {
			r.drafts[id] = file
			continue
		}
		f, err := r.readFile(id, file)
		switch {
		case errors.Is(err, ErrVersion):
			return err
		case errors.Is(err, ErrDamaged):
			r.bad[id] = err
		case err != nil:
			r.finding(file, err, leftAlone)
		default:
			r.found[id] = f
		}
		r.last = max(r.last, id) // put back by hand from elsewhere
	}
	return nil
}

// readFile reads a message file and believes it, or says why not.
func (r *recovering) readFile(id mail.ID, name string) (*candidate, error) {
	f, err := r.fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, min(size, 64<<10))
	if _, err := f.ReadAt(b, 0); err != nil && err != io.EOF {
		return nil, err
	}
	h, err := parseHead(b, id)
	if err != nil {
		return nil, err
	}
	end := int64(h.textAt) + h.text
	if end > size || h.textAt > maxEnvelope {
		return nil, fmt.Errorf("message %d: %w: %d bytes, its first line says %d", id, ErrDamaged, size, end)
	}
	fi := &candidate{filed: true, m: &message{textAt: int32(h.textAt), text: h.text, size: size}}
	sum := crc32.New(castagnoli)
	keep := &keeper{limit: h.textAt - headSize + int(min(h.text, 8<<10))}
	if _, err := io.Copy(io.MultiWriter(sum, keep), io.NewSectionReader(f, int64(headSize), end-int64(headSize))); err != nil {
		return nil, err
	}
	if crc32.Update(sum.Sum32(), castagnoli, b[:sumAt]) != h.sum {
		return nil, fmt.Errorf("message %d: %w: its check sum is wrong", id, ErrDamaged)
	}
	fi.env, fi.start = keep.b[:h.textAt-headSize], keep.b[h.textAt-headSize:]
	if size-end > maxFacts {
		return nil, fmt.Errorf("message %d: %w: %d bytes of facts", id, ErrDamaged, size-end)
	}
	tail := make([]byte, size-end)
	if n, err := f.ReadAt(tail, end); err != nil && (err != io.EOF || n < len(tail)) {
		return nil, err
	}
	var whole bool
	fi.lines, whole = parseLines(tail)
	fi.sort()
	fi.torn = !whole || size%sector != 0
	return fi, nil
}

// A keeper keeps the first bytes of what is written to it.
type keeper struct {
	b     []byte
	limit int
}

func (k *keeper) Write(p []byte) (int, error) {
	if room := k.limit - len(k.b); room > 0 {
		k.b = append(k.b, p[:min(room, len(p))]...)
	}
	return len(p), nil
}

// sort puts the lines in their order; twice is once (F2).
func (f *candidate) sort() {
	slices.SortStableFunc(f.lines, func(a, b line) int { return cmp.Compare(a.number, b.number) })
	f.lines = slices.CompactFunc(f.lines, func(a, b line) bool { return a.number == b.number })
}

// replay does to the messages what a frame says. Doing it twice changes nothing.
func (r *recovering) replay(f journal.Frame) error {
	id := mail.ID(f.ID)
	switch f.Kind {
	case kindMessage, kindDraft:
		births, rest, err := splitBirths(f.Payload)
		if err != nil {
			return err
		}
		if err := r.applyBatch(f.Number, births); err != nil {
			return err
		}
		r.last = max(r.last, id)
		if f.Kind == kindDraft {
			return r.replayDraft(f.Number, id, rest)
		}
		return r.replayImage(f.Number, id, rest)
	case kindFacts:
		return r.applyBatch(f.Number, f.Payload)
	}
	return fmt.Errorf("unknown kind %d of frame: stop the newer version cleanly first", f.Kind)
}

// splitBirths takes the facts about other messages off the front of a new one.
func splitBirths(b []byte) (births, rest []byte, err error) {
	count, rest, _ := bytes.Cut(b, []byte("\n"))
	n, err := strconv.Atoi(string(count))
	if err != nil || n < 0 || n > len(rest) {
		return nil, nil, fmt.Errorf("%w: a new message with a wrong count", ErrDamaged)
	}
	return rest[:n], rest[n:], nil
}

// replayImage takes a message from its frame. The frame wins over a file: what was
// read of that may be no more than the memory of a sync that failed (R2).
func (r *recovering) replayImage(n Number, id mail.ID, b []byte) error {
	h, err := parseHead(b, id)
	if err != nil {
		return err
	}
	end := h.textAt + int(h.text)
	if end > len(b) {
		return fmt.Errorf("message %d: %w: a short frame", id, ErrDamaged)
	}
	lines, _ := parseLines(b[end:])
	was := r.found[id]
	if was != nil {
		lines = append(lines, was.lines...)
	}
	delete(r.bad, id)
	fi := &candidate{env: b[headSize:h.textAt], start: b[h.textAt:end], lines: lines, filed: was != nil && was.filed,
		m: &message{image: b[:end:end], textAt: int32(h.textAt), text: h.text, oldest: n}}
	fi.sort()
	r.found[id] = fi
	return nil
}

// replayDraft takes a message from the file that its frame names, under whatever
// name a checkpoint may have given it.
func (r *recovering) replayDraft(n Number, id mail.ID, b []byte) error {
	if r.found[id] == nil {
		file, ok := r.drafts[id]
		if !ok { // Gone may follow
			r.bad[id] = fmt.Errorf("message %d: %w: its text is missing", id, ErrDamaged)
			return nil
		}
		fi, err := r.readFile(id, file)
		if errors.Is(err, ErrDamaged) {
			r.bad[id] = err
			return nil
		}
		if err != nil {
			return err
		}
		fi.m.draft = true
		r.found[id] = fi
	}
	delete(r.drafts, id)
	r.found[id].m.oldest = n
	return nil
}

// applyBatch adds facts to the messages that they are about. Those of messages
// that are not here were gone when their segment was freed.
func (r *recovering) applyBatch(n Number, b []byte) error {
	batch, stands, err := parseBatch(b)
	if err != nil {
		return err
	}
	for _, st := range stands {
		r.stand(st, n)
	}
	for _, c := range batch {
		if c.Fact == (fact.Gone{}) {
			delete(r.found, c.ID)
			delete(r.bad, c.ID)
			r.gone[c.ID] = true
			continue
		}
		if f := r.found[c.ID]; f != nil {
			f.lines = append(f.lines, line{c.number, appendLine(nil, c.number, c.Fact)})
			f.sort()
			if f.m.oldest == 0 {
				f.m.oldest = n
			}
		}
	}
	return nil
}

// judge makes messages of what was found.
func (r *recovering) judge() {
	r.Messages = make([]Found, 0, len(r.found))
	for _, id := range slices.Sorted(maps.Keys(r.found)) {
		fi := r.found[id]
		env, err := parseEnvelope(fi.env)
		if err != nil {
			r.bad[id] = fmt.Errorf("message %d: %w: %w", id, ErrDamaged, err)
			r.images[id] = fi.m.image
			delete(r.found, id)
			continue
		}
		f := Found{ID: id, Envelope: env, Size: fi.m.text, Subject: Subject(fi.start)}
		// What a crash has torn the journal still holds, and the file is written anew from it.
		if fi.torn && fi.m.oldest == 0 {
			f.Hold = "its last facts may be lost"
			fi.m.anew = true // what comes after does not go behind half a line
		}
		for i, l := range fi.lines {
			_, text, _ := parseLine(bytes.TrimSuffix(l.raw, []byte("\n")))
			v, err := fact.Parse(text)
			u, unknown := v.(fact.Unknown)
			switch {
			case l.number != i+1:
				f.Hold = fmt.Sprintf("facts before number %d are lost", l.number)
			case err != nil:
				f.Hold = fmt.Sprintf("fact %d cannot be read", l.number)
			case unknown && u.Must():
				f.Hold = fmt.Sprintf("fact %d is of a newer version", l.number)
			}
			if err == nil {
				f.Facts = append(f.Facts, v)
			}
			fi.m.facts = int32(l.number)
		}
		if f.Hold != "" {
			r.finding(r.where(id), fmt.Errorf("message %d: %w: %s", id, ErrDamaged, f.Hold), held)
		}
		r.Messages = append(r.Messages, f)
	}
}

// Subject is the Subject of a text, for people: decoded and cut to 80 runes.
func Subject(text []byte) string {
	raw, _ := header.Get(text, "Subject")
	s := []rune(header.Decode(raw))
	if len(s) > 80 {
		s = append(s[:79], '…')
	}
	return string(s)
}

// rewrite makes a file of every message that the journal names, and empties the
// journal.
func (r *recovering) rewrite() error {
	through := r.journal.Durable()
	var todo []*placing
	for _, id := range slices.Sorted(maps.Keys(r.found)) {
		fi := r.found[id]
		r.messages[id] = fi.m
		if fi.m.oldest != 0 {
			todo = append(todo, &placing{id: id})
		}
	}
	r.batches(todo, r.rewriteOne)
	for _, p := range todo {
		if p.err != nil {
			return fmt.Errorf("message %d: %w", p.id, p.err)
		}
		m := r.messages[p.id]
		m.image, m.draft, m.oldest, m.size = nil, false, 0, p.size
	}
	if err := each(1, slices.Sorted(maps.Keys(r.gone)), r.unlink); err != nil {
		return err
	}
	if err := r.syncDirs(); err != nil {
		return err
	}
	clear(r.gone)
	if err := r.standAgain(through); err != nil {
		return err
	}
	if err := r.journal.Wait(r.newest); err != nil {
		return err
	}
	if r.last > r.ceiling { // an id from elsewhere
		r.ceiling = r.last
		if err := r.raise(); err != nil {
			return err
		}
	}
	return r.journal.Free(through)
}

// rewriteOne composes the file of a message anew.
func (r *recovering) rewriteOne(p *placing) (err error) {
	fi := r.found[p.id]
	m := fi.m
	b := m.image
	if m.draft {
		if err := r.promote(p.id); err != nil {
			return err
		}
	}
	if b == nil {
		if b, err = r.slurp(r.name(p.id, ".msg")); err != nil {
			return err
		}
		b = b[:int64(m.textAt)+m.text]
	}
	b = b[:len(b):len(b)]
	for _, l := range fi.lines {
		b = append(b, l.raw...)
	}
	return r.create(p, b, true)
}
