package spool

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"cgq/pkg/disk"
	"cgq/pkg/fact"
	"cgq/pkg/header"
	"cgq/pkg/journal"
	"cgq/pkg/mail"
)

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
	Removed  []string // files that count for nothing: temporary ones and acts that nothing names, second names, what was lent
}

// A candidate is a message in the making.
type candidate struct {
	m       *message
	env     []byte // envelope lines
	subject string
	lines   []line // by number
	sum     uint32 // of the V line of its file
	torn    bool   // the lines of the file do not end as they were written
	filed   bool   // a file has its text
}

// A damage is why a message cannot be believed, and its file, if it has one.
type damage struct {
	why  error
	name string
}

// A recovering spool is a spool while it is read. Until that is done nothing is written.
type recovering struct {
	*Spool
	Recovery
	frames  []journal.Frame
	files   []place // message files, by id
	found   map[mail.ID]*candidate
	at      map[mail.ID][]folder // where they have files
	bad     map[mail.ID]damage
	drafts  map[mail.ID]folder // .tmp files
	images  map[mail.ID][]byte // of the bad ones that only the journal holds; nil: a file does
	loose   map[mail.ID][]byte // facts about bad ones
	unnamed map[string]mail.ID // files of acts that no frame has named so far
	moves   []string           // files that go to damaged/
	second  []place            // second names of files, to be removed
	holed   bool               // commits of the journal are lost
}

// readSize is how much of a file a start reads at once: all of most.
const readSize = 16 << 10

func recovery(fsys disk.FS, dir string, log *slog.Logger) *recovering {
	s := &Spool{reading: sync.Pool{New: func() any { b := make([]byte, readSize); return &b }},
		fs: fsys, dir: dir, log: log, standing: map[string]standing{},
		gone: map[mail.ID][]leftover{}, filed: map[mail.ID]Number{}, lent: map[string]bool{}, unsynced: map[folder]bool{},
		due: make(chan struct{}, 1), freed: make(chan struct{})}
	return newRecovering(s)
}

func newRecovering(s *Spool) *recovering {
	return &recovering{Spool: s, at: map[mail.ID][]folder{}, found: map[mail.ID]*candidate{}, bad: map[mail.ID]damage{},
		drafts: map[mail.ID]folder{}, images: map[mail.ID][]byte{}, loose: map[mail.ID][]byte{}, unnamed: map[string]mail.ID{}}
}

// Open recovers the spool in dir. When it returns a spool, the journal holds
// standing things alone and the files are the whole truth; the Recovery is of what the
// journal named, and of files that are no messages. The other messages come from Index,
// which takes the time that it takes; until it is through, the spool takes new ones, and
// Len counts all. A segment of a newer version is an error, and nothing is touched; so is
// half a backup ([ErrUnfinished]).
func Open(fsys disk.FS, dir string, o Options, log *slog.Logger) (*Spool, *Recovery, error) {
	if err := finished(fsys, dir); err != nil {
		return nil, nil, err
	}
	return open(fsys, dir, o, log)
}

func open(fsys disk.FS, dir string, o Options, log *slog.Logger) (*Spool, *Recovery, error) {
	fsys = logged{fsys, log}
	r := recovery(fsys, dir, log)
	if err := o.Foldering.Validate(); err != nil {
		return nil, nil, fmt.Errorf("spool: queue foldering: %w", err)
	}
	for _, d := range []string{r.journals(), r.damaged(), r.acts(), r.lending()} {
		if err := fsys.Mkdir(d); err != nil {
			return nil, nil, fmt.Errorf("spool: %w", err)
		}
	}
	r.foldering, r.recycle = o.Foldering, o.Recycle
	if err := errors.Join(r.makeFolders(o.Foldering), fsys.SyncDir(path.Dir(dir)), fsys.SyncDir(dir)); err != nil {
		return nil, nil, fmt.Errorf("spool: %w", err)
	}
	o.Journal.Aside = r.damaged()
	o.Journal.OnError = func(err error) { log.Error(err.Error()) }
	if o.Free != nil {
		o.Journal.Free = func() (int64, error) {
			free, err := o.Free()
			return free.Bytes, err
		}
	}
	var err error
	if r.journal, err = journal.Open(fsys, r.journals(), o.Journal); err != nil {
		return nil, nil, fmt.Errorf("spool: %w", err)
	}
	o.setDefaults(r.journal.FrameLimit())
	r.options.Store(&o)
	if err := r.recover(); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("spool: recover: %w", err), r.journal.Close())
	}
	rec := r.Recovery // without what it was made from
	return r.Spool, &rec, nil
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
	r.unread, r.toRead = r.files, len(r.files)
	return r.rewrite()
}

// read reads the frames, and the files that they name, and says what becomes of them.
// It writes nothing. The files that no frame names are left for Index.
func (r *recovering) read(frames iter.Seq2[journal.Frame, error]) error {
	if err := r.readCeiling(); err != nil {
		return err
	}
	if err := r.list(); err != nil {
		return err
	}
	if err := r.listActs(); err != nil {
		return err
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
			r.frames = append(r.frames, f)
		}
	}
	named, err := r.named()
	if err != nil {
		return err
	}
	r.readFiles(named)
	for _, f := range r.frames {
		if err := r.replay(f); err != nil {
			return fmt.Errorf("commit %d: %w", f.Number, err)
		}
	}
	r.frames = nil
	r.judge()
	r.sentence()
	r.sentenceActs()
	return r.listLent()
}

// named are the messages that the journal says something of.
func (r *recovering) named() (map[mail.ID]bool, error) {
	ids := map[mail.ID]bool{}
	for _, f := range r.frames {
		b := f.Payload
		if f.Kind&^kindActs != kindFacts {
			ids[mail.ID(f.ID)] = true
			births, _, err := splitBirths(b)
			if err != nil {
				return nil, fmt.Errorf("commit %d: %w", f.Number, err)
			}
			b = births
		}
		if f.Kind&kindActs != 0 {
			b = r.actOf(b)
		}
		for raw := range bytes.Lines(b) {
			id, _, _ := bytes.Cut(raw, []byte(" "))
			if n, ok := mail.ParseID(string(id)); ok {
				ids[n] = true
			}
		}
	}
	return ids, nil
}

// maxID is the highest id there can be: a fact takes no higher one, and a ceiling above
// it still is a number.
const maxID = 1 << 62

// readCeiling reads the id ceiling and the identity of the spool, if it has them.
func (r *recovering) readCeiling() error {
	name := path.Join(r.dir, "ids")
	b, err := disk.ReadFile(r.fs, name)
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

// replay does to the messages what a frame says. Doing it twice changes nothing.
func (r *recovering) replay(f journal.Frame) error {
	id := mail.ID(f.ID)
	switch kind := f.Kind &^ kindActs; kind {
	case kindMessage, kindDraft:
		births, rest, err := splitBirths(f.Payload)
		if err != nil {
			return err
		}
		if err := r.applyBatch(f, births); err != nil {
			return err
		}
		r.last = max(r.last, id)
		if kind == kindDraft {
			return r.replayDraft(f.Number, id, rest)
		}
		return r.replayImage(f.Number, id, rest)
	case kindFacts:
		return r.applyBatch(f, f.Payload)
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
	in := r.foldering.at(id, 0)
	was := r.found[id]
	if was != nil {
		lines, in = append(lines, was.lines...), was.m.folder
	}
	delete(r.bad, id)
	fi := &candidate{env: b[headSize:h.textAt], subject: Subject(b[h.textAt:end]), lines: lines, filed: was != nil && was.filed,
		m: &message{image: b[:end:end], folder: in, textAt: int32(h.textAt), text: h.text, oldest: n}}
	fi.sort()
	r.found[id] = fi
	return nil
}

// replayDraft takes a message from the file that its frame names, under whatever
// name a checkpoint may have given it.
func (r *recovering) replayDraft(n Number, id mail.ID, b []byte) error {
	if r.found[id] == nil {
		in, ok := r.drafts[id]
		if !ok { // Gone may follow
			r.bad[id] = damage{why: fmt.Errorf("message %d: %w: its text is missing", id, ErrDamaged)}
			return nil
		}
		fi, err := r.readFile(place{id, in}, ".tmp")
		if err != nil { // whatever it is: it does not stop the start
			r.bad[id] = damage{why: err}
			return nil //nolint:nilerr // it is named
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
func (r *recovering) applyBatch(frame journal.Frame, b []byte) error {
	n := frame.Number
	batch, stands, err := r.batchOf(frame, b)
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
			delete(r.loose, c.ID)
			r.gone[c.ID] = leftoversIn(r.mayBe(c.ID)...)
			continue
		}
		if r.bad[c.ID].why != nil {
			r.loose[c.ID] = appendLine(r.loose[c.ID], c.number, c.Fact)
		}
		if f := r.found[c.ID]; f != nil {
			f.lines = append(f.lines, line{c.number, appendLine(nil, c.number, c.Fact)})
			if f.m.oldest == 0 {
				f.m.oldest = n
			}
		}
	}
	return nil
}

// mayBe are the folders in which a message has, or had, its file: where a foldering
// puts it, too, because the process that removed it there may have died before that was
// durable.
func (r *recovering) mayBe(id mail.ID) []folder {
	all := append(r.at[id][:len(r.at[id]):len(r.at[id])], Flat.at(id, 0), Ten.at(id, 0), Hundred.at(id, 0))
	if f, ok := r.drafts[id]; ok {
		all = append(all, f)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// judge makes messages of what was found.
func (r *recovering) judge() {
	r.Messages = make([]Found, 0, len(r.found))
	for _, id := range slices.Sorted(maps.Keys(r.found)) {
		fi := r.found[id]
		fi.sort()
		env, err := parseEnvelope(fi.env)
		if err != nil {
			r.bad[id] = damage{why: fmt.Errorf("message %d: %w: %w", id, ErrDamaged, err)}
			if fi.filed {
				r.bad[id] = damage{r.bad[id].why, r.where(id, fi)}
			}
			r.images[id] = fi.m.image
			delete(r.found, id)
			continue
		}
		f := fi.facts(Found{ID: id, Envelope: env, Size: fi.m.text, Subject: fi.subject})
		if f.Hold != "" {
			r.finding(r.where(id, fi), fmt.Errorf("message %d: %w: %s", id, ErrDamaged, f.Hold), held)
		}
		r.Messages = append(r.Messages, f)
	}
}

// facts reads the facts of a message, and says why it must wait for a person, if it must.
func (fi *candidate) facts(f Found) Found {
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
		if filtered, ok := v.(fact.Filtered); ok && !filtered.Fits(fi.m.text) {
			f.Hold = fmt.Sprintf("fact %d changes a longer text than this", l.number)
		}
		fi.m.edited = fi.m.edited || edits(v) != nil
		if err == nil {
			f.Facts = append(f.Facts, v)
		}
		fi.m.facts = int32(l.number)
	}
	return f
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
	ids := slices.Sorted(maps.Keys(r.found))
	for _, id := range ids {
		if m := r.found[id].m; m.oldest != 0 {
			todo = append(todo, &placing{id: id, dir: m.folder})
		}
	}
	r.batches(todo, r.rewriteOne)
	for _, p := range todo {
		if p.err != nil {
			return fmt.Errorf("message %d: %w", p.id, p.err)
		}
		m := r.found[p.id].m
		m.image, m.draft, m.oldest, m.size = nil, false, 0, p.size
	}
	for _, id := range ids {
		r.messages.put(id, r.found[id].m)
	}
	if _, is := r.standing[refolding]; is {
		for f := range folders {
			r.changed(f)
		}
		delete(r.standing, refolding)
	}
	for _, id := range slices.Sorted(maps.Keys(r.gone)) {
		if err := r.unlink(id, r.gone[id]); err != nil {
			return err
		}
	}
	if err := r.syncDirs(); err != nil {
		return err
	}
	clear(r.gone)
	if err := r.removeSecond(); err != nil {
		return err
	}
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
	if err := r.journal.Free(through); err != nil {
		return err
	}
	r.freeActs(through)
	return nil
}

// rewriteOne composes the file of a message anew.
func (r *recovering) rewriteOne(p *placing) (err error) {
	fi := r.found[p.id]
	m := fi.m
	b := m.image
	if m.draft {
		if err := r.promote(p); err != nil {
			return err
		}
	}
	if b == nil {
		if b, err = disk.ReadFile(r.fs, r.name(p.id, p.dir, ".msg")); err != nil {
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
