package endtoend

import (
	"os"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"cgq/pkg/endtoend/program"
)

// A place is where the story is not at the moment: another base directory and daemon.
type place struct {
	base   string
	daemon *program.Daemon
	env    map[string]string
}

// ofPlace are the variables that each place has for itself.
var ofPlace = []string{"CGQ_BASE", "RELAY", "SMTP", "PID"}

// at goes to a place, which is made when the story has not been there. The place at
// which a story begins has no name.
func (s *site) at(ts *testscript.TestScript, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: at NAME")
	}
	left := &place{s.base, s.daemon, map[string]string{}}
	for _, name := range ofPlace {
		left.env[name] = ts.Getenv(name)
	}
	s.places[s.here] = left
	s.here = args[0]
	next := s.places[s.here]
	delete(s.places, s.here)
	if next == nil {
		base, err := os.MkdirTemp("/tmp", "cgq")
		ts.Check(err)
		next = &place{base: base, env: map[string]string{"CGQ_BASE": base}}
	}
	s.base, s.daemon = next.base, next.daemon
	for _, name := range ofPlace {
		ts.Setenv(name, next.env[name])
	}
}

// leave ends what is at the other places, and returns what was said there last.
func (s *site) leave() (said string, err error) {
	for name, p := range s.places {
		if p.daemon != nil {
			if e := p.daemon.End(unix.SIGTERM); e != nil {
				err = e
			}
		}
		said += "the end of the Server Log at " + name + ":\n" + lastLines(p.base, 60)
		os.RemoveAll(p.base)
	}
	return said, err
}
