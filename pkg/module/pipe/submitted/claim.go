package submitted

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"
	"time"

	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/serverlog"
)

// tokenBytes is how long a token is: 128 bits in hex.
const tokenBytes = 32

// takenName is the name of a claimed file: what it was called, so that a person can see it,
// and the token.
func takenName(name, token string) string {
	return short(strings.TrimSuffix(name, sub)) + "." + token + taken
}

// short cuts a name so that there is room behind it: no name is longer than 255 bytes.
func short(name string) string { return name[:min(len(name), 200)] }

// tokenOf is the token in the name of a claimed file; empty: it is none.
func tokenOf(name string) string {
	name, ok := strings.CutSuffix(name, taken)
	if !ok || len(name) < tokenBytes+2 || name[len(name)-tokenBytes-1] != '.' {
		return ""
	}
	token := name[len(name)-tokenBytes:]
	if strings.Trim(token, "0123456789abcdef") != "" {
		return ""
	}
	return token
}

// stemOf is what a claimed file was called, without the extension.
func stemOf(name string) string { return name[:len(name)-len(taken)-tokenBytes-1] }

// claim opens a file that may be a message, looks at it, and makes it ours. It returns nil
// when that is not so: the file is bad, or not ready, or was gone.
func (d *run) claim(ctx context.Context, in *handle, name string) *claim {
	if d.postponed(name) {
		return nil
	}
	is, err := in.Stat(name)
	if err == nil {
		err = d.judge(name, is)
	}
	c := &claim{name: name, is: is, in: in}
	if err == nil {
		c.file, err = in.Open(name)
	}
	if err == nil {
		if err = c.own(); err != nil {
			c.file.Close()
		}
	}
	var f *fault
	switch {
	case err == nil:
		return c
	case errors.Is(err, fs.ErrNotExist):
	case errors.Is(err, errDirectory):
		d.tellOnce(ctx, name, name+" is a directory: it is left alone")
	case errors.As(err, &f):
		d.condemn(in, name, name, f)
	case errors.Is(err, fs.ErrPermission):
		d.condemn(in, name, name, &fault{"it may not be read: " + err.Error()})
	case errors.Is(err, errNotYet):
		if d.postpone(name, soon) > rescan {
			d.complain("not yet", name+" is not taken: "+err.Error())
		}
	default:
		d.postpone(name, rescan)
		d.complain("fault", name+" cannot be taken: "+err.Error())
	}
	return nil
}

var (
	errDirectory = errors.New("a directory")
	errNotYet    = errors.New("somebody still works on it")
)

// judge says why a name is not, or not yet, to be opened.
func (d *run) judge(name string, is info) error {
	switch {
	case is.kind == fs.ModeDir:
		return errDirectory
	case is.kind != 0:
		return faulty("it is %s", what(is.kind))
	case !d.users[is.owner]:
		return faulty("it belongs to the user with the number %d, whose files are not taken", is.owner)
	case is.size > d.maxSize:
		return faulty("it has %d bytes, %d are the most", is.size, d.maxSize)
	case is.links > 1 && d.postpone(name, soon) < patience: // link and unlink are a rename, too
		return fmt.Errorf("%w: it has %d names", errNotYet, is.links)
	case is.links > 1:
		return faulty("it has %d names", is.links)
	}
	return nil
}

func what(kind fs.FileMode) string {
	switch kind {
	case fs.ModeSymlink:
		return "a symbolic link"
	case fs.ModeNamedPipe:
		return "a FIFO"
	case fs.ModeSocket:
		return "a socket"
	}
	return "a device"
}

// own gives an opened file the name under which it is ours. Whatever has taken its place
// meanwhile is not.
func (c *claim) own() error {
	is, err := c.file.Stat()
	if err != nil {
		return err
	}
	if !is.same(c.is) || is.links > 1 {
		return fmt.Errorf("%w: another file has its name now", errNotYet)
	}
	writing, known := c.file.Writing()
	if writing || !known && time.Since(time.Unix(is.written.Unix())) < soon {
		return errNotYet
	}
	c.is, c.token = is, unique()
	c.taken = takenName(c.name, c.token)
	if err := c.in.Rename(c.name, c.taken); err != nil {
		return err
	}
	now, err := c.in.Stat(c.taken)
	if err == nil && now.same(is) {
		return nil
	}
	if _, wrong := c.in.rename(c.taken, c.name); wrong != nil {
		err = errors.Join(err, wrong)
	}
	return errors.Join(fmt.Errorf("%w: another file has its name now", errNotYet), err)
}

// unchanged says whether the file is what it was.
func (c *claim) unchanged() error {
	is, err := c.file.Stat()
	if err == nil && !is.unchanged(c.is) {
		err = errChanged
	}
	return err
}

// submit makes a message of a claimed file, or says why not.
func (d *run) submit(ctx, work context.Context, c *claim) {
	if ctx.Err() != nil {
		d.giveBack(c)
		return
	}
	id, err := d.send(ctx, work, c)
	if err == nil {
		c.file.Close()
		d.forget(c.name)
		d.counts.taken.Add(1)
		d.log.Log(ctx, serverlog.Major, "["+id.String()+"] received, "+fmt.Sprint(c.is.size)+" bytes", "file", c.name)
		return
	}
	var f *fault
	var refused *module.Rejection
	isRefused := errors.As(err, &refused)
	switch {
	case errors.Is(err, module.ErrUnsettled):
		c.file.Close()
		d.log.Error("the message of " + c.taken + " is left for the next start: " + err.Error())
	case errors.As(err, &f):
		c.file.Close()
		d.condemn(c.in, c.taken, c.name, f)
	case isRefused && refused.Result.Action == mail.Failed:
		c.file.Close()
		d.condemn(c.in, c.taken, c.name, &fault{"it is refused: " + refused.Error()})
	case errors.Is(err, errChanged):
		if d.postpone(c.name, pause) > rescan {
			d.complain("not yet", c.name+" is not taken: "+err.Error())
		}
		d.giveBack(c)
	case isRefused:
		d.refused.Store(true)
		d.complain("closed", "no mail is taken just now, files stay where they are: "+err.Error())
		d.giveBack(c)
	case work.Err() != nil:
		d.giveBack(c)
	default:
		d.postpone(c.name, rescan)
		d.complain("fault", c.name+" cannot be submitted, trying again: "+err.Error())
		d.giveBack(c)
	}
}

// send reads a file and submits what it holds.
func (d *run) send(ctx, work context.Context, c *claim) (mail.ID, error) {
	k := maker{mapping: &d.mapping, domain: d.domain(), now: time.Now(), unique: unique}
	m, err := k.make(c.file, c.is.size)
	var eightBit bool
	if err == nil {
		eightBit, err = inspect(io.NewSectionReader(c.file, m.body, c.is.size-m.body))
	}
	if changed := c.unchanged(); changed != nil { // then no word of it can be believed
		return 0, changed
	}
	if err != nil {
		return 0, err
	}
	if eightBit {
		m.env.Body = mail.Body8BitMIME
	}
	m.env.Submission = c.token
	return d.into.SubmitFile(work, m.env, m.text(c), func() error { return d.takeAway(ctx, c) })
}

// takeAway removes the file of a message that is durable. As long as that fails the message
// waits; when the server stops, for the next start. The end of the run is no reason not to
// hand it out in this life; only the run does not wait for it.
func (d *run) takeAway(ctx context.Context, c *claim) error {
	left := ctx.Done()
	for {
		err := d.remove(c.in, c.taken)
		if err == nil || d.isBroken(c.in) {
			if left == nil {
				d.hints.add("") // it may have been the last one
			}
			return err
		}
		d.complain("waits", "the message of "+c.taken+" waits, because the file cannot be removed: "+err.Error())
		select {
		case <-d.stopped:
			return err
		case <-left:
			left = nil
			c.done()
		case <-time.After(pause):
		}
	}
}

// maxReason is how long the text beside a bad file is at most.
const maxReason = 4 << 10

// condemn gives a file that is no message the extension .bad, and says why, in the log and
// beside it.
func (d *directory) condemn(in *handle, now, name string, why *fault) {
	to, err := in.rename(now, short(strings.TrimSuffix(name, sub))+bad)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		d.postpone(name, rescan)
		d.complain("rename", name+" is bad and cannot be renamed: "+why.Error()+": "+err.Error())
		return
	}
	d.forget(name)
	d.counts.bad.Add(1)
	d.log.Error(name + " is no message, it is called " + to + " now: " + why.Error())
	text := time.Now().Format(time.RFC3339) + " " + why.Error()
	text = text[:min(len(text), maxReason-1)] + "\n"
	if err := in.Write(to+reason, []byte(text)); err != nil && !errors.Is(err, syscall.EEXIST) {
		d.log.Warn("cannot say so beside it: " + err.Error())
	}
}

// text is the message as it is submitted.
func (m *message) text(c *claim) io.Reader {
	rest := io.NewSectionReader(c.file, m.body, c.is.size-m.body)
	return io.MultiReader(strings.NewReader(string(m.head)), newBody(rest, c.unchanged))
}
