package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"

	"cgq/bench/ring"
)

// A message is what is kept and sent on: text as it came over the wire, dot-stuffed,
// with the final dot.
type message struct {
	from, rcpt string
	text       []byte
}

type server struct {
	ring  *ring.Ring
	queue chan *message // nil: nothing is sent on
	used  sync.Pool     // of *message, for the room in their texts
}

func newServer(r *ring.Ring) *server {
	return &server{ring: r, used: sync.Pool{New: func() any { return &message{text: make([]byte, 0, 8<<10)} }}}
}

// serve speaks SMTP on c until the client leaves.
func (s *server) serve(c net.Conn) error {
	in := bufio.NewReaderSize(c, 16<<10)
	reply := "220 floor ESMTP\r\n"
	m := s.used.Get().(*message)
	for {
		if _, err := io.WriteString(c, reply); err != nil {
			return err
		}
		l, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		switch strings.ToUpper(string(l[:min(4, len(l))])) {
		case "EHLO":
			reply = "250-floor\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
		case "MAIL":
			m.from, reply = path(l), "250 ok\r\n"
		case "RCPT":
			m.rcpt, reply = path(l), "250 ok\r\n"
		case "DATA":
			if _, err := io.WriteString(c, "354 go\r\n"); err != nil {
				return err
			}
			if err := s.accept(in, m); err != nil {
				return err
			}
			m, reply = s.used.Get().(*message), "250 kept\r\n"
		case "QUIT":
			_, err := io.WriteString(c, "221 bye\r\n")
			return err
		default:
			reply = "250 ok\r\n"
		}
	}
}

// path returns what stands between the angle brackets.
func path(l []byte) string {
	a, b := bytes.IndexByte(l, '<'), bytes.LastIndexByte(l, '>')
	if a < 0 || b < a {
		return ""
	}
	return string(l[a+1 : b])
}

// accept reads the text of m, makes it durable and queues it.
func (s *server) accept(in *bufio.Reader, m *message) error {
	m.text = m.text[:0]
	for start := true; ; { // of a line
		l, err := in.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		m.text = append(m.text, l...)
		if start && string(l) == ".\r\n" {
			break
		}
		start = err == nil
	}
	if err := s.ring.Commit(m.text); err != nil {
		return err
	}
	if s.queue == nil {
		s.used.Put(m)
		return nil
	}
	s.queue <- m
	return nil
}

// send sends what is queued over c, until that fails.
func (s *server) send(c net.Conn) error {
	in := bufio.NewReader(c)
	if err := replies(in, 1); err != nil {
		return err
	}
	if _, err := io.WriteString(c, "EHLO floor\r\n"); err != nil {
		return err
	}
	if err := replies(in, 1); err != nil {
		return err
	}
	for m := range s.queue {
		if _, err := fmt.Fprintf(c, "MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n", m.from, m.rcpt); err != nil {
			return err
		}
		if err := replies(in, 3); err != nil {
			return err
		}
		if _, err := c.Write(m.text); err != nil {
			return err
		}
		if err := replies(in, 1); err != nil {
			return err
		}
		s.used.Put(m)
	}
	return nil
}

// replies reads n replies; one that is not positive is an error.
func replies(in *bufio.Reader, n int) error {
	for n > 0 {
		l, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(l) < 4 || l[0] > '3' {
			return fmt.Errorf("the next hop said %q", l)
		}
		if l[3] == ' ' {
			n--
		}
	}
	return nil
}
