package spool

import (
	"errors"
	"fmt"
	"io/fs"

	"cgq/pkg/disk"
	"cgq/pkg/fact"
	"cgq/pkg/mail"
)

// Facts returns what has happened to a message since it was submitted, in order, whether
// its file says so already or only the journal. An error matches fs.ErrNotExist when the
// message has gone.
func (s *Spool) Facts(id mail.ID) ([]fact.Fact, error) {
	for {
		s.mu.Lock()
		m, ok := s.messages.look(id)
		s.mu.Unlock()
		if !ok {
			return nil, fmt.Errorf("spool: message %d: %w", id, fs.ErrNotExist)
		}
		if m.image != nil {
			return m.recorded(nil)
		}
		f, err := s.openFile(id, m)
		if err != nil {
			return nil, fmt.Errorf("spool: message %d: %w", id, err)
		}
		if f == nil { // moved, or gone
			continue
		}
		facts, err := m.recorded(f)
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("spool: message %d: %w", id, err)
		}
		return facts, nil
	}
}

// recorded are the facts of a message: those in its file, if it has one, and those of which
// the journal alone knows. Torn lines of a file are in the journal as well.
func (m message) recorded(file disk.File) ([]fact.Fact, error) {
	c := &candidate{m: &m}
	if file != nil {
		tail, err := m.tail(file)
		if err != nil {
			return nil, err
		}
		c.lines, _ = parseLines(tail)
	}
	unfiled, _ := parseLines(m.unfiled)
	c.lines = append(c.lines, unfiled...)
	c.sort()
	return c.facts(Found{}).Facts, nil
}

// tail reads what stands behind the text in the file of a message.
func (m *message) tail(f disk.File) ([]byte, error) {
	at := int64(m.textAt) + m.text
	b := make([]byte, max(0, m.size-at))
	return b, disk.ReadFull(f, b, at)
}
