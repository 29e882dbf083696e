package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"

	"cgq/pkg/control"
)

// submitName is the command whose exit statuses are those of sysexits.h.
const submitName = "submit"

// A letter is a message that is to be handed in.
type letter struct {
	control.Submission
	dots    bool // a line with a dot alone ends it
	spool   bool // without a daemon it is left in Submitted
	verbose bool
}

func newSubmit(a *app) *cobra.Command {
	var l letter
	cmd := &cobra.Command{
		Use:   submitName + " [-t] [RECIPIENT...]",
		Short: "Hand in a message on standard input",
		Long: "Reads a message, header and body, from standard input, and hands it to cgqd. It ends\n" +
			"when the message is safe on disk, and prints its id; with any other end than status 0\n" +
			"nothing is sent, to nobody. Who runs it is the Sender; he may name another return path\n" +
			"if Settings/pipe.toml lets him.\n\n" +
			"A name without a domain is one of the main domain. The header fields From, Date and\n" +
			"Message-ID are added when they are missing, and Bcc is removed. One of several\n" +
			"recipients that is refused is reported to the return path.\n\n" +
			"The same program called sendmail takes sendmail's flags; called mailq it lists the Queue.\n\n" +
			"Exit status, of sysexits.h: 0 taken, 64 usage or no recipients, 65 the message cannot\n" +
			"be used, 67 no such address, 69 refused, 74 standard input failed, 75 try again later,\n" +
			"also without a daemon, 77 no right.",
		Example: "  cgq submit ann@example.com < message.eml\n  cgq submit -t -f bounces@example.com < message.eml\n" +
			"  printf 'Subject: done\\n\\nIt is.\\n' | cgq submit root",
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			l.Recipients = toAll(args)
			if !l.FromHeader && len(args) == 0 {
				return usagef(cmd, "no recipients: name them, or take those of the header with -t")
			}
			if cmd.Flags().Changed("from") && l.ReturnPath == "" {
				l.ReturnPath = "<>"
			}
			return a.hand(cmd.Context(), submitName, l, func(out control.Submitted) error {
				if printed, err := a.printOne(out); printed {
					return err
				}
				_, err := fmt.Fprintln(a.out, out.ID)
				return err
			})
		},
	}
	f := cmd.Flags()
	f.StringVarP(&l.ReturnPath, "from", "f", "", "the return path; <> is none (default: who runs it)")
	f.StringVarP(&l.FullName, "full-name", "F", "", "the `name` in a From field that is missing (default: as the system has it)")
	f.BoolVarP(&l.FromHeader, "read-recipients", "t", false, "send to those in To, Cc and Bcc, too; of Resent-To … alone, if there are any")
	f.StringVarP(&l.Notify, "notify", "N", "", "report: never, or some of success,failure,delay")
	f.StringVarP(&l.Return, "return", "R", "", "what reports have of the message: full or hdrs")
	f.StringVarP(&l.EnvelopeID, "envelope-id", "V", "", "an `id` that reports repeat")
	f.BoolVar(&l.spool, "spool", false, "without a daemon, leave the message as a file in Submitted/ for its next start")
	_ = cmd.RegisterFlagCompletionFunc("notify", fixed("never", "success", "failure", "delay")) // the flags are there
	_ = cmd.RegisterFlagCompletionFunc("return", fixed("full", "hdrs"))
	return cmd
}

// toAll are recipients as they were typed.
func toAll(args []string) (all []control.SubmissionRcpt) {
	for _, arg := range args {
		all = append(all, control.SubmissionRcpt{Address: arg})
	}
	return all
}

// submitSocket is where the daemon takes mail.
func (a *app) submitSocket() string { return filepath.Join(a.base, control.SubmitSocket) }

// hand hands in the message on standard input, and has done print what became of it.
func (a *app) hand(ctx context.Context, name string, l letter, done func(control.Submitted) error) error {
	in := a.in
	if l.dots {
		in = newUntilDot(in)
	}
	text, err := readAhead(ctx, in)
	if err != nil {
		return err
	}
	out, err := control.MessageSubmit.Do(ctx, control.Dial(a.submitSocket()), l.Submission, text)
	e, told := errors.AsType[*control.Error](err)
	if l.spool && (errors.Is(err, control.ErrNoDaemon) || told && e.Kind == control.KindStopping && !text.begun.Load()) {
		file, err := a.leave(ctx, l, text)
		if err == nil {
			fmt.Fprintf(a.errOut, "%s: cgqd is not running; the message is in %s, for its next start\n", name, safe(file))
		}
		return err
	}
	if err != nil {
		return err
	}
	return done(out)
}

// ahead is how much of a message is read before the daemon is asked. A program that writes
// little, and takes hours for it, keeps nobody waiting.
const ahead = 1 << 20

// An aheadReader is a message of which the beginning was read.
type aheadReader struct {
	io.Reader
	begun atomic.Bool // it was read again
}

func (r *aheadReader) Read(p []byte) (int, error) {
	r.begun.Store(true)
	return r.Reader.Read(p)
}

// readAhead reads the beginning of a message.
func readAhead(ctx context.Context, r io.Reader) (*aheadReader, error) {
	in := &input{r}
	type beginning struct {
		text []byte
		err  error
	}
	read := make(chan beginning, 1)
	go func() { // standard input cannot be told to stop
		text, err := io.ReadAll(io.LimitReader(in, ahead))
		read <- beginning{text, err}
	}()
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case got := <-read:
		if got.err != nil {
			return nil, got.err
		}
		all := &aheadReader{Reader: bytes.NewReader(got.text)}
		if len(got.text) == ahead {
			all.Reader = io.MultiReader(all.Reader, in)
		}
		return all, nil
	}
}

// input is standard input; its errors are an inputError.
type input struct{ r io.Reader }

func (i *input) Read(p []byte) (int, error) {
	n, err := i.r.Read(p)
	if err != nil && err != io.EOF {
		err = &inputError{err}
	}
	return n, err
}

// submitted prints the error of a command that hands in mail, and returns its exit status.
func (a *app) submitted(name string, err error) int {
	if err != nil {
		fmt.Fprintln(a.errOut, name+": "+strings.TrimSpace(a.notSent(err)))
	}
	return sysexit(err)
}
