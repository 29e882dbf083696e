package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"

	"cgq/pkg/mail"
)

// submittedDir is where a message waits for a daemon, below the base directory. Who may
// write there may send as anybody.
const submittedDir = "Submitted"

// leave writes a message into a file that the daemon takes when it runs. The file has its
// name only when it is whole and synced.
func (a *app) leave(ctx context.Context, l letter, text io.Reader) (file string, err error) {
	head, err := leftHeader(l)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(a.base, submittedDir)
	owner, err := ownerOf(a.base)
	if err != nil {
		return "", err
	}
	if err := os.Mkdir(dir, 0o700); err == nil {
		err = owner.take(dir)
		if err = errors.Join(err, syncDir(a.base)); err != nil {
			return "", err
		}
	}
	f, err := os.CreateTemp(dir, "submit-*.tmp") // 0600
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			f.Close()
			err = errors.Join(err, ignoreMissing(os.Remove(f.Name())))
		}
	}()
	if err := copyLeft(ctx, f, head, text); err != nil {
		return "", err
	}
	file = strings.TrimSuffix(f.Name(), ".tmp") + ".sub"
	err = errors.Join(owner.take(f.Name()), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err == nil {
		err = syncDir(dir)
	}
	return file, err
}

// copyLeft writes the message, unless ctx ends.
func copyLeft(ctx context.Context, f io.Writer, head string, text io.Reader) error {
	copied := make(chan error, 1)
	go func() { // as in readAhead
		in := bufio.NewReaderSize(text, 64<<10)
		blank, err := opening(in)
		if err == nil {
			_, err = io.WriteString(f, head+blank)
		}
		if err == nil {
			_, err = io.Copy(f, in)
		}
		copied <- err
	}()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case err := <-copied:
		return err
	}
}

// opening takes the line of a mailbox off a text, and returns what has to be in front of
// one that begins with no header.
func opening(in *bufio.Reader) (blank string, err error) {
	start, err := in.Peek(1000)
	if bytes.HasPrefix(start, []byte("From ")) {
		if _, err = in.ReadSlice('\n'); err != nil && err != io.EOF {
			return "", fmt.Errorf("the line From: %w", err)
		}
		start, err = in.Peek(1000)
	}
	if err != nil && err != io.EOF {
		return "", err
	}
	line, _, _ := bytes.Cut(start, []byte{'\n'})
	name, _, ok := bytes.Cut(bytes.TrimRight(line, "\r"), []byte{':'})
	if len(bytes.TrimRight(line, "\r")) == 0 && len(start) > 0 { // no header, and it says so
		return "", nil
	}
	if !ok || len(name) == 0 || bytes.ContainsFunc(bytes.TrimRight(name, " \t"), func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "\n", nil
	}
	return "", nil
}

// leftHeader are the fields that say the envelope.
func leftHeader(l letter) (string, error) {
	var b strings.Builder
	if l.ReturnPath == "" { // as the daemon has it: who runs it, at the main domain
		who, err := user.Current()
		if err != nil {
			return "", err
		}
		l.ReturnPath = mail.Address{Local: who.Username}.Path()
	}
	from, err := mail.ParsePath(l.ReturnPath)
	if err != nil {
		return "", &usageError{err.Error()}
	}
	fmt.Fprintf(&b, "Return-Path: %s\n", from.Path())
	if l.EnvelopeID != "" {
		fmt.Fprintf(&b, "Envelope-ID: %s\n", oneLine(l.EnvelopeID))
	}
	field := "Envelope-To"
	if l.FromHeader {
		field = "Bcc" // Envelope-To would stand for all others
	}
	for _, r := range l.Recipients {
		if oneLine(r.Address) != r.Address || r.Address == "" {
			return "", &usageError{fmt.Sprintf("not an address: %q", r.Address)}
		}
		fmt.Fprintf(&b, "%s: %s\n", field, r.Address)
	}
	return b.String(), nil
}

// oneLine is s without control characters.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
}

// An owner is whose files the daemon's are.
type owner struct{ uid, gid int }

func ownerOf(base string) (owner, error) {
	is, err := os.Stat(base)
	if err != nil {
		return owner{}, err
	}
	if sys, ok := is.Sys().(*syscall.Stat_t); ok {
		return owner{int(sys.Uid), int(sys.Gid)}, nil
	}
	return owner{-1, -1}, nil
}

// take gives a file to its owner: what root has made, cgqd must be able to read.
func (o owner) take(name string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return os.Lchown(name, o.uid, o.gid)
}
