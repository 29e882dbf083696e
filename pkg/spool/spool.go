// Package spool keeps messages: first in the journal and in memory, and, if they
// have to wait, each in a file of its own. It does not know what a fact does, and
// does not deliver. The rules J, F, L, C and R are those of docs/spool.md.
//
// A message is, on disk, in one of these states (J: its frame in the journal, D:
// Queue/NN/<id>.tmp synced, F: Queue/NN/<id>.msg whole and synced):
//
//	S1  nothing or D       never accepted, or gone
//	S2  J, or J and D      accepted: the instant at which Wait for its frame returned
//	S3  J, F being made    the journal counts; whatever the file looks like is repaired from it
//	S4  J and F            the file is synced, then its directory
//	S5  F                  the segment is free
//	S6  J or F, and Gone   gone: the instant at which Wait for Gone returned; then the
//	                       name goes, that is synced, and only then Gone's segment is free
//
// Three orders carry it. Nothing goes to a file before it is durable in the
// journal, or half an act would outlive the other half. Nothing is freed before all
// that replaces it is synced, unlinks too. And no sector that is synced is written
// again: a file is replaced by a synced one, or grows by whole sectors.
package spool

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"cgq/pkg/disk"
	"cgq/pkg/fact"
	"cgq/pkg/journal"
	"cgq/pkg/mail"
)

// A Number tells Wait what to wait for.
type Number = journal.Number

// The frames of the spool.
const (
	kindMessage journal.Kind = iota + 1 // [births] and the image of a message
	kindDraft                           // [births] and the length and check sum of what <id>.tmp holds
	kindFacts                           // [batch]: all of them happened, or none
)

// ErrFact is returned for facts about a message that is not here.
var ErrFact = errors.New("spool: facts cannot be recorded")

// ErrFull is returned when the journal has no room: the oldest commits must first
// get files. Try again later.
var ErrFull = journal.ErrFull

// Options are sizes and times. The zero Options are the defaults.
type Options struct {
	Journal     journal.Options
	Age         time.Duration // how long a message stays without a file (journal_age); 2s
	Memory      int64         // bytes of texts without a file (journal_memory); 256 MiB
	InlineLimit int           // bytes; larger texts never stand in the journal (inline_limit); 256 KiB
	Syncers     int           // files that are synced at the same time, at most; 64
	Foldering   Foldering     // where files are made (queue_foldering)
	Recycle     bool          // discarded Temp Files are used again (recycle_temp_files)

	Free      func() (Space, error) // asks the file system; nil: it is not asked
	MinBytes  int64                 // to be left free (minimum_free_space)
	MinInodes int64                 // to be left free (minimum_free_inodes)
}

func (o *Options) setDefaults(frame int) {
	o.Age = cmp.Or(o.Age, 2*time.Second)
	o.Memory = cmp.Or(o.Memory, 256<<20)
	o.InlineLimit = min(cmp.Or(o.InlineLimit, 256<<10), frame/2)
	o.Syncers = cmp.Or(o.Syncers, 64)
}

// A message is what the spool remembers of a busy one (see messages).
type message struct {
	image   []byte // young: no file counts yet. Nil: a file has it
	unfiled []byte // lines of facts that no file holds
	textAt  int32  // where the text begins in the image or file
	facts   int32  // the number of the last fact
	text    int64  // length
	size    int64  // of the file
	oldest  Number // the first commit that says what no file says; 0: none
	folder  folder // of the file
	second  folder // where it has another name, if twice
	twice   bool   // it is being moved
	draft   bool   // the file is still called .tmp
	anew    bool   // a sync of the file has failed: never again into this one (F3)
	edited  bool   // a fact says how the text is changed for who opens it
}

// A standing value, and the commit that said it.
type standing struct {
	value string
	said  Number
}

// A Spool is safe for concurrent use.
type Spool struct {
	fs       disk.FS
	dir      string
	log      *slog.Logger
	journal  *journal.Journal
	options  atomic.Pointer[Options] // each operation looks once
	identity string
	scratch  sync.Pool     // *[]byte, for drafts
	reading  sync.Pool     // *[]byte, for starts
	due      chan struct{} // capacity 1: a checkpoint may be due
	space    meter
	pressure pressure

	checkpoint sync.Mutex // one at a time; taken before mu
	listing    sync.Mutex // one backup makes its list; taken before mu

	mu       sync.Mutex
	err      error // sticky, after a failed sync of a directory (F3)
	last     mail.ID
	ceiling  mail.ID   // ids up to this may be given out
	newest   Number    // of the last frame appended
	began    time.Time // when the oldest frame that no checkpoint has seen was appended; zero: none
	surveyed time.Time // the same of what a checkpoint has seen and not freed; zero: nothing
	young    int64     // bytes of images in memory
	starved  bool      // somebody waits for room in the journal
	emptying bool      // the spool is about to stop
	messages messages
	unfiled  int // of the busy ones: those of which the journal says what no file says
	standing map[string]standing
	gone     map[mail.ID][]leftover // files that may still be there
	filed    map[mail.ID]Number     // files of acts, and the commits whose frames name them
	lent     map[string]bool        // names of files that helpers have
	unsynced map[folder]bool        // directories in which names have changed
	unread   []place                // what Index has to read
	toRead   int                    // of them, those that it has not read yet
	freed    chan struct{}          // closed and replaced when a checkpoint has made room
	cut      map[mail.ID]int32      // see since; nil: no list is being made

	foldering Foldering
	misplaced bool // files are to be moved, because that has changed
	recycle   bool
	spares    []spare
}

// Identity names this spool among all spools, for ever. It has no spaces and
// may stand in a file name.
func (s *Spool) Identity() string { return s.identity }

// A Standing thing is true until another value is said under its key: a host's
// delay, a hold. Neither has a line end; no value takes the key back.
type Standing struct{ Key, Value string }

// internal is how the keys of standing things begin that only the spool knows.
const internal = "spool "

// Append records facts, of one message or many, as one frame: all or none. They
// count when Wait for the number has returned nil: one who appends a decision
// applies it only then, one who appends an observation at once. Append never waits
// for the disk, unless one frame does not take them, as it takes some 40,000 of an act:
// then they go to a file first (J4). Gone takes the message away.
func (s *Spool) Append(changes ...fact.Change) (Number, error) { return s.Act(changes, nil) }

// Act is Append for an act on many that says standing things, too.
func (s *Spool) Act(changes []fact.Change, stands []Standing) (Number, error) {
	return (&reservation{s: s}).Act(changes, stands)
}

// A Room is part of the journal for what its owner is going to say (J5): one who
// transfers mail takes it before he begins, so that a full journal never keeps a
// result from being recorded. One goroutine uses it.
type Room interface {
	// Act is [Spool.Act], into the room as long as there is any left of it.
	Act(changes []fact.Change, stands []Standing) (Number, error)
	// Release gives back what was not used, once.
	Release()
}

// A reservation is a Room.
type reservation struct {
	s      *Spool
	frames int // so many are left
}

// reserved is the payload of a frame that one frame of a Room holds: facts of one
// recipient, or a standing delay, whatever was said, fit.
func (s *Spool) reserved() int { return min(4000, s.journal.FrameLimit()) }

// Reserve returns room for so many frames, or ErrFull.
func (s *Spool) Reserve(frames int) (Room, error) {
	if err := s.journal.BookAll(journal.Inside, frames, s.reserved()); err != nil {
		return nil, err
	}
	return &reservation{s, frames}, nil
}

// Release implements [Room].
func (r *reservation) Release() {
	r.s.journal.UnbookAll(r.frames, r.s.reserved())
	r.frames = 0
}

// Act implements [Room].
func (r *reservation) Act(changes []fact.Change, stands []Standing) (Number, error) {
	a := &act{changes: changes, stands: stands}
	defer r.s.dropAct(a)
	for {
		n, err := r.say(a)
		if !errors.Is(err, errLarge) {
			return n, err
		}
		if err := r.s.fileAct(a); err != nil {
			return 0, err
		}
	}
}

// say appends the frame of an act and applies it.
func (r *reservation) say(a *act) (Number, error) {
	s := r.s
	s.mu.Lock()
	defer s.mu.Unlock()
	kind, payload, err := s.payload(a, s.journal.FrameLimit())
	if err != nil {
		return 0, err
	}
	if r.frames > 0 && len(payload) <= s.reserved() {
		r.frames--
	} else if err := s.journal.Book(journal.Inside, len(payload)); err != nil {
		return 0, err
	}
	n, err := s.append(journal.Entry{Kind: kindFacts | kind, Payload: [][]byte{payload}})
	if err != nil {
		return 0, err
	}
	s.said(a, kind, n)
	return n, nil
}

// append puts frames into the journal, as one. The caller holds mu.
func (s *Spool) append(all ...journal.Entry) (Number, error) {
	n, err := s.journal.AppendAll(all...)
	if err != nil {
		return 0, err
	}
	s.newest = n
	if s.began.IsZero() {
		s.began = time.Now()
		s.wake() // so that somebody counts its age
	}
	return n, nil
}

// wake lets Run look whether a checkpoint is due.
func (s *Spool) wake() {
	select {
	case s.due <- struct{}{}:
	default:
	}
}

func (s *Spool) stand(st Standing, n Number) {
	if st.Value == "" {
		delete(s.standing, st.Key)
		return
	}
	s.standing[st.Key] = standing{st.Value, n}
}

// Standing returns the standing things by their keys.
func (s *Spool) Standing() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]string, len(s.standing))
	for key, st := range s.standing {
		if !strings.HasPrefix(key, internal) {
			all[key] = st.value
		}
	}
	return all
}

// Wait returns nil when everything through number n survives power loss. Nobody
// calls it holding a lock.
func (s *Spool) Wait(n Number) error { return s.journal.Wait(n) }

// Broken is closed when the journal is broken for good: nothing more can be recorded, and
// what was not durable by then may be lost (E1).
func (s *Spool) Broken() <-chan struct{} { return s.journal.Broken() }

// Load is how much the spool carries.
type Load struct {
	Messages int     // in the Queue, files or not
	Young    int64   // bytes of messages that have no file yet
	Closed   int     // journal segments that wait for a checkpoint
	Journal  float64 // the part of the journal that is used or booked
}

// Load says how much the spool carries just now.
func (s *Spool) Load() Load {
	closed, part := s.journal.Fill()
	s.mu.Lock()
	defer s.mu.Unlock()
	return Load{s.len(), s.young, closed, part}
}

// Len is the number of messages in the Queue, those that Index has not read yet too.
func (s *Spool) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.len()
}

// len is Len. The caller holds mu.
func (s *Spool) len() int { return s.messages.len() + s.toRead }

// Unread is how many messages Index has not read yet.
func (s *Spool) Unread() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.toRead
}

// newID never gives an id twice: before one is used, a ceiling above it is
// published, and a start goes on above the ceiling (F8). It says where the file will be.
func (s *Spool) newID() (mail.ID, folder, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, 0, s.err
	}
	if s.last == s.ceiling {
		if err := s.raise(); err != nil {
			return 0, 0, fmt.Errorf("id ceiling: %w", err)
		}
	}
	s.last++
	return s.last, s.foldering.at(s.last, s.len()), nil
}

// ahead is how many ids a ceiling is good for.
const ahead = 100_000

// raise publishes a higher ceiling. The caller holds mu, or is alone. After an error no
// id above the old one is given out, and the next try makes another file (F3).
func (s *Spool) raise() error {
	tmp, name := path.Join(s.dir, "ids.tmp"), path.Join(s.dir, "ids")
	if err := s.fs.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := s.write(tmp, fmt.Appendf(nil, "%d %s\n", s.ceiling+ahead, s.identity))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := disk.Publish(s.fs, f, tmp, name); err != nil {
		return err
	}
	s.ceiling += ahead
	return nil
}

// write makes a file; the caller closes it.
func (s *Spool) write(name string, b []byte) (disk.File, error) {
	f, err := s.fs.Create(name)
	if err != nil {
		return nil, err
	}
	if _, err := f.WriteAt(b, 0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
