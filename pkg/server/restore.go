package server

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"cgq/pkg/serverlog"
	"cgq/pkg/spool"
)

func newRestore(base *string, out io.Writer) *cobra.Command {
	return &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a backup of a Queue into an empty one",
		Long: "restore verifies a backup that cgq queue backup has written, all of it, and puts it into\n" +
			"a Queue that has no messages, while no daemon runs there. Nothing of it is delivered,\n" +
			"reported or too old after a start, until cgq hold remove restored lets it go. A restore\n" +
			"that was interrupted is begun anew by the next one; until then no daemon starts.\n\n" +
			"Exit status: 0 done, 1 failed, 2 usage.",
		Example: "  cgqd restore --base /var/lib/cgq /backup/queue.tar",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{errors.New("name one file: restore FILE")}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if err := restore(*base, args[0], out); err != nil {
				return escaped(err)
			}
			return nil
		},
	}
}

// restore puts the backup in a file into the Queue of a base directory.
func restore(base, file string, out io.Writer) (err error) {
	f, err := os.Open(file) // before root's rights are given up
	if err != nil {
		return err
	}
	defer f.Close()
	is, err := f.Stat()
	if err == nil && !is.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	a, err := spool.ReadArchive(f, is.Size())
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	h, err := hold(base)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.release()) }()
	if free, _, _, err := h.fs.Free("Queue"); err == nil && free < a.Bytes {
		return fmt.Errorf("%s has %d bytes free, the backup takes %d", h.base, free, a.Bytes)
	}
	options := h.config.Queue.options()
	if err := spool.Restore(h.fs, "Queue", options, a, slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "restored %d messages of the backup of %s into %s\n"+
		"they are held: start cgqd, look with cgq queue list, then cgq hold remove restored\n",
		a.Messages, a.Time.Format(time.DateTime+" MST"), serverlog.Escape(filepath.Join(h.base, "Queue")))
	if a.Damaged > 0 && err == nil {
		_, err = fmt.Fprintf(out, "%d messages are not in it: they could not be read when it was made\n", a.Damaged)
	}
	return err
}
