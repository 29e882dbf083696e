// Command floor is the least that a mail server in Go can do on a machine: it takes
// messages by SMTP, makes each durable in a log that all waiting sessions commit
// together, answers 250 and, with -relay, sends it on over connections that it keeps.
// What cgqd reaches is held against what floor reaches.
//
// It is not a mail server: no policy, no routing, no retries, no queue, no limits.
// It listens where it is told to; that should be the loopback interface.
//
//	floor -addr 127.0.0.1:21000 -log FILE [-relay 127.0.0.1:21001 [-out 20]]
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"

	"cgq/bench/ring"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("floor: ")
	addr := flag.String("addr", "127.0.0.1:21000", "listen on `address`")
	path := flag.String("log", "", "keep the messages in `file`")
	relay := flag.String("relay", "", "send the messages on to `address`; none: only accept")
	out := flag.Int("out", 20, "how many connections to the relay")
	flag.Parse()
	if err := run(*addr, *path, *relay, *out); err != nil {
		log.Fatal(err)
	}
}

// run serves until something fails.
func run(addr, path, relay string, out int) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("the message log (-log FILE): %w", err)
	}
	defer f.Close()
	kept, err := ring.New(f, 64<<20)
	if err != nil {
		return err
	}
	s := newServer(kept)
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	defer l.Close()
	if relay != "" {
		s.queue = make(chan *message, 100_000) // never closed: floor stops by being killed
		for range out {
			c, err := net.Dial("tcp", relay)
			if err != nil {
				return err
			}
			go func() { log.Fatalf("relay: %v", s.send(c)) }()
		}
	}
	return s.listen(l)
}

// listen serves each connection that comes.
func (s *server) listen(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			if err := s.serve(c); err != nil && !errors.Is(err, io.EOF) {
				log.Print(err)
			}
		}()
	}
}
