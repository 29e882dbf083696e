package cli

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"cgq/pkg/control"
)

func newMessageContent(a *app) *cobra.Command {
	var headers, raw bool
	cmd := &cobra.Command{
		Use:   "content ID [--headers | --raw]",
		Short: "The text of a message",
		Long: "Prints a message: its header and its body as they are stored, line by line, with\n" +
			"everything escaped that could command a terminal or hide in it. With --headers the\n" +
			"header alone. With --raw the bytes as they are, with LF line ends: for a file or another\n" +
			"program, and not for a terminal. Needs the right view; the Audit log says who looked.",
		Example:           "  cgq message content 4711 --headers\n  cgq message content 4711 --raw > 4711.eml",
		Args:              usageArgs(cobra.ExactArgs(1)),
		ValidArgsFunction: first(a.completeIDs),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseID(cmd, args[0])
			switch {
			case err != nil:
				return err
			case headers && raw:
				return usagef(cmd, "--headers or --raw, not both")
			case !a.human():
				return usagef(cmd, "a message has no form but its own; leave out -o")
			case raw && a.width > 0:
				return usagef(cmd, "strangers wrote it, and it is nothing for a terminal; leave out --raw, or redirect it")
			}
			to, safe := a.out, &safeWriter{w: a.out}
			switch {
			case headers:
				to = &headWriter{w: safe}
			case !raw:
				to = safe
			}
			_, err = control.MessageContent.Do(cmd.Context(), a.client(), control.MessageID{ID: id}, to)
			if errors.Is(err, errHeadEnds) {
				err = nil
			}
			return errors.Join(safe.flush(), err)
		},
	}
	cmd.Flags().BoolVar(&headers, "headers", false, "the header alone")
	cmd.Flags().BoolVar(&raw, "raw", false, "the bytes as they are")
	return cmd
}

// longLine is how many bytes of a line are kept together; a longer one is written in
// pieces.
const longLine = 64 << 10

// A safeWriter writes lines so that they are harmless on a terminal. Tabs stay.
type safeWriter struct {
	w    io.Writer
	part []byte // of a line
}

func (s *safeWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			s.part = append(s.part, p...)
			if len(s.part) > longLine {
				return n, s.piece()
			}
			return n, nil
		}
		s.part = append(s.part, p[:end]...)
		if err := s.line("\n"); err != nil {
			return 0, err
		}
		p = p[end+1:]
	}
	return n, nil
}

// piece writes what there is of a line, except a character that is not whole.
func (s *safeWriter) piece() error {
	cut := len(s.part)
	for i := 1; i < utf8.UTFMax; i++ {
		if b := s.part[len(s.part)-i:]; utf8.RuneStart(b[0]) {
			if !utf8.FullRune(b) {
				cut -= i
			}
			break
		}
	}
	rest := bytes.Clone(s.part[cut:])
	s.part = s.part[:cut]
	err := s.line("")
	s.part = append(s.part, rest...)
	return err
}

func (s *safeWriter) line(end string) error {
	words := strings.Split(string(s.part), "\t")
	for i, word := range words {
		words[i] = safe(word)
	}
	s.part = s.part[:0]
	_, err := io.WriteString(s.w, strings.Join(words, "\t")+end)
	return err
}

// flush writes a last line that has no end.
func (s *safeWriter) flush() error {
	if len(s.part) == 0 {
		return nil
	}
	return s.line("\n")
}

// errHeadEnds ends a download whose rest nobody wants.
var errHeadEnds = errors.New("the header ends here")

// A headWriter writes the header of a message, as far as the blank line (RFC 5322 §2.1).
type headWriter struct {
	w    io.Writer
	last byte // that was written; 0: none
}

func (h *headWriter) Write(p []byte) (int, error) {
	for i, c := range p {
		if c == '\n' && (h.last == '\n' || h.last == 0) {
			if _, err := h.w.Write(p[:i]); err != nil {
				return 0, err
			}
			return i, errHeadEnds
		}
		h.last = c
	}
	return h.w.Write(p)
}
