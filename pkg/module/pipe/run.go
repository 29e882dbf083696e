package pipe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"cgq/pkg/header"
	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/program"
	"cgq/pkg/serverlog"
)

// A run is that of a program with one message for one recipient.
type run struct {
	*Module
	set *Deliver
	log *slog.Logger
	t   *module.Transfer
	to  *module.Recipient
}

// do runs the program. An error says that nothing is known of the recipient: a *textError, a
// *setupError, another reason why the program is not started, or the end of ctx.
func (r *run) do(ctx context.Context) (mail.Result, error) {
	line, err := parse(r.to.To.Local)
	if err != nil {
		return failed(mail.Status{5, 1, 3}, err.Error()), nil
	}
	path, err := find(r.directory(r.set), line.Args[0])
	if err != nil {
		return mail.Result{}, err
	}
	as, err := runAs(r.set.User)
	if err != nil {
		return mail.Result{}, &setupError{path, "deliver.user: " + err.Error()}
	}
	dir := r.base
	switch {
	case as != nil && line.File:
		return delayed(mail.Status{4, 3, 5}, "[FILE] is not for a program that another user runs"), nil
	case as != nil:
		dir = "/" // the base directory is closed to him
	case os.Geteuid() == 0:
		r.root.Do(func() {
			r.log.Log(ctx, serverlog.Problem, "programs run as root: set deliver.user in pipe.toml, or user in server.toml")
		})
	}
	in, err := r.open(line)
	if err != nil {
		return mail.Result{}, err
	}
	defer in.close()
	if in.loops {
		return failed(mail.Status{5, 4, 6}, "the message was here before: it has a Delivered-To field with this address"), nil
	}
	args, env := line.Arguments(in.file, r.t.Envelope.ReturnPath.String(), r.to.Address.String()), r.environment()
	if strings.Contains(strings.Join(append(args, env...), ""), "\x00") {
		return failed(mail.Status{5, 1, 3}, "an address with a NUL cannot be given to a program"), nil
	}
	res, err := program.Run(ctx, program.Command{Path: path, Args: args, Dir: dir, Env: env, User: as,
		Stdin: in.reader, Time: r.set.TimeLimit.D(), Output: int(r.set.Output)})
	if err != nil {
		var bad *textError
		if ctx.Err() == nil && !errors.As(err, &bad) {
			err = startError(path, err)
		}
		return mail.Result{}, err
	}
	return r.result(ctx, line, res), nil
}

// environment is what the program is told beside PATH and LANG. Strangers have written it, so
// it is for programs that know that.
func (r *run) environment() []string {
	sender := ""
	if from := r.t.Envelope.ReturnPath; !from.IsZero() {
		sender = from.String()
	}
	original := r.to.Address.String()
	if kind, address, ok := strings.Cut(r.to.Original, ";"); ok && strings.EqualFold(kind, "rfc822") {
		original = address
	}
	_, extension, _ := strings.Cut(r.to.Address.Local, "+")
	return []string{"SENDER=" + sender, "RECIPIENT=" + r.to.Address.String(), "ORIGINAL_RECIPIENT=" + original,
		"EXTENSION=" + extension, "MESSAGE_ID=" + r.t.ID.String()}
}

// An input is a message on its way into a program: on standard input, or as a file.
type input struct {
	reader io.Reader
	file   string
	loops  bool // the message has been given to this address before
	close  func()
}

// headSize is how much of a text is looked at for its header.
const headSize = 64 << 10

// open makes the input: the name of a copy, or two fields that only the last server knows
// (RFC 5321 §4.4), and the text as it is.
func (r *run) open(line *program.Line) (*input, error) {
	text, err := r.t.Open()
	if err != nil {
		return nil, &textError{err}
	}
	in := &input{close: func() { _ = text.Close() }} // it was read only
	begin := make([]byte, min(headSize, r.t.Size))
	n, err := io.ReadFull(text, begin)
	if err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
		_, err = text.Seek(0, io.SeekStart)
	}
	if err != nil {
		in.close()
		return nil, &textError{err}
	}
	to := r.to.Address.String()
	in.loops = loops(begin[:n], to)
	if line.File && !in.loops {
		in.close()
		if in.file, in.close, err = r.lend(r.t.ID); err != nil {
			return nil, &textError{err}
		}
		return in, nil
	}
	above := fmt.Sprintf("Return-Path: %s\nDelivered-To: %s\n", r.t.Envelope.ReturnPath.Path(), to)
	in.reader = io.MultiReader(strings.NewReader(above), &source{from: text, left: r.t.Size})
	return in, nil
}

// loops reports whether a header says that the message was delivered to an address.
func loops(begin []byte, to string) bool {
	for f := range header.Fields(begin) {
		if f.Is("Delivered-To") && strings.EqualFold(f.Text(), to) {
			return true
		}
	}
	return false
}

// A textError is an error of the Queue, not of the program.
type textError struct{ error }

func (e *textError) Unwrap() error { return e.error }

// A source tells errors of reading from others, and takes no part of a text for the whole.
type source struct {
	from io.Reader
	left int64
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.from.Read(p)
	s.left -= int64(n)
	switch {
	case err == io.EOF && s.left != 0:
		err = &textError{fmt.Errorf("the text has another size: %d bytes are missing", s.left)}
	case err != nil && err != io.EOF:
		err = &textError{err}
	}
	return n, err
}
