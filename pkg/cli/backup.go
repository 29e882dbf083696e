package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"cgq/pkg/control"
)

// A backedUp is the answer of cgq queue backup.
type backedUp struct {
	File     string `json:"file"`
	Messages int    `json:"messages"`
	Left     int    `json:"left,omitzero"`
	Damaged  int    `json:"damaged,omitzero"`
	Bytes    int64  `json:"bytes"`
}

func newQueueBackup(a *app) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write the whole Queue to a file while it works",
		Long: "Writes an archive of the whole Queue, as it is at one instant, to a file that nobody\n" +
			"else may read; - is standard output. It is a tar file: cgqd restore puts it into an\n" +
			"empty Queue, where all of it is held. It refuses to overwrite a file, and a backup that\n" +
			"fails leaves none.\n\n" +
			"With status 5 the backup is complete but for messages that could not be read: the log\n" +
			"names them.",
		Example: "  cgq queue backup /backup/queue.tar\n  cgq queue backup - | gzip > queue.tar.gz",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] != "-" {
				return a.backup(cmd.Context(), args[0], force)
			}
			if a.width > 0 {
				return usagef(cmd, "an archive is nothing for a terminal; name a file, or redirect standard output")
			}
			b, err := a.backUp(cmd.Context(), a.out)
			if err != nil {
				return err
			}
			fmt.Fprint(a.errOut, told(b, "standard output"))
			return leftOut(b)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "replace a file that is there")
	return cmd
}

// backup writes a backup to a file, which has its name only when it is whole and
// synced.
func (a *app) backup(ctx context.Context, name string, force bool) error {
	if err := mayMake(name, force); err != nil {
		return fmt.Errorf("%w; - is standard output", err)
	}
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".part*") // 0600
	if err != nil {
		return err
	}
	b, err := a.backUp(ctx, f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = publish(f.Name(), name, force)
	}
	if err != nil {
		return errors.Join(err, ignoreMissing(os.Remove(f.Name())))
	}
	if err := syncDir(filepath.Dir(name)); err != nil {
		return err
	}
	if printed, err := printThing(a, backedUp{name, b.Messages, b.Left, b.Damaged, b.Bytes}, name); printed {
		return errors.Join(err, leftOut(b))
	}
	_, err = io.WriteString(a.out, told(b, name))
	return errors.Join(err, leftOut(b))
}

// backUp has the daemon write a backup, and tells how much it is so far.
func (a *app) backUp(ctx context.Context, w io.Writer) (control.Backup, error) {
	var written atomic.Int64
	defer a.progress(func() string { return "backed up " + size(written.Load()) })()
	return control.QueueBackup.Do(ctx, a.client(), control.Nothing{}, countingWriter{w, &written})
}

// A countingWriter counts the bytes that it writes.
type countingWriter struct {
	w io.Writer
	n *atomic.Int64
}

func (c countingWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n.Add(int64(n))
	return n, err
}

// An inTheWayError says that a file has the name that another should have.
type inTheWayError struct{ why string }

func (e *inTheWayError) Error() string { return e.why }

// mayMake refuses to take the place of a file unasked, and of what is no file at all.
func mayMake(name string, force bool) error {
	is, err := os.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !is.Mode().IsRegular():
		return &inTheWayError{name + " is there and is not a regular file"}
	case !force:
		return &inTheWayError{name + " is there already; --force replaces it"}
	}
	return nil
}

// publish gives a file its name, and takes it from no other unasked.
func publish(tmp, name string, force bool) error {
	var flags uint
	if !force {
		flags = unix.RENAME_NOREPLACE
	}
	err := unix.Renameat2(unix.AT_FDCWD, tmp, unix.AT_FDCWD, name, flags)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // not every file system has it
		if err = mayMake(name, force); err == nil {
			err = os.Rename(tmp, name)
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// syncDir makes the names in a directory durable.
func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// told is a backup in words.
func told(b control.Backup, name string) string {
	text := fmt.Sprintf("backed up %s, %s in %s", plural(b.Messages, "message"), size(b.Bytes), safe(name))
	if b.Left > 0 {
		text += fmt.Sprintf("; %d left the queue meanwhile", b.Left)
	}
	if b.Damaged > 0 {
		text += fmt.Sprintf("; %d could not be read and are not in it, the log names them", b.Damaged)
	}
	return text + "\n"
}

// leftOut is the exit status of a backup.
func leftOut(b control.Backup) error {
	if b.Damaged > 0 {
		return errPartly
	}
	return nil
}
