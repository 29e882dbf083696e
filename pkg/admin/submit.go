package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"cgq/pkg/control"
	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/serverlog"
	"cgq/pkg/settings"
	"cgq/pkg/submission"
)

// SubmitSettings are the section submit: mail of programs on this machine.
type SubmitSettings struct {
	Users       []string      `toml:"users" doc:"the users of this machine whose programs may hand mail in, with cgq submit and sendmail; \"*\" are all; root and the user that cgqd runs as always may"`
	ReturnPaths []string      `toml:"other_return_paths" doc:"which of them may give another return path than their own, which is name@main_domain; \"*\" are all; <> names nobody, so everybody may give it"`
	MaxSize     settings.Size `toml:"max_message_size" doc:"the largest message that is taken of a program, 64K to 2G"`
}

// SubmitDefaults are the settings of a new server: what every mail server lets the users
// of its machine do.
func SubmitDefaults() SubmitSettings {
	return SubmitSettings{Users: []string{everybody}, ReturnPaths: []string{everybody}, MaxSize: 50 * settings.MiB}
}

// everybody are all users of the machine.
const everybody = "*"

// Validate names the first key that cannot be used.
func (s *SubmitSettings) Validate() error {
	if s.MaxSize < 64*settings.KiB || s.MaxSize > 2*settings.GiB {
		return fmt.Errorf("max_message_size: %s is not between 64K and 2G", s.MaxSize)
	}
	for key, names := range map[string][]string{"users": s.Users, "other_return_paths": s.ReturnPaths} {
		if slices.Contains(names, "") {
			return fmt.Errorf("%s: a name is empty", key)
		}
	}
	return nil
}

// A Submitter serves the programs of this machine that hand in mail.
type Submitter struct {
	Enqueuer   module.Enqueuer
	Settings   func() *SubmitSettings
	Rights     func(control.Actor) []control.Right        // what Settings/access.toml grants
	Refused    func(control.Actor, string, control.Right) // as that of a [control.Mux]
	MainDomain func() string
	Log        *slog.Logger // tag PIPE
}

// maxRecipients is how many a message may have.
const maxRecipients = 10_000

// How many connections of programs there may be at the same time: of one user, and of all.
const (
	userPrograms = 250
	allPrograms  = 1000
)

// Mux returns what serves [control.SubmitSocket]; faults go to log.
func (s *Submitter) Mux(log *slog.Logger) *control.Mux {
	m := &control.Mux{Log: log, Grant: s.grant, Refused: s.Refused, OfUser: userPrograms, OfOthers: allPrograms}
	control.HandleUpload(m, control.MessageSubmit, s.submit)
	return m
}

func (s *Submitter) grant(who control.Actor) []control.Right {
	if owner(who) || among(who, s.Settings().Users) || slices.Contains(s.Rights(who), control.Submit) {
		return []control.Right{control.Submit}
	}
	return nil
}

func owner(who control.Actor) bool { return len(control.Owner(who)) > 0 }

func among(who control.Actor, names []string) bool {
	return slices.Contains(names, everybody) || slices.Contains(names, who.Name)
}

func (s *Submitter) submit(ctx context.Context, who control.Actor, in control.Submission, body io.Reader) (control.Submitted, error) {
	id, size, err := s.take(ctx, who, in, body)
	if err == nil {
		s.Log.LogAttrs(ctx, serverlog.Major, "received from user "+who.Name+", "+strconv.FormatInt(size, 10)+" bytes",
			slog.Any("id", id), slog.Any("uid", who.UID), slog.Any("pid", who.PID))
		return control.Submitted{ID: id}, nil
	}
	if r, ok := errors.AsType[*module.Rejection](err); ok {
		err = rejected(r)
	}
	s.Log.Warn("message of user " + who.Name + " refused: " + err.Error())
	return control.Submitted{}, err
}

// rejected is a rejection as the caller hears it.
func rejected(r *module.Rejection) *control.Error {
	kind := control.KindRefused
	if r.Result.Action == mail.Delayed {
		kind = control.KindLater
	}
	e := control.Errorf(kind, "", "%s", r.Result.Text)
	e.Code = r.Result.Status.String()
	return e
}

// take makes the envelope, and submits.
func (s *Submitter) take(ctx context.Context, who control.Actor, in control.Submission, body io.Reader) (mail.ID, int64, error) {
	domain := s.MainDomain()
	own := mail.Address{Local: who.Name, Domain: domain}
	env := &mail.Envelope{Source: mail.PIPE, Auth: own.String(), Domain: domain, EnvelopeID: in.EnvelopeID}
	env.Return, _ = mail.ParseReturn(in.Return) // these are checked
	env.Body, _ = mail.ParseBodyType(in.Body)
	var err error
	if env.ReturnPath, err = s.returnPath(who, own, in.ReturnPath); err != nil {
		return 0, 0, err
	}
	named, err := recipients(in, domain)
	if err == nil && len(named) > maxRecipients {
		err = tooMany()
	}
	if err != nil {
		return 0, 0, err
	}
	if err := s.Enqueuer.Admit(ctx, env); err != nil {
		return 0, 0, err
	}
	counted := &limited{r: body, left: int64(s.Settings().MaxSize)}
	m, err := submission.Read(counted, submission.Options{Domain: domain, From: author(env.ReturnPath, domain),
		FullName: fullName(who, in.FullName), Now: time.Now(), Recipients: in.FromHeader})
	if err != nil {
		return 0, 0, err
	}
	notify, _ := mail.ParseNotify(in.Notify)
	if env.Recipients, err = join(named, m.Recipients, notify); err != nil {
		return 0, 0, err
	}
	env.SMTPUTF8 = !env.ReturnPath.ASCII() || slices.ContainsFunc(env.Recipients, func(r mail.Recipient) bool { return !r.Address.ASCII() })
	id, err := s.Enqueuer.Submit(ctx, env, m)
	return id, counted.read, err
}

// returnPath is the one that is wanted, if its sender may have it.
func (s *Submitter) returnPath(who control.Actor, own mail.Address, text string) (mail.Address, error) {
	if text == "" {
		return own, nil
	}
	a, err := mail.ParsePath(text)
	if err != nil && !strings.ContainsFunc(text, unicode.IsControl) { // as a header has it, with a name
		if list, e := submission.Addresses(text, own.Domain); e == nil && len(list) == 1 {
			a, err = list[0], nil
		}
	}
	if err != nil {
		return a, control.Errorf(control.KindBadRequest, "", "the return path: %v", err)
	}
	a = submission.Qualified(a, own.Domain)
	if a.IsZero() || a.Fold() == own.Fold() || owner(who) || among(who, s.Settings().ReturnPaths) {
		return a, nil
	}
	return a, control.Errorf(control.KindNoRight, "other_return_paths in Settings/pipe.toml says who may",
		"user %s may not send as %s, only as %s", who.Name, a, own)
}

// recipients are those of the request.
func recipients(in control.Submission, domain string) (all []mail.Recipient, err error) {
	for _, r := range in.Recipients {
		list, err := submission.Addresses(r.Address, domain)
		if err == nil && (len(list) == 0 || strings.ContainsFunc(r.Address, unicode.IsControl)) {
			err = fmt.Errorf("%w: %q", mail.ErrAddress, r.Address)
		}
		if err != nil {
			return nil, control.Errorf(control.KindBadRequest, "", "%v", err)
		}
		notify, _ := mail.ParseNotify(r.Notify)
		for _, a := range list {
			all = append(all, mail.Recipient{Address: a, Notify: notify, Original: r.Original})
		}
	}
	return all, nil
}

// join puts the recipients of the header behind the others, each once.
func join(named []mail.Recipient, more []mail.Address, notify mail.Notify) (all []mail.Recipient, err error) {
	for _, a := range more {
		named = append(named, mail.Recipient{Address: a})
	}
	seen := map[mail.Address]bool{}
	for _, r := range named {
		if seen[r.Address.Fold()] {
			continue
		}
		seen[r.Address.Fold()] = true
		if r.Notify == 0 {
			r.Notify = notify
		}
		all = append(all, r)
	}
	switch {
	case len(all) == 0:
		return nil, control.Errorf(control.KindBadRequest, "name one, or write To, Cc or Bcc", "no recipients")
	case len(all) > maxRecipients:
		return nil, tooMany()
	}
	return all, nil
}

func tooMany() error {
	return module.Reject(5, 5, 3, "more than "+strconv.Itoa(maxRecipients)+" recipients")
}

// author is the address of a From field that is missing.
func author(from mail.Address, domain string) mail.Address {
	if from.IsZero() {
		return mail.Address{Local: "MAILER-DAEMON", Domain: domain}
	}
	return from
}

// fullName is the name of a user, as he gives it, or as the system has it (passwd(5):
// up to the first comma, & being the name in letters).
func fullName(who control.Actor, given string) string {
	if given != "" {
		return given
	}
	u, err := user.LookupId(strconv.FormatUint(uint64(who.UID), 10))
	if err != nil {
		return ""
	}
	name, _, _ := strings.Cut(u.Name, ",")
	if who.Name != "" {
		name = strings.ReplaceAll(name, "&", strings.ToUpper(who.Name[:1])+who.Name[1:])
	}
	return name
}

// A limited reader refuses a text that is too long.
type limited struct {
	r          io.Reader
	left, read int64
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	l.read += int64(n)
	if l.left -= int64(n); l.left < 0 {
		return 0, module.Reject(5, 3, 4, "the message is larger than max_message_size in Settings/pipe.toml")
	}
	return n, err
}
