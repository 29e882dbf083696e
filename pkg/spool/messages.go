package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"cgq/pkg/disk"
	"cgq/pkg/fact"
	"cgq/pkg/mail"
)

// apply notes what commit n says of messages. The caller holds mu, and batch has
// checked that they are here.
func (s *Spool) apply(n Number, changes []fact.Change) {
	for _, c := range changes {
		if c.Fact == (fact.Gone{}) {
			s.forget(c.ID)
			continue
		}
		m := s.messages.change(c.ID)
		if m == nil {
			continue // a fact behind Gone in one frame
		}
		s.since(c.ID, m.facts)
		m.facts++
		m.edited = m.edited || edits(c.Fact) != nil
		m.unfiled = appendLine(m.unfiled, int(m.facts), c.Fact)
		if m.oldest == 0 {
			m.oldest = n
			s.unfiled++
		}
	}
}

// forget takes a message away from the others, if it is there. The caller holds mu.
func (s *Spool) forget(id mail.ID) {
	m, ok := s.messages.look(id)
	if !ok {
		return
	}
	s.since(id, m.facts)
	s.messages.forget(id)
	if m.oldest != 0 {
		s.unfiled--
	}
	s.young -= int64(len(m.image))
	if m.image == nil || m.anew {
		s.gone[id] = m.leftovers()
	}
}

// A leftover is a name that a file of a message may have when that has gone.
type leftover struct {
	in     folder
	suffix string
}

// leftovers are the names that the file of a message has, or may have got. The caller
// holds mu.
func (m *message) leftovers() []leftover {
	if m.image != nil || m.anew { // nobody knows how far it was made
		return leftoversIn(m.folder)
	}
	all := []leftover{{m.folder, suffix(m.draft)}}
	if m.twice {
		all = append(all, leftover{m.second, ".msg"})
	}
	return all
}

// leftoversIn are all names that the file of a message may have in some folders.
func leftoversIn(folders ...folder) (all []leftover) {
	for _, f := range folders {
		all = append(all, leftover{f, ".msg"}, leftover{f, ".tmp"})
	}
	return all
}

// A text is open for reading.
type text struct {
	*io.SectionReader
	f disk.File
}

func (t text) Close() error { return t.f.Close() }

// young text is read from memory.
type youngText struct {
	*bytes.Reader
	image []byte
}

func (youngText) Close() error { return nil }

// Open returns the text of a message as it is to be seen and sent: with what its facts say
// of it. From memory as long as it is young, then from its file (L2). An error matches
// fs.ErrNotExist when the message has gone.
func (s *Spool) Open(id mail.ID) (io.ReadSeekCloser, error) {
	r, m, err := s.openText(id)
	if err != nil || !m.edited {
		return r, err
	}
	var file disk.File
	if t, ok := r.(text); ok {
		file = t.f
	}
	facts, err := m.recorded(file)
	if err == nil {
		return edit(r, facts)
	}
	return nil, errors.Join(fmt.Errorf("spool: message %d: %w", id, err), r.Close())
}

// A source is a text that was submitted.
type source interface {
	io.ReadSeekCloser
	io.ReaderAt
	Size() int64
}

// openText returns the text as it was submitted, and the message as it was then.
func (s *Spool) openText(id mail.ID) (r source, m message, err error) {
	for {
		var ok bool
		s.mu.Lock()
		m, ok = s.messages.look(id)
		s.mu.Unlock()
		if !ok {
			return nil, m, fmt.Errorf("spool: message %d: %w", id, fs.ErrNotExist)
		}
		if m.image != nil {
			return youngText{bytes.NewReader(m.image[m.textAt:]), m.image}, m, nil
		}
		f, err := s.openFile(id, m)
		if err != nil {
			return nil, m, fmt.Errorf("spool: message %d: %w", id, err)
		}
		if f != nil {
			return text{io.NewSectionReader(f, int64(m.textAt), m.text), f}, m, nil
		}
	}
}

// openFile opens the file of a message as it was looked at; nil, if it has changed since,
// and is to be looked at again.
func (s *Spool) openFile(id mail.ID, m message) (disk.File, error) {
	f, err := s.fs.Open(s.name(id, m.folder, suffix(m.draft)))
	if errors.Is(err, fs.ErrNotExist) && m.draft { // a checkpoint has just given it its name
		f, err = s.fs.Open(s.name(id, m.folder, ".msg"))
	}
	if errors.Is(err, fs.ErrNotExist) && s.elsewhere(id, m.folder) { // it has just been moved, or has gone
		return nil, nil //nolint:nilnil // it is nobody's fault
	}
	if err != nil {
		return nil, err
	}
	if m.draft && s.promoted(id) { // what has the temporary name now may be its next file, half written
		f.Close()
		return nil, nil //nolint:nilnil // it is nobody's fault
	}
	return f, nil
}

// promoted says that the file of a message, which was a draft, has its final name for
// good, or has gone.
func (s *Spool) promoted(id mail.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.messages.look(id)
	return !ok || !m.draft
}

// elsewhere says that a message is not in a folder any more.
func (s *Spool) elsewhere(id mail.ID, f folder) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.messages.look(id)
	return !ok || m.folder != f
}

func suffix(draft bool) string {
	if draft {
		return ".tmp"
	}
	return ".msg"
}
