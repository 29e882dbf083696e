package enqueuer

import (
	"context"
	"io"
	"strings"

	"cgq/pkg/fact"
	"cgq/pkg/module"
	"cgq/pkg/program"
	"cgq/pkg/rules"
	"cgq/pkg/serverlog"
)

// execute runs a program over the message (communigate: Execute). What it says decides: 0 is
// good; a status that asks for another try (sysexits: 75), a signal and the time limit
// refuse the message for now, everything else for good.
func (c *course) execute(ctx context.Context, a rules.Action) error {
	set := c.e.settings.Load()
	args, input, done, err := c.arguments(a.Command)
	if err != nil {
		return err
	}
	defer done()
	r, err := program.Run(ctx, program.Command{Path: a.Command.Args[0], Args: args, Dir: c.e.server.Base,
		Stdin: input, Time: set.ExecuteTime.D(), Output: int(set.ExecuteOutput)})
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		c.log.Error("Rule " + a.Rule + ": " + err.Error())
		return module.Reject(4, 3, 0, "local error, try again later")
	case r.OK():
		c.log.Log(ctx, serverlog.Low, "Rule "+a.Rule+": "+a.Command.Args[0]+" has ended well")
		return nil
	}
	said := oneLine(string(r.Stderr))
	c.log.Log(ctx, serverlog.Failure, "Rule "+a.Rule+": "+a.Command.Args[0]+": "+r.Reason(), "stderr", said)
	c.e.refused.rules.Add(1)
	text := "the message is rejected by a program of this server"
	if r.Temporary() {
		text = "the message cannot be checked just now, try again later"
	}
	if a.Command.Stderr && said != "" && !r.TimedOut {
		text = said
	}
	if r.Temporary() {
		return module.Reject(4, 3, 0, text)
	}
	return module.Reject(5, 7, 1, text)
}

// arguments are those of a command, and its input. Without [FILE] the program reads the
// message as it is now. done gives back what was lent.
func (c *course) arguments(cmd *program.Line) (args []string, input io.Reader, done func(), err error) {
	file := ""
	if cmd.File {
		if file, done, err = c.s.lend(); err != nil {
			return nil, nil, nil, err
		}
	} else {
		text, err := c.text()
		if err != nil {
			return nil, nil, nil, err
		}
		input, done = text, func() { _ = text.Close() } // it was read only
	}
	var to []string
	for _, i := range c.s.rcpts {
		to = append(to, c.s.env.Recipients[i].Address.String())
	}
	return cmd.Arguments(file, c.s.env.ReturnPath.String(), to...), input, done, nil
}

// oneLine is what a program has said, as the text of a reply.
func oneLine(s string) string {
	if s = program.OneLine(s); len(s) > fact.MaxText-64 {
		s = strings.ToValidUTF8(s[:fact.MaxText-64], "")
	}
	return s
}
