package server

import "cgq/pkg/mail"

// class says in a word why something failed or waits: by the rules of the settings, then by
// the built-in ones.
func (s *server) class(r mail.Result) string { return string(s.config.Load().classes.Class(r)) }

// classOf is class for the text of an error.
func (s *server) classOf(text string) string { return string(s.config.Load().classes.ClassOf(text)) }
