package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"cgq/pkg/mail"
)

// readIDs reads the ids of messages from a file, or standard input, one a line, as cgq
// message list -o name writes them. Who types them can leave.
func (a *app) readIDs(cmd *cobra.Command, name string) ([]mail.ID, error) {
	in := a.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, errors.New("--ids-from: " + err.Error()) // wrapped it would be taken for one of the socket
		}
		defer f.Close()
		in = f
	}
	var ids []mail.ID
	read := make(chan error, 1) // so that the reader ends with its read
	go func() {
		list, err := parseIDs(cmd, name, in)
		ids = list
		read <- err
	}()
	select {
	case <-cmd.Context().Done():
		return nil, context.Cause(cmd.Context())
	case err := <-read:
		return ids, err
	}
}

// parseIDs returns each id once. A line that is none is an error: of a list that is not
// what it should be nothing is acted on.
func parseIDs(cmd *cobra.Command, name string, in io.Reader) ([]mail.ID, error) {
	var ids []mail.ID
	seen := map[mail.ID]bool{}
	r := bufio.NewReader(in)
	for n := 1; ; n++ {
		line, err := r.ReadString('\n')
		if err != nil && err != io.EOF {
			return nil, errors.New("--ids-from: " + err.Error())
		}
		if text := strings.TrimSpace(line); text != "" {
			id, ok := mail.ParseID(text)
			if !ok {
				return nil, usagef(cmd, "--ids-from %s: line %d: %.40q is not the id of a message", name, n, text)
			}
			if !seen[id] {
				ids = append(ids, id)
			}
			seen[id] = true
		}
		if err == io.EOF {
			return ids, nil
		}
	}
}
