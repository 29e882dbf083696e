package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"cgq/pkg/control"
	"cgq/pkg/mail"
)

// An exported is the answer of cgq message export.
type exported struct {
	Matched  int            `json:"matched"`  // messages that were meant
	Exported int            `json:"exported"` // of them written
	Skipped  int            `json:"skipped"`  // of them left out
	Bytes    int64          `json:"bytes"`    // that were written
	Dir      string         `json:"dir"`
	Skips    []control.Skip `json:"skips,omitempty"` // the first of those left out
}

func newMessageExport(a *app) *cobra.Command {
	var s selection
	var dir string
	var force bool
	cmd := &cobra.Command{
		Use:   "export ID... | SELECTION",
		Short: "Write messages to files",
		Long: "Writes each message to <id>.eml in a directory, which has to be there: the bytes as they\n" +
			"are, with LF line ends, in a file that nobody else may read. It counts messages. A file\n" +
			"that is there is not replaced without --force, and what is no file (a link, a directory)\n" +
			"never; a message that has left the queue meanwhile is left out: both are named, and the\n" +
			"status is 5. Nothing in the queue changes. Needs the right view.",
		Example: "  cgq message export 4711 4712\n" +
			"  cgq message export --auth ann@example.org --dir /root/evidence",
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: a.completeIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			sel, err := s.parseMessages(a, cmd, args)
			if err != nil {
				return err
			}
			if dir == "" {
				return usagef(cmd, "--dir is empty")
			}
			if err := hasColumns[exported](a); err != nil {
				return err
			}
			ids, err := a.messages(cmd, &s, sel)
			if err != nil {
				return err
			}
			if len(ids) == 0 && len(args) == 1 {
				return control.Errorf(control.KindNoSuchMessage, "see cgq message list", "no message %s", args[0])
			}
			out, err := a.export(cmd.Context(), ids, dir, force)
			if err != nil && out.Exported == 0 {
				return err
			}
			if told := a.printExported(out); err == nil {
				err = told
			}
			return err
		},
	}
	s.acting(a, cmd)
	cmd.Flags().StringVar(&dir, "dir", ".", "the `directory` of the files")
	cmd.Flags().BoolVar(&force, "force", false, "replace files that are there")
	_ = cmd.MarkFlagDirname("dir") // the flag is there
	return cmd
}

// messages are the ids of a selection; those that are named are all meant, also when
// they have left.
func (a *app) messages(cmd *cobra.Command, s *selection, sel control.Selection) ([]mail.ID, error) {
	if len(sel.IDs) > 1 && !s.narrows(cmd, "ids-from") && !sel.All {
		return slices.Compact(slices.Sorted(slices.Values(sel.IDs))), nil
	}
	var ids []mail.ID
	for row, err := range rowsOf(a, cmd, s, control.MessageExport, sel) {
		if err != nil {
			return nil, err
		}
		ids = append(ids, row.ID)
	}
	return ids, nil
}

// export writes messages to files. What it returns beside an error was written.
func (a *app) export(ctx context.Context, ids []mail.ID, dir string, force bool) (exported, error) {
	out := exported{Matched: len(ids), Dir: dir}
	d, err := os.Open(dir)
	if err != nil {
		return out, err
	}
	defer d.Close()
	client := a.client()
	var seen atomic.Int64
	defer a.progress(func() string { return "exported " + bar(seen.Load(), int64(len(ids)), "message") })()
	for _, id := range ids {
		seen.Add(1)
		n, err := exportOne(ctx, client, id, filepath.Join(dir, id.String()+".eml"), force)
		switch refusal, ok := errors.AsType[*inTheWayError](err); {
		case gone(err):
			out.skip(id, "it has left the queue")
		case ok:
			out.skip(id, refusal.Error())
		case err != nil:
			return out, fmt.Errorf("message %s: %w", id, err)
		default:
			out.Exported, out.Bytes = out.Exported+1, out.Bytes+n
		}
	}
	return out, unix.Syncfs(int(d.Fd())) // once, and not once a file
}

func (e *exported) skip(id mail.ID, reason string) {
	if e.Skipped++; len(e.Skips) < control.MaxSkips {
		e.Skips = append(e.Skips, control.Skip{ID: id, Reason: reason})
	}
}

// exportOne writes a message to a file, which has its name only when it is whole.
func exportOne(ctx context.Context, client *control.Client, id mail.ID, name string, force bool) (int64, error) {
	if err := mayMake(name, force); err != nil {
		return 0, err
	}
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".part*") // O_EXCL, 0600
	if err != nil {
		return 0, err
	}
	c, err := control.MessageContent.Do(ctx, client, control.MessageID{ID: id}, f)
	if err = errors.Join(err, f.Close()); err == nil {
		err = publish(f.Name(), name, force)
	}
	if err != nil {
		return 0, errors.Join(err, ignoreMissing(os.Remove(f.Name())))
	}
	return c.Bytes, nil
}

// printExported prints what was exported. The error is the exit status.
func (a *app) printExported(out exported) error {
	printed, err := printThing(a, out, out.Dir)
	if !printed {
		text := fmt.Sprintf("exported %d of %s, %s in %s", out.Exported, plural(out.Matched, "message"), size(out.Bytes),
			safe(out.Dir))
		text += skips(control.Outcome{Skipped: out.Skipped, Skips: out.Skips})
		_, err = io.WriteString(a.out, text+"\n")
	}
	switch {
	case err != nil:
		return err
	case out.Matched == 0 && a.failEmpty:
		return errEmpty
	case out.Skipped > 0 && out.Exported == 0:
		return errors.New("nothing could be exported")
	case out.Skipped > 0:
		return errPartly
	}
	return nil
}
