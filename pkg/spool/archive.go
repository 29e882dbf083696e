package spool

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"strings"
	"time"

	"cgq/pkg/mail"
)

// A backup is a tar file, so that every tool can look into it (R6). Its entries:
//
//	backup      text: what it is a backup of
//	<id>.msg    the messages, by rising ids: what their files would be after a clean stop
//	standing    the standing things, a line each, as in a batch
//	end         text: that it is complete, how much it holds, and the check sum of
//	            all bytes before this entry
//
// One that was cut off has no end.
const (
	firstEntry    = "backup"
	standingEntry = "standing"
	endEntry      = "end"

	firstFormat = "cgq backup 1\nspool %s\ntime %s\nmessages %d\nceiling %d\n"
	endFormat   = "complete\nmessages %d\nleft %d\ndamaged %d\nstanding %d\nbytes %d\nsha256 %64s\n"
	tarBlock    = 512
)

// ErrArchive is matched by the error of a file that is no whole backup.
var ErrArchive = errors.New("not a whole backup")

// Archived counts what a backup holds.
type Archived struct {
	Messages int   // in it
	Left     int   // have left the queue while it was made, and are not in it
	Damaged  int   // could not be read, and are not in it; the log of that time names them
	Bytes    int64 // of the archive
}

// An Archive is a backup that was read and found whole.
type Archive struct {
	Archived
	Spool   string    // the identity of the spool
	Time    time.Time // the instant that it shows
	Ceiling mail.ID   // no higher id was given out then

	file     io.ReaderAt
	messages []packed
	standing []Standing
	listed   int // messages at that instant
}

// A packed message lies in an archive.
type packed struct {
	id       mail.ID
	at, size int64
}

// content is the file of a message.
func (a *Archive) content(p packed) *io.SectionReader {
	return io.NewSectionReader(a.file, p.at, p.size)
}

// ReadArchive reads and verifies a backup of so many bytes: that it is complete, its
// check sum, and, by the rules of message files, each message. It keeps only where
// they are. An error matches [ErrArchive], and says what is wrong and where.
func ReadArchive(file io.ReaderAt, size int64) (*Archive, error) {
	r := &archiveReader{Archive: Archive{file: file},
		in: &witness{r: io.NewSectionReader(file, 0, size), sum: sha256.New()}}
	r.tar = tar.NewReader(r.in)
	err := r.read(size)
	if err != nil && !errors.Is(err, ErrArchive) {
		err = fmt.Errorf("%w: %w", ErrArchive, err)
	}
	return &r.Archive, err
}

// An archiveReader is at some entry of an archive.
type archiveReader struct {
	Archive
	tar     *tar.Reader
	in      *witness
	at      int64  // where the content of the entry begins
	suspect string // the first thing that looked wrong, if the check sum is wrong, too
}

func (r *archiveReader) read(size int64) error {
	for {
		h, err := r.tar.Next()
		if err == io.EOF {
			return fmt.Errorf("%w: it was cut off after byte %d: it has no end", ErrArchive, r.in.n)
		}
		if err != nil {
			return fmt.Errorf("%w: at byte %d: %w", ErrArchive, r.in.n, err)
		}
		r.at = r.in.n
		if err := r.entry(h); err != nil {
			return fmt.Errorf("%w: at byte %d: %q: %w", ErrArchive, r.at, h.Name, err)
		}
		if h.Name == endEntry {
			break
		}
	}
	rest := make([]byte, -r.in.n&(tarBlock-1)+2*tarBlock) // what fills the last block, and two more
	err := readAt(r.file, rest, r.in.n)
	if err != nil || int64(len(rest)) != size-r.in.n || len(bytes.Trim(rest, "\x00")) > 0 {
		return fmt.Errorf("%w: at byte %d: cut off, or something is behind its end", ErrArchive, r.in.n)
	}
	r.Bytes = size
	return nil
}

var errOrder = errors.New("not an entry that comes here")

// entry reads what one entry holds.
func (r *archiveReader) entry(h *tar.Header) error {
	for key := range h.PAXRecords {
		if key != "size" { // of the others none is ours, and some move the content
			return errOrder
		}
	}
	first, last := r.Spool == "", r.standing != nil
	switch {
	case h.Typeflag != tar.TypeReg, first != (h.Name == firstEntry), last != (h.Name == endEntry):
		return errOrder
	case h.Name == endEntry:
		return r.end()
	case first:
		return r.begin()
	case h.Name == standingEntry:
		return r.stands()
	}
	return r.message(h)
}

func (r *archiveReader) begin() error {
	b, err := io.ReadAll(r.tar)
	if err != nil {
		return err
	}
	text := string(b)
	if rest, ours := strings.CutPrefix(text, "cgq backup "); ours && !strings.HasPrefix(rest, "1\n") {
		return errors.New("a backup of a newer version: that version restores it")
	}
	var at string
	_, err = fmt.Sscanf(text, firstFormat, &r.Spool, &at, &r.listed, &r.Ceiling)
	if err == nil {
		r.Time, err = time.Parse(timeFormat, at)
	}
	if err != nil || text != fmt.Sprintf(firstFormat, r.Spool, at, r.listed, r.Ceiling) || r.Ceiling > maxID ||
		strings.Contains(r.Spool, "/") {
		return errors.New("its first lines are not ours")
	}
	return nil
}

func (r *archiveReader) message(h *tar.Header) error {
	stem, msg := strings.CutSuffix(h.Name, ".msg")
	id, ok := mail.ParseID(stem)
	if !msg || !ok || id.String() != stem || id > r.Ceiling {
		return errOrder
	}
	if n := len(r.messages); n > 0 && r.messages[n-1].id >= id {
		return errOrder
	}
	p := packed{id, r.at, h.Size}
	if _, err := io.Copy(io.Discard, r.tar); err != nil { // it goes through the check sum
		return err
	}
	whole, err := verify(r.content(p), id, p.size)
	if err != nil {
		return err
	}
	if !whole && r.suspect == "" { // one that is held is so, too
		r.suspect = fmt.Sprintf("; the facts of message %d, at byte %d, cannot all be read", id, r.at)
	}
	r.messages = append(r.messages, p)
	return nil
}

// verify believes a message file, or says why not; whole says whether its facts can
// all be read.
func verify(f io.ReaderAt, id mail.ID, size int64) (whole bool, err error) {
	end, textAt, err := verifyText(f, id, size)
	if err != nil {
		return false, err
	}
	if size-end > maxFacts {
		return false, fmt.Errorf("message %d: %w: %d bytes of facts", id, ErrDamaged, size-end)
	}
	env := make([]byte, textAt-headSize)
	tail := make([]byte, size-end)
	if err := errors.Join(readAt(f, env, int64(headSize)), readAt(f, tail, end)); err != nil {
		return false, err
	}
	if _, err := parseEnvelope(env); err != nil {
		return false, fmt.Errorf("message %d: %w: %w", id, ErrDamaged, err)
	}
	lines, whole := parseLines(tail)
	for i, l := range lines {
		whole = whole && l.number == i+1
	}
	return whole, nil
}

// verifyText checks what never changes in a message file: from its first line to the
// end of the text. It returns where the text ends and where it begins.
func verifyText(f io.ReaderAt, id mail.ID, size int64) (end int64, textAt int, err error) {
	b := make([]byte, min(size, int64(headSize)))
	if err := readAt(f, b, 0); err != nil {
		return 0, 0, err
	}
	h, err := parseHead(b, id)
	if err != nil {
		return 0, 0, err
	}
	if end = int64(h.textAt) + h.text; end > size || h.textAt > maxEnvelope {
		return 0, 0, fmt.Errorf("message %d: %w: %d bytes, its first line says %d", id, ErrDamaged, size, end)
	}
	sum := crc32.New(castagnoli)
	if _, err := io.Copy(sum, io.NewSectionReader(f, int64(headSize), end-int64(headSize))); err != nil {
		return 0, 0, err
	}
	if crc32.Update(sum.Sum32(), castagnoli, b[:sumAt]) != h.sum {
		return 0, 0, fmt.Errorf("message %d: %w: its check sum is wrong", id, ErrDamaged)
	}
	return end, h.textAt, nil
}

// readAt fills b.
func readAt(f io.ReaderAt, b []byte, at int64) error {
	if n, err := f.ReadAt(b, at); n < len(b) {
		return err
	}
	return nil
}

func (r *archiveReader) stands() error {
	b, err := io.ReadAll(r.tar)
	if err != nil {
		return err
	}
	r.standing = []Standing{}
	for l := range bytes.Lines(b) {
		l, ours := bytes.CutPrefix(bytes.TrimSuffix(l, []byte("\n")), []byte("0 "))
		st, err := parseStand(string(l))
		if !ours || err != nil {
			return fmt.Errorf("not a standing thing: %q", l)
		}
		r.standing = append(r.standing, st)
	}
	return nil
}

func (r *archiveReader) end() error {
	before := r.at - tarBlock
	got := fmt.Sprintf("%x", r.in.sum.Sum(nil)) // of all but the last block: the head of this entry
	b, err := io.ReadAll(r.tar)
	if err != nil {
		return err
	}
	var sum string
	var messages, standing int
	var at int64
	_, err = fmt.Sscanf(string(b), endFormat, &messages, &r.Left, &r.Damaged, &standing, &at, &sum)
	switch {
	case err != nil, string(b) != fmt.Sprintf(endFormat, messages, r.Left, r.Damaged, standing, at, sum):
		return errors.New("its lines are not ours")
	case sum != got:
		return errors.New("the check sum of all before it is wrong" + r.suspect)
	case messages != len(r.messages), standing != len(r.standing), at != before, messages+r.Left+r.Damaged != r.listed:
		return errors.New("it counts other things than there are")
	}
	r.Messages = messages
	return nil
}

// A witness sums up what is read from r, but for the last block.
type witness struct {
	r    io.Reader
	n    int64
	sum  hash.Hash
	last []byte
}

func (w *witness) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	w.n += int64(n)
	w.last = append(w.last, p[:n]...)
	if more := len(w.last) - tarBlock; more > 0 {
		w.sum.Write(w.last[:more]) // never fails
		w.last = append(w.last[:0], w.last[more:]...)
	}
	return n, err
}
