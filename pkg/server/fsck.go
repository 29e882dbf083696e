package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"unicode/utf16"

	"github.com/spf13/cobra"

	"cgq/pkg/disk"
	"cgq/pkg/fact"
	"cgq/pkg/mail"
	"cgq/pkg/serverlog"
	"cgq/pkg/spool"
)

// A checked Queue is what cgqd fsck says of one. Fields are only added. Names and
// reasons hold what strangers wrote.
type checked struct {
	Queue     string    `json:"queue"` // the directory
	Spool     string    `json:"spool"` // its identity; empty: it was never opened
	Ceiling   mail.ID   `json:"ceiling"`
	Messages  int       `json:"messages"`
	Held      int       `json:"held"`  // of them, because of damage
	Young     int       `json:"young"` // of them, in the journal alone
	Segments  segments  `json:"segments"`
	Standing  int       `json:"standing"`
	Restored  string    `json:"restored"`  // why all messages of a restored backup are held; empty: they are not
	Kept      []string  `json:"kept"`      // in damaged/
	Temporary []string  `json:"temporary"` // what was never accepted: a start removes it
	Findings  []finding `json:"findings"`
	Repaired  *checked  `json:"repaired,omitempty"` // the same after a repair
}

// segments counts those of the journal.
type segments struct {
	Used    int `json:"used"`
	Free    int `json:"free"`
	Damaged int `json:"damaged"`
}

// A finding is a [spool.Finding].
type finding struct {
	File string `json:"file"`
	Why  string `json:"why"`
	Fate string `json:"fate"` // what a start does about it, or has done
}

// look inspects the Queue. It writes nothing.
func look(fsys disk.FS, base string) (*checked, error) {
	i, err := spool.Inspect(fsys, "Queue")
	if err != nil {
		return nil, err
	}
	c := &checked{Queue: filepath.Join(base, "Queue"), Spool: i.Identity, Ceiling: i.Ceiling, Messages: len(i.Messages),
		Young: i.Young, Segments: segments{i.Used, i.Free, i.Damaged}, Standing: len(i.Standing),
		Kept: append([]string{}, i.Kept...), Temporary: append([]string{}, i.Removed...), Findings: []finding{}}
	for _, m := range i.Messages {
		if m.Hold != "" {
			c.Held++
		}
	}
	for _, err := range i.Damage {
		f, ok := errors.AsType[spool.Finding](err)
		if !ok {
			f = spool.Finding{Name: "Queue", Why: err}
		}
		c.Findings = append(c.Findings, finding{f.Name, f.Why.Error(), f.Fate})
	}
	if value, restored := i.Standing[fact.RestoredKey]; restored {
		r, err := fact.ParseRestored(value)
		if c.Restored = r.Reason(); err != nil {
			c.Restored = "restored from a backup"
		}
	}
	return c, nil
}

// verdict is an error when something was found.
func (c *checked) verdict() error {
	if n := len(c.Findings); n == 1 {
		return errors.New("1 finding in the Queue")
	} else if n > 1 {
		return fmt.Errorf("%d findings in the Queue", n)
	}
	return nil
}

// print writes a report for people.
func (c *checked) print(w io.Writer) error {
	var b strings.Builder
	line := func(what, format string, args ...any) {
		fmt.Fprintf(&b, "%-11s%s\n", what, serverlog.Escape(fmt.Sprintf(format, args...)))
	}
	line("queue", "%s", c.Queue)
	if c.Spool == "" {
		line("spool", "none: it was never opened")
	} else {
		line("spool", "%s, no id above %d was given out", c.Spool, c.Ceiling)
	}
	line("messages", "%d; %d of them held because of damage, %d in the journal alone", c.Messages, c.Held, c.Young)
	line("journal", "%d segments used, %d free; %d damaged", c.Segments.Used, c.Segments.Free, c.Segments.Damaged)
	line("standing", "%d delays of hosts and holds", c.Standing)
	if c.Restored != "" {
		line("hold", "%s: all of it is held", c.Restored)
	}
	line("kept", "%d in Queue/damaged", len(c.Kept))
	for _, name := range c.Kept {
		line("", "%s", name)
	}
	line("temporary", "%d files of what was never accepted: a start removes them", len(c.Temporary))
	for _, name := range c.Temporary {
		line("", "%s", name)
	}
	line("findings", "%d", len(c.Findings))
	for _, f := range c.Findings {
		line("", "%s: %s; %s", f.File, f.Why, f.Fate)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// printRepair writes for people what a repair has done, and what is found now.
func (c *checked) printRepair(w io.Writer) error {
	var b strings.Builder
	b.WriteString("\nrepaired: what a start does was done\n")
	fates := map[string]int{}
	var order []string
	for _, f := range c.Findings {
		if fates[f.Fate]++; fates[f.Fate] == 1 {
			order = append(order, f.Fate)
		}
	}
	for _, fate := range order {
		fmt.Fprintf(&b, "%-11s%d %s\n", "", fates[fate], serverlog.Escape(fate))
	}
	fmt.Fprintf(&b, "%-11s%d messages have got their files, %d temporary files are removed\n\nchecked again:\n", "",
		c.Young, len(c.Temporary))
	if _, err := io.WriteString(w, b.String()); err != nil {
		return err
	}
	if err := c.Repaired.print(w); err != nil || len(c.Repaired.Findings) > 0 {
		return err
	}
	_, err := io.WriteString(w, "it is in order\n")
	return err
}

// json writes the report for programs: ASCII alone, so that nothing in it commands a
// terminal.
func (c *checked) json(w io.Writer) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(c); err != nil {
		return err
	}
	var ascii strings.Builder
	for _, r := range b.String() { // what is not ASCII stands in strings only
		switch {
		case r == '\n' || r >= ' ' && r < 0x7f:
			ascii.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(&ascii, `\u%04x`, r)
		default:
			hi, lo := utf16.EncodeRune(r)
			fmt.Fprintf(&ascii, `\u%04x\u%04x`, hi, lo)
		}
	}
	_, err := io.WriteString(w, ascii.String())
	return err
}

func newFsck(base *string, out io.Writer) *cobra.Command {
	var repair bool
	var form string
	cmd := &cobra.Command{
		Use:   "fsck",
		Short: "Check the Queue of a daemon that does not run",
		Long: "fsck reads the whole Queue, journal and message files, as a start does, and says what it\n" +
			"found and what a start would do about it. It changes nothing, and works where the Queue\n" +
			"can only be read. With --repair it does what a start does, and checks again.\n\n" +
			"Exit status: 0 all in order, 1 something was found, or the check failed, 2 usage.",
		Example: "  cgqd fsck --base /var/lib/cgq\n  cgqd fsck --base /var/lib/cgq -o json",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			if form != "text" && form != "json" {
				return usageError{fmt.Errorf("no output form %q; there are text, json", form)}
			}
			check := fsck
			if repair {
				check = mend
			}
			c, err := check(*base)
			if err != nil {
				return escaped(err)
			}
			if form == "json" {
				err = c.json(out)
			} else if err = c.print(out); err == nil && c.Repaired != nil {
				err = c.printRepair(out)
			}
			if c.Repaired != nil {
				c = c.Repaired
			}
			return errors.Join(err, c.verdict())
		},
	}
	cmd.Flags().BoolVar(&repair, "repair", false, "do what a start does, then check again")
	cmd.Flags().StringVarP(&form, "output", "o", "text", "`form` of the output: text, json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp)) // it is there
	return cmd
}

// escaped is an error that may go to a terminal, though it names what strangers wrote.
func escaped(err error) error { return errors.New(serverlog.Escape(err.Error())) }

// fsck looks at the Queue while nobody else writes there.
func fsck(base string) (*checked, error) {
	base, err := filepath.Abs(base)
	if err != nil {
		return nil, err
	}
	fsys, err := disk.OpenReadOnly(base)
	if err != nil {
		return nil, err
	}
	defer fsys.Close()
	release, err := lockLook(base)
	if err != nil {
		return nil, err
	}
	c, err := look(fsys, base)
	if settled := release(); err == nil && !settled {
		return nil, fmt.Errorf("%s: a daemon has started meanwhile", base)
	}
	return c, err
}

// mend looks at the Queue, does what a start does, and looks again.
func mend(base string) (c *checked, err error) {
	h, err := hold(base)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.release()) }()
	if c, err = look(h.fs, h.base); err != nil {
		return nil, err
	}
	s, _, err := spool.Open(h.fs, "Queue", h.config.Queue.options(), slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	err = s.Index(context.Background(), func([]spool.Found, []error) {}) // which sees to what it finds
	if err := errors.Join(err, s.Empty(), s.Close()); err != nil {
		return nil, err
	}
	c.Repaired, err = look(h.fs, h.base)
	return c, err
}

// A held base directory is one that this process alone writes to, as the user that the
// server would be.
type held struct {
	base    string
	fs      *disk.OS
	config  *config
	release func() error
}

// hold takes a base directory as a start does.
func hold(base string) (*held, error) {
	base, err := filepath.Abs(base)
	if err != nil {
		return nil, err
	}
	fsys, err := openBase(base)
	if err != nil {
		return nil, err
	}
	h := &held{base: base, fs: fsys, release: fsys.Close}
	if h.config, err = load(fsys); h.config == nil {
		return nil, errors.Join(fmt.Errorf("settings: %w", err), h.release())
	}
	as, err := lookUp(h.config.General.User)
	if err == nil {
		err = as.own(base)
	}
	if err != nil {
		return nil, errors.Join(err, h.release())
	}
	unlock, err := lock(base, as)
	if err != nil {
		return nil, errors.Join(err, h.release())
	}
	h.release = func() error { unlock(); return fsys.Close() }
	if err := as.become(); err != nil {
		return nil, errors.Join(err, h.release())
	}
	return h, nil
}
