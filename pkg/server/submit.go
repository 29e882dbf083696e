package server

import (
	"net"
	"os"
	"path/filepath"

	"cgq/pkg/admin"
	"cgq/pkg/control"
)

// submitter is what takes mail of programs. Refused hears who may not.
func (s *server) submitter(refused func(control.Actor, string, control.Right)) *admin.Submitter {
	return &admin.Submitter{Enqueuer: s.enqueuer, Refused: refused, MainDomain: s.mainDomain, Log: s.log.Logger("PIPE"),
		Settings: func() *admin.SubmitSettings { return &s.config.Load().Pipe.Submit }, Rights: s.access.Rights}
}

// socket listens on a socket in the base directory.
func (s *server) socket(name string) (net.Listener, error) {
	path := filepath.Join(s.base, name)
	moved, err := control.MoveAway(path)
	if err != nil {
		return nil, err
	}
	if moved != "" {
		s.system.Error(path + " was there and no socket; it is " + moved + " now")
	}
	return control.Listen(path)
}

// listenSubmit makes the socket at which programs hand in mail. It is not control.sock: who
// fills it up keeps no administrator out.
func (s *server) listenSubmit() (net.Listener, error) {
	l, err := s.socket(control.SubmitSocket)
	if err != nil {
		return nil, err
	}
	if set := &s.config.Load().Pipe.Submit; len(set.Users) > 0 {
		if dir := closedTo(s.base); dir != "" {
			s.system.Warn("users of this machine cannot submit mail, which submit.users in Settings/pipe.toml lets them: " +
				"they cannot go through " + dir + "; chmod o+x " + dir)
		}
	}
	return l, nil
}

// closedTo returns the directory on the way to base, and base itself, through which others
// cannot go, or nothing.
func closedTo(base string) string {
	for dir := base; ; dir = filepath.Dir(dir) {
		if is, err := os.Stat(dir); err == nil && is.Mode().Perm()&0o001 == 0 {
			return dir
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
	}
}
