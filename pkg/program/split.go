package program

import (
	"errors"
	"strings"
)

// The errors of [Split].
var (
	errEmpty = errors.New("there is no program in an empty line")
	errQuote = errors.New("a double quote is not closed")
)

// Split makes an argument vector of a command line. Blanks and tabs separate; in double
// quotes they are part of an argument, and \" and \\ are a quote and a backslash. Nothing
// else means anything: no variable, pattern, pipe or single quote, and no backslash outside
// of quotes or before another byte. "" is an empty argument. A line without an argument, and
// a quote that is not closed, are errors.
func Split(line string) ([]string, error) {
	var args []string
	var arg strings.Builder
	inArg, quoted := false, false
	for i := 0; i < len(line); i++ {
		b := line[i]
		switch {
		case b == '"':
			inArg, quoted = true, !quoted
			continue
		case !quoted && (b == ' ' || b == '\t'):
			if inArg {
				args = append(args, arg.String())
				arg.Reset()
			}
			inArg = false
			continue
		case quoted && b == '\\' && i+1 < len(line) && (line[i+1] == '"' || line[i+1] == '\\'):
			i++
			b = line[i]
		}
		inArg = true
		arg.WriteByte(b)
	}
	if quoted {
		return nil, errQuote
	}
	if inArg {
		args = append(args, arg.String())
	}
	if len(args) == 0 {
		return nil, errEmpty
	}
	return args, nil
}
