package extfilter

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"mime"
	"net"
	"net/http"
	"slices"
	"sort"
	"strconv"
	"strings"

	"cgq/pkg/mail"
	"cgq/pkg/program"
	"cgq/pkg/serverlog"
)

type rspamdOptions struct {
	url        string // http://host:port, https://…, or unix:/path
	password   string
	spamHeader string
	host       func() string
	log        *slog.Logger
}

// An rspamdClient asks rspamd by its HTTP protocol.
type rspamdClient struct {
	o    rspamdOptions
	url  string
	http http.Client
}

func newRspamd(o rspamdOptions) *rspamdClient {
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	c := &rspamdClient{o: o, url: strings.TrimSuffix(o.url, "/") + "/checkv2"}
	if path, ok := strings.CutPrefix(o.url, "unix:"); ok {
		c.url = "http://rspamd/checkv2"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
	}
	c.http = http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return c
}

// close implements [client].
func (c *rspamdClient) close() { c.http.CloseIdleConnections() }

// maxRspamd is how long an answer may be.
const maxRspamd = 4 << 20

// filter implements [client].
func (c *rspamdClient) filter(ctx context.Context, r *Request) (Answer, error) {
	text, err := r.Open()
	if err != nil {
		return Answer{}, err
	}
	defer text.Close()
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, text)
	if err != nil {
		return Answer{}, err
	}
	q.Header = c.fields(r)
	// A connection that was closed while it was idle is tried once more with another. For
	// package http this makes the request one that may be; nothing is sent of it.
	q.GetBody, q.Header["Idempotency-Key"] = r.Open, nil
	said, err := c.http.Do(q)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return Answer{}, err
	}
	defer said.Body.Close()
	b, err := io.ReadAll(io.LimitReader(said.Body, maxRspamd+1))
	switch {
	case ctx.Err() != nil:
		return Answer{}, context.Cause(ctx)
	case err != nil:
		return Answer{}, err
	case len(b) > maxRspamd:
		return Answer{}, fmt.Errorf("the answer has more than %d bytes", maxRspamd)
	case said.StatusCode != http.StatusOK:
		return Answer{}, fmt.Errorf("it answers %s: %q", said.Status, clip(string(b)))
	}
	c.o.log.Log(ctx, serverlog.All, fmt.Sprintf("inp(%03d): %s", len(b), b), "id", r.ID)
	return c.answer(b)
}

// fields are what rspamd is told beside the text.
func (c *rspamdClient) fields(r *Request) http.Header {
	h := http.Header{}
	set := func(name, value string) {
		if value = strings.Map(printable, value); value != "" {
			h.Add(name, value)
		}
	}
	e := r.Envelope
	set("From", e.ReturnPath.Path())
	for _, to := range e.Recipients {
		set("Rcpt", to.Address.Path())
	}
	if e.Peer.IsValid() {
		set("IP", e.Peer.Unmap().String())
	}
	set("Helo", e.Trace.Helo)
	set("User", e.Auth)
	set("Queue-Id", r.ID.String())
	set("MTA-Name", c.o.host())
	set("Mta-Tag", "cgqd")
	set("Password", c.o.password)
	return h
}

// printable leaves out what cannot stand in a field of HTTP.
func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return -1
	}
	return r
}

// A rspamdAnswer is what is looked at of one.
type rspamdAnswer struct {
	Error    string  `json:"error"`
	Score    float64 `json:"score"`
	Action   string  `json:"action"`
	Symbols  object  `json:"symbols"`
	Subject  string  `json:"subject"`
	Messages struct {
		SMTP string `json:"smtp_message"`
	} `json:"messages"`
	Milter struct {
		Add    object `json:"add_headers"`
		Remove object `json:"remove_headers"`
	} `json:"milter"`
	DKIM json.RawMessage `json:"dkim-signature"`
}

// An object is one of JSON. An empty one may be written as an empty list: it is made of a
// table of Lua, which does not tell them apart.
type object map[string]json.RawMessage

// UnmarshalJSON implements [json.Unmarshaler].
func (o *object) UnmarshalJSON(b []byte) error {
	if string(b) == "[]" {
		return nil
	}
	return json.Unmarshal(b, (*map[string]json.RawMessage)(o))
}

func (c *rspamdClient) answer(b []byte) (a Answer, err error) {
	var said rspamdAnswer
	if err := json.Unmarshal(b, &said); err != nil {
		return Answer{}, fmt.Errorf("its answer is no answer: %w", err)
	}
	if said.Error != "" {
		return Answer{}, fmt.Errorf("it says: %q", clip(said.Error))
	}
	text := func(standard string) string {
		if t := strings.TrimSpace(said.Messages.SMTP); t != "" {
			return t
		}
		return standard
	}
	note := said.note()
	defer func() {
		if err == nil {
			a.Notes = append([]string{note}, a.Notes...)
		}
	}()
	switch said.Action {
	case "no action":
		return c.accept(&said)
	case "add header":
		if a, err = c.accept(&said); err == nil {
			a.Add = append(a.Add, c.o.spamHeader)
		}
		return a, err
	case "rewrite subject":
		if a, err = c.accept(&said); err == nil && said.Subject != "" {
			a.Change = append(a.Change, Change{"Subject", 1, encoded(said.Subject)})
		}
		return a, err
	case "greylist", "soft reject":
		return refusal(mail.Status{4, 7, 1}, 0, text("try again later")), nil
	case "reject":
		return refusal(mail.Status{5, 7, 1}, 0, text("spam is not taken here")), nil
	case "discard":
		return Answer{Verdict: Discard}, nil
	case "quarantine":
		return later("quarantine: " + text("rspamd says so")), nil
	}
	return Answer{}, fmt.Errorf("its action is none that is known: %q", clip(said.Action))
}

// note is an answer in one line, for the log.
func (s *rspamdAnswer) note() string {
	names := make([]string, 0, len(s.Symbols))
	for name := range s.Symbols {
		names = append(names, name)
	}
	sort.Strings(names)
	if len(names) > 50 {
		names = append(names[:50], "…")
	}
	return fmt.Sprintf("%s, score %s: %s", s.Action, strconv.FormatFloat(s.Score, 'f', 2, 64), strings.Join(names, " "))
}

// accept is an answer with what changes in the header.
func (c *rspamdClient) accept(s *rspamdAnswer) (a Answer, err error) {
	for _, name := range sortedKeys(s.Milter.Remove) {
		if !isField(name + ":") {
			a.Notes = append(a.Notes, leftOut(name))
			continue
		}
		places, err := placesOf(s.Milter.Remove[name])
		if err != nil {
			return Answer{}, fmt.Errorf("its removal of %q: %w", clip(name), err)
		}
		for _, i := range places {
			a.Change = append(a.Change, Change{Name: name, Index: i})
		}
	}
	for _, name := range sortedKeys(s.Milter.Add) {
		values, err := valuesOf(s.Milter.Add[name])
		if err != nil {
			return Answer{}, fmt.Errorf("its field %q: %w", clip(name), err)
		}
		for _, v := range values {
			a.add(name, v)
		}
	}
	if len(s.DKIM) > 0 && string(s.DKIM) != "null" {
		values, err := valuesOf(s.DKIM)
		if err != nil {
			return Answer{}, fmt.Errorf("its signature: %w", err)
		}
		for _, v := range values {
			a.add("DKIM-Signature", v)
		}
	}
	return a, nil
}

// encoded is a text as it may stand in a header (RFC 2047), an encoded word a line.
func encoded(text string) string {
	return strings.ReplaceAll(mime.QEncoding.Encode("utf-8", program.OneLine(text)), "?= =?", "?=\n =?")
}

func sortedKeys[T any](m map[string]T) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// add adds a field.
func (a *Answer) add(name, value string) {
	field, ok := headerField(name, " "+strings.TrimSpace(value))
	if !ok {
		a.Notes = append(a.Notes, leftOut(name))
		return
	}
	a.Add = append(a.Add, field)
}

// placesOf reads which fields of a name are removed: a number, or a list. All are meant as
// they are before one is removed, so what is farthest from where they are counted comes first.
func placesOf(raw json.RawMessage) (all []int, err error) {
	var list []float64
	if json.Unmarshal(raw, &list) != nil {
		list = make([]float64, 1)
		if err := json.Unmarshal(raw, &list[0]); err != nil {
			return nil, errors.New("it has a place that is none")
		}
	}
	for _, n := range list {
		if n != math.Trunc(n) || math.Abs(n) > 1<<20 || len(list) > 100 {
			return nil, errors.New("it has a place that is none")
		}
		all = append(all, int(n))
	}
	slices.SortFunc(all, func(a, b int) int { return cmp.Or(cmp.Compare(max(b, 0), max(a, 0)), cmp.Compare(a, b)) })
	return all, nil
}

// valuesOf reads a value in all forms that rspamd gives it: a text, {value, order}, or a
// list of these.
func valuesOf(raw json.RawMessage) (all []string, err error) {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return []string{text}, nil
	}
	var one struct {
		Value *string `json:"value"`
	}
	if json.Unmarshal(raw, &one) == nil && one.Value != nil {
		return []string{*one.Value}, nil
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil || len(list) > 100 {
		return nil, errors.New("it has a value that is none")
	}
	for _, e := range list {
		values, err := valuesOf(e)
		if err != nil {
			return nil, err
		}
		all = append(all, values...)
	}
	return all, nil
}
