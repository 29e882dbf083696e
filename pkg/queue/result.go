package queue

import (
	"strings"
	"time"

	"cgq/pkg/mail"
)

// results are what hosts have said lately: many messages get the same, and keep it once.
type results map[mail.Result]*mail.Result

// resultsKept is how many are looked for. What is not found any more is kept once more.
const resultsKept = 1 << 16

// share returns where a result is kept. When to try again is said elsewhere.
func (all *results) share(r mail.Result) *mail.Result {
	r.After = time.Time{}
	if known := (*all)[r]; known != nil {
		return known
	}
	if *all == nil || len(*all) >= resultsKept {
		*all = results{}
	}
	r.Text, r.MTA = strings.Clone(r.Text), strings.Clone(r.MTA) // not the line that they stood in
	kept := &r
	(*all)[r] = kept
	return kept
}
