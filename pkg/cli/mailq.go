package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"cgq/pkg/control"
	"cgq/pkg/mail"
)

// mailq lists the Queue as Postfix's mailq does, for those who know that one.
func (a *app) mailq(ctx context.Context) error {
	client := a.client()
	defer client.Close()
	out := bufio.NewWriter(a.out)
	var last mail.ID
	n, bytes := 0, int64(0)
	for row, err := range control.MessageList.Do(ctx, client, control.Selection{}) {
		if err != nil {
			_ = out.Flush() // what is known
			return err
		}
		if row.ID == last { // in another host queue, too
			continue
		}
		last = row.ID
		m, err := control.MessageShow.Do(ctx, client, control.MessageID{ID: row.ID})
		if gone(err) {
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 {
			fmt.Fprintln(out, "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------")
		}
		n, bytes = n+1, bytes+m.Bytes
		writeMailq(out, m, a.now().Location())
	}
	if n == 0 {
		fmt.Fprintln(out, "Mail queue is empty")
	} else {
		fmt.Fprintf(out, "-- %d Kbytes in %s.\n", (bytes+1023)/1024, plural(n, "Request"))
	}
	return out.Flush()
}

// writeMailq prints one message. A star says that it is being transferred, ! that a person
// holds it; above recipients is why they wait.
func writeMailq(out io.Writer, m control.Message, zone *time.Location) {
	has := func(s control.State) bool {
		return slices.ContainsFunc(m.Recipients, func(r control.RecipientRow) bool { return r.Status == s })
	}
	mark := ""
	switch {
	case has(control.Processing):
		mark = "*"
	case has(control.Held):
		mark = "!"
	}
	sender := m.ReturnPath
	if sender == "<>" {
		sender = "MAILER-DAEMON"
	}
	fmt.Fprintf(out, "%-11s %8d %20s %s\n", m.ID.String()+mark, m.Bytes, m.Submitted.In(zone).Format("Mon Jan _2 15:04:05 "), safe(sender))
	slices.SortStableFunc(m.Recipients, func(x, y control.RecipientRow) int {
		return strings.Compare(x.LastError, y.LastError)
	})
	said := ""
	for _, r := range m.Recipients {
		if r.LastError != said {
			said = r.LastError
			fmt.Fprintf(out, "%77s\n", "("+safe(said)+")")
		}
		fmt.Fprintf(out, "%42s%s\n", "", safe(r.Recipient))
	}
	fmt.Fprintln(out)
}
