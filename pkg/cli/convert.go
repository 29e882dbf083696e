package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/itchyny/gojq"
	"github.com/spf13/cobra"
)

// filtered checks --jq, which makes the form json when none was asked for.
func (a *app) filtered(cmd *cobra.Command) error {
	if a.jq == "" {
		return nil
	}
	if _, err := compileJQ(a.jq); err != nil {
		return usagef(cmd, "--jq: %v", err)
	}
	if !cmd.Flags().Changed("output") {
		a.format = formJSON
	}
	if a.format != formJSON && a.format != formLines && a.format != formYAML {
		return usagef(cmd, "--jq works on JSON; leave out -o %s", a.format)
	}
	return nil
}

func compileJQ(expr string) (*gojq.Code, error) {
	q, err := gojq.Parse(expr)
	if err != nil {
		return nil, err
	}
	return gojq.Compile(q) // without the environment: what a query says is about the JSON alone
}

// converted has every command below cmd print YAML, or what --jq makes of its JSON,
// when that is wanted: commands themselves know JSON alone.
func (a *app) converted(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		a.converted(sub)
	}
	run := cmd.RunE
	if run == nil {
		return
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if a.format != formYAML && a.jq == "" {
			return run(cmd, args)
		}
		return a.convert(func() error { return run(cmd, args) })
	}
}

// convert runs a command, and converts what it prints while it comes.
func (a *app) convert(run func() error) error {
	form, out := a.format, a.out
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := a.write(out, r, form)
		r.CloseWithError(errors.Join(err, io.ErrClosedPipe)) // who prints more hears of it
		ended <- err
	}()
	a.out = w
	if form == formYAML {
		a.format = formJSON
	}
	err := run()
	a.out, a.format = out, form
	_ = w.Close() // never an error
	converted := <-ended
	if err == nil || errors.Is(err, io.ErrClosedPipe) {
		return converted
	}
	return err // and what was converted was perhaps cut off
}

// write reads JSON and writes it in another form.
func (a *app) write(out io.Writer, r io.Reader, form string) (err error) {
	buf := bufio.NewReader(r)
	if _, err := buf.Peek(1); errors.Is(err, io.EOF) {
		return nil // it has printed nothing
	}
	w := bufio.NewWriter(out)
	defer func() { err = errors.Join(err, w.Flush()) }()
	if a.jq == "" {
		return streamYAML(w, buf)
	}
	code, err := compileJQ(a.jq)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(buf)
	dec.UseNumber()
	for n := 0; ; n++ {
		var v any
		if err := dec.Decode(&v); errors.Is(err, io.EOF) && n > 0 {
			return nil
		} else if err != nil {
			return fmt.Errorf("what it prints is no JSON, or not all of it: %w", err)
		}
		if err := runJQ(w, code, v, form); err != nil {
			return err
		}
		if form == formLines {
			if err := w.Flush(); err != nil { // somebody may follow
				return err
			}
		}
	}
}

// runJQ writes what a query makes of a value: each result on a line, texts as they are.
func runJQ(w io.Writer, code *gojq.Code, v any, form string) error {
	for results, n := code.Run(v), 0; ; n++ {
		result, ok := results.Next()
		if !ok {
			return nil
		}
		if err, failed := result.(error); failed {
			if halt, ok := errors.AsType[*gojq.HaltError](err); ok && halt.Value() == nil {
				return nil
			}
			return fmt.Errorf("--jq: %w", err)
		}
		if err := writeResult(w, result, form, n); err != nil {
			return err
		}
	}
}

func writeResult(w io.Writer, result any, form string, n int) error {
	b, err := gojq.Marshal(result)
	if err != nil {
		return fmt.Errorf("--jq: %w", err)
	}
	switch text, isText := result.(string); {
	case form == formYAML:
		if n > 0 {
			fmt.Fprintln(w, "---")
		}
		return writeYAML(w, safeJSON(b))
	case isText:
		_, err = fmt.Fprintln(w, safe(text))
	default:
		_, err = fmt.Fprintf(w, "%s\n", safeJSON(b))
	}
	return err
}
