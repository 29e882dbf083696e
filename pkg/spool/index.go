package spool

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path"
	"runtime"
	"slices"

	"cgq/pkg/disk"
	"cgq/pkg/mail"
)

// A place is where a message has a file.
type place struct {
	id mail.ID
	in folder
}

// A directory is what stands in a folder: the message files, and the names of all else.
type directory struct {
	in       folder
	messages []mail.ID
	others   []string
}

// list reads the names in all folders. What is no message of ours is left alone; a
// Temp File is ours when its id was given out (F8).
func (r *recovering) list() error {
	all := make([]*directory, 0, root+1)
	for f := range folders {
		all = append(all, &directory{in: f})
	}
	err := each(2*runtime.GOMAXPROCS(0), all, func(d *directory) error { return d.read(r.fs, r.path(d.in)) })
	if err != nil {
		return err
	}
	n := 0
	for _, d := range all {
		n += len(d.messages)
	}
	r.files = make([]place, 0, n)
	for _, d := range all {
		for _, id := range d.messages {
			r.files = append(r.files, place{id, d.in})
		}
		for _, name := range d.others {
			r.listOther(d.in, name)
		}
	}
	slices.SortStableFunc(r.files, func(a, b place) int { return cmp.Compare(a.id, b.id) })
	if n > 0 {
		r.last = max(r.last, r.files[n-1].id) // put back by hand from elsewhere
	}
	return nil
}

func (d *directory) read(fsys disk.FS, dir string) error {
	names, err := fsys.List(dir)
	if err != nil {
		return err
	}
	d.messages = make([]mail.ID, 0, len(names))
	for _, name := range names {
		if id, draft, ok := parseName(name); ok && !draft {
			d.messages = append(d.messages, id)
		} else if !d.in.mine(name) {
			d.others = append(d.others, name)
		}
	}
	return nil
}

// listOther judges a name that is no message's.
func (r *recovering) listOther(f folder, name string) {
	file := path.Join(r.path(f), name)
	id, _, ok := parseName(name)
	switch {
	case !ok:
		r.finding(file, fmt.Errorf("%w: it has no name of ours here", ErrDamaged), leftAlone)
	case id > r.ceiling:
		r.finding(file, fmt.Errorf("%w: a temporary file of an id that was never given out", ErrDamaged), leftAlone)
	case !r.movable(file):
		r.finding(file, disk.ErrNotRegular, leftAlone)
	default:
		if was, twice := r.drafts[id]; twice {
			r.Removed = append(r.Removed, r.name(id, was, ".tmp"))
		}
		r.drafts[id] = f
	}
}

// readFiles reads the files of the messages that the journal names, and those that
// there are two of. The others stay in r.files.
func (r *recovering) readFiles(named map[mail.ID]bool) {
	rest := r.files[:0]
	for all := r.files; len(all) > 0; {
		n := 1
		for n < len(all) && all[n].id == all[0].id {
			n++
		}
		if n == 1 && !named[all[0].id] {
			rest, all = append(rest, all[0]), all[1:]
			continue
		}
		for _, p := range all[:n] {
			r.at[p.id] = append(r.at[p.id], p.in)
			r.readOne(p, named[p.id])
		}
		all = all[n:]
	}
	r.files = rest
}

// readOne reads a file among those of its id that were read before: of two the one with
// more facts stays (F6). Two names of one file, or an older state of it, are what a
// crash has left of a move: the lesser goes. Other files of the id go to damaged/, and so
// does one that cannot be read when the journal says something of it.
func (r *recovering) readOne(p place, named bool) {
	name := r.name(p.id, p.in, ".msg")
	f, err := r.readFile(p, ".msg")
	was, bad := r.found[p.id], r.bad[p.id]
	switch {
	case err != nil && !named && !errors.Is(err, ErrDamaged):
		r.finding(name, err, leftAlone)
	case err != nil && (was != nil || bad.why != nil):
		r.aside(name, err)
	case err != nil:
		r.bad[p.id] = damage{err, name}
	case was == nil:
		if bad.why != nil { // the other one of the id
			r.aside(bad.name, bad.why)
			delete(r.bad, p.id)
		}
		r.found[p.id] = f
	case f.sum != was.sum:
		r.aside(name, fmt.Errorf("message %d: %w: another file has its id", p.id, ErrDamaged))
	case len(f.lines) > len(was.lines):
		r.second = append(r.second, place{p.id, was.m.folder})
		r.found[p.id] = f
	default:
		r.second = append(r.second, p)
	}
}

// aside has a file moved to damaged/.
func (r *recovering) aside(name string, why error) {
	r.moves = append(r.moves, name)
	r.finding(name, why, "moved to "+r.damaged())
}

// removeSecond takes second names away, when the first ones are durable.
func (r *recovering) removeSecond() error {
	if len(r.second) == 0 {
		return nil
	}
	for _, p := range r.second {
		if c := r.found[p.id]; c != nil {
			r.changed(c.m.folder)
		}
	}
	if err := r.syncDirs(); err != nil { // the process that made them may have died
		return err
	}
	for _, p := range r.second {
		if err := r.removeFile(p.in, r.name(p.id, p.in, ".msg")); err != nil {
			return err
		}
	}
	return r.syncDirs()
}

// readFile reads a message file and believes it, or says why not.
func (s *Spool) readFile(p place, suffix string) (*candidate, error) {
	f, err := s.fs.Open(s.name(p.id, p.in, suffix))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	buf := s.reading.Get().(*[]byte)
	defer s.reading.Put(buf)
	b := (*buf)[:min(size, int64(len(*buf)))]
	if err := disk.ReadFull(f, b, 0); err != nil {
		return nil, err
	}
	h, err := parseHead(b, p.id)
	if err != nil {
		return nil, err
	}
	end := int64(h.textAt) + h.text
	if end > size || h.textAt > maxEnvelope {
		return nil, fmt.Errorf("message %d: %w: %d bytes, its first line says %d", p.id, ErrDamaged, size, end)
	}
	if size-end > maxFacts {
		return nil, fmt.Errorf("message %d: %w: %d bytes of facts", p.id, ErrDamaged, size-end)
	}
	fi := &candidate{filed: true, sum: h.sum, m: &message{folder: p.in, textAt: int32(h.textAt), text: h.text, size: size}}
	front, tail, sum, err := b[headSize:min(end, int64(len(b)))], []byte(nil), uint32(0), error(nil)
	if size <= int64(len(b)) { // it is here already
		tail, sum = b[end:], crc32.Checksum(front, castagnoli)
	} else if front, tail, sum, err = readLong(f, h, end, size); err != nil {
		return nil, err
	}
	if crc32.Update(sum, castagnoli, b[:sumAt]) != h.sum {
		return nil, fmt.Errorf("message %d: %w: its check sum is wrong", p.id, ErrDamaged)
	}
	fi.env, fi.subject = bytes.Clone(front[:h.textAt-headSize]), Subject(front[h.textAt-headSize:])
	var whole bool
	fi.lines, whole = parseLines(tail)
	fi.sort()
	fi.torn = !whole || size%sector != 0
	return fi, nil
}

// readLong reads a file that is longer than a start reads at once: the front, which is
// envelope and the first of the text, what stands behind the text, and the check sum.
func readLong(f disk.File, h head, end, size int64) (front, tail []byte, sum uint32, err error) {
	all := crc32.New(castagnoli)
	keep := &keeper{limit: h.textAt - headSize + int(min(h.text, 8<<10))}
	if _, err := io.Copy(io.MultiWriter(all, keep), io.NewSectionReader(f, int64(headSize), end-int64(headSize))); err != nil {
		return nil, nil, 0, err
	}
	tail = make([]byte, size-end)
	if err := disk.ReadFull(f, tail, end); err != nil {
		return nil, nil, 0, err
	}
	return keep.b, tail, all.Sum32(), nil
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
func (fi *candidate) sort() {
	slices.SortStableFunc(fi.lines, func(a, b line) int { return cmp.Compare(a.number, b.number) })
	fi.lines = slices.CompactFunc(fi.lines, func(a, b line) bool { return a.number == b.number })
}

// indexBatch is how many files are read before their messages are handed over.
const indexBatch = 1000

// Index reads the message files that Open has left, and hands the messages over, by
// their ids, some at a time, with what cannot be believed: each error is a [Finding],
// which Index has seen to. It returns when it is through, or when ctx has ended. Once.
func (s *Spool) Index(ctx context.Context, found func([]Found, []error)) error {
	s.mu.Lock()
	files := s.unread
	s.unread = nil
	s.mu.Unlock()
	misplaced := false
	for batch := range slices.Chunk(files, indexBatch) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		r := newRecovering(s)
		r.indexSome(batch)
		if err := r.setAside(); err != nil { // the journal may be full of news of it: no reason to stop
			s.log.Error("cannot keep what is damaged; it stays where it is: " + err.Error())
		}
		s.mu.Lock()
		for _, f := range r.Messages {
			m := r.found[f.ID].m
			misplaced = misplaced || s.foldering != Auto && m.folder != s.foldering.at(f.ID, 0)
			s.messages.put(f.ID, m)
		}
		s.toRead -= len(batch)
		s.mu.Unlock()
		found(r.Messages, r.Damage)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.misplaced = s.misplaced || misplaced
	s.wake()
	return nil
}

// indexSome reads some files, which stand alone with their ids, and judges them.
func (r *recovering) indexSome(files []place) {
	type read struct {
		fi  *candidate
		err error
	}
	all := make([]read, len(files))
	at := make([]int, len(files))
	for i := range at {
		at[i] = i
	}
	_ = each(2*runtime.GOMAXPROCS(0), at, func(i int) error {
		all[i].fi, all[i].err = r.readFile(files[i], ".msg")
		return nil
	})
	for i, p := range files {
		switch err := all[i].err; {
		case errors.Is(err, ErrDamaged):
			r.bad[p.id] = damage{err, r.name(p.id, p.in, ".msg")}
		case err != nil:
			r.finding(r.name(p.id, p.in, ".msg"), err, leftAlone)
		default:
			r.found[p.id] = all[i].fi
		}
	}
	r.judge()
	r.sentence()
}
