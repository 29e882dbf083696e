package spool

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"regexp"
	"strconv"
	"strings"

	"cgq/pkg/fact"
	"cgq/pkg/mail"
)

// A message file, and the image of a message in the journal:
//
//	V 1 <id> <offset of the text> <length of the text> <CRC-32C>
//	envelope lines
//	blank line
//	text
//	<number> <CRC-32C of number and fact> <fact>      one line each
//
// The numbers of the V line have a fixed width; its check sum is of all bytes from
// the second line to the end of the text, then of the V line before it. Each write
// to a file ends on a multiple of 512, filled up with newlines: so the next one
// touches no sector that was synced, and a sector that is lost with the power held
// only what the journal still holds (F2).
//
// The name says what a file is: .msg is accepted, and was whole and synced before
// it got that name; .tmp counts only as long as a frame names it (F1).
const (
	headFormat = "V 1 %020d %010d %015d "
	sumFormat  = "%08x\n"
	sumAt      = len("V 1 00000000000000000000 0000000000 000000000000000 ")
	headSize   = sumAt + len("00000000\n")
	sector     = 512
)

// ErrDamaged is matched by the error of everything that cannot be believed.
var ErrDamaged = errors.New("message file damaged")

// ErrVersion is returned by Open for files of another version of this program.
var ErrVersion = errors.New("message file of another version: stop that version cleanly first")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// putHead writes the V line to the start of b. rest is the check sum of what
// stands between it and the end of the text.
func putHead(b []byte, id mail.ID, textAt int, text int64, rest uint32) {
	head := fmt.Appendf(b[:0], headFormat, uint64(id), textAt, text)
	copy(b[sumAt:], fmt.Sprintf(sumFormat, crc32.Update(rest, castagnoli, head)))
}

// A head is what the V line says.
type head struct {
	textAt int
	text   int64
	sum    uint32
}

var version = regexp.MustCompile(`^V [1-9][0-9]* `)

func parseHead(b []byte, id mail.ID) (h head, err error) {
	if v := version.Find(b); v != nil && string(v) != "V 1 " {
		return h, fmt.Errorf("message %d: %w", id, ErrVersion)
	}
	if len(b) < headSize {
		return h, fmt.Errorf("message %d: %w: shorter than its first line", id, ErrDamaged)
	}
	fields := strings.Fields(string(b[:headSize]))
	if len(fields) == 6 {
		at, err1 := strconv.ParseInt(fields[3], 10, 32)
		text, err2 := strconv.ParseInt(fields[4], 10, 64)
		sum, err3 := strconv.ParseUint(fields[5], 16, 32)
		h = head{int(at), text, uint32(sum)}
		err = errors.Join(err1, err2, err3)
	}
	if err != nil || h.textAt < headSize || h.text < 0 ||
		!bytes.Equal(b[:headSize], fmt.Appendf(nil, headFormat+sumFormat, uint64(id), h.textAt, h.text, h.sum)) {
		return h, fmt.Errorf("message %d: %w: its first line is not one of ours", id, ErrDamaged)
	}
	return h, nil
}

// appendLine adds a numbered fact in the form of a file.
func appendLine(b []byte, number int, f fact.Fact) []byte {
	start := len(b)
	b = strconv.AppendInt(b, int64(number), 10)
	end := len(b)
	b = fact.Append(append(b, " 00000000 "...), f)
	sum := crc32.Update(crc32.Checksum(b[start:end], castagnoli), castagnoli, b[end+9:])
	putHex(b[end+1:end+9], sum)
	return append(b, '\n')
}

func putHex(b []byte, n uint32) {
	for i := range 8 {
		b[i] = "0123456789abcdef"[n>>(28-4*i)&15]
	}
}

// A line is one numbered fact, in the form of a file, with its newline.
type line struct {
	number int
	raw    []byte
}

// parseLine takes a line apart, without its newline, and checks it.
func parseLine(b []byte) (l line, text string, ok bool) {
	i := bytes.IndexByte(b, ' ')
	if i < 1 || len(b) < i+11 || b[i+9] != ' ' {
		return l, "", false
	}
	number, err1 := strconv.Atoi(string(b[:i]))
	sum, err2 := strconv.ParseUint(string(b[i+1:i+9]), 16, 32)
	if err1 != nil || err2 != nil || number < 1 ||
		uint32(sum) != crc32.Update(crc32.Checksum(b[:i], castagnoli), castagnoli, b[i+9:]) {
		return l, "", false
	}
	return line{number, append(b[:len(b):len(b)], '\n')}, string(b[i+10:]), true
}

// parseLines reads the facts behind a text. Lines that are torn are left out:
// whether that leaves a gap in the numbers is known when the journal has been read.
func parseLines(b []byte) (lines []line, whole bool) {
	whole = true
	for raw := range bytes.Lines(b) {
		if len(raw) == 1 && raw[0] == '\n' {
			continue
		}
		l, _, ok := parseLine(bytes.TrimSuffix(raw, []byte("\n")))
		if !ok {
			whole = false
			continue
		}
		lines = append(lines, l)
	}
	return lines, whole
}

// fill ends b on a sector.
func fill(b []byte) []byte {
	return append(b, bytes.Repeat([]byte("\n"), (sector-len(b)%sector)%sector)...)
}

// A batchWriter writes a batch, which is what a frame of facts says, or a file that it
// names: lines "id number crc fact", with the numbers that come next. A fact that differs
// from the one before it in id, number and recipient alone, as in an act on many, is the
// line "id number rcpt=". It may take long: others may have mu between what is
// added and what is added next, and the messages may get other facts then. The numbers are
// those that come behind the facts that each had when it was seen first.
type batchWriter struct {
	s      *Spool
	b      []byte
	counts map[mail.ID]counted // nil as long as there is only one change, and no file is to say it
	before fact.Fact
}

// A counted message had so many facts when it was seen first, and has got some more here.
type counted struct{ facts, more int32 }

// add adds changes. The caller holds mu.
func (w *batchWriter) add(changes []fact.Change) error {
	if w.counts == nil && len(changes) > 1 {
		w.counts = make(map[mail.ID]counted, len(changes))
	}
	for _, c := range changes {
		n, seen := w.counts[c.ID]
		if !seen {
			facts, ok := w.s.messages.facts(c.ID)
			if !ok {
				return fmt.Errorf("%w: there is no message %d", ErrFact, c.ID)
			}
			n.facts = facts
		}
		if n.more++; w.counts != nil {
			w.counts[c.ID] = n
		}
		number := int64(n.facts + n.more)
		w.b = append(strconv.AppendUint(w.b, uint64(c.ID), 10), ' ')
		if rcpt, same := alike(w.before, c.Fact); same {
			w.b = append(strconv.AppendInt(w.b, number, 10), ' ')
			w.b = append(strconv.AppendInt(w.b, int64(rcpt), 10), "=\n"...)
		} else {
			w.b = appendLine(w.b, int(number), c.Fact)
		}
		w.before = c.Fact
	}
	return nil
}

// bases are how many facts the messages had.
func (w *batchWriter) bases() []base {
	all := make([]base, 0, len(w.counts))
	for id, n := range w.counts {
		all = append(all, base{id, n.facts})
	}
	return all
}

// appendStands adds the lines of standing things to a batch: "0 key value", the
// key quoted. No message has the number 0.
func appendStands(b []byte, stands []Standing) []byte {
	for _, st := range stands {
		b = strconv.AppendQuote(append(b, "0 "...), st.Key)
		b = append(append(append(b, ' '), st.Value...), '\n')
	}
	return b
}

func parseStand(s string) (Standing, error) {
	quoted, err := strconv.QuotedPrefix(s)
	if err != nil || !strings.HasPrefix(s[len(quoted):], " ") {
		return Standing{}, fmt.Errorf("%w: a standing thing: %q", fact.ErrText, s)
	}
	key, err := strconv.Unquote(quoted)
	return Standing{key, s[len(quoted)+1:]}, err
}

// alike says whether two facts differ in their recipient alone, and returns it.
func alike(before, f fact.Fact) (rcpt int, same bool) {
	_, rcpt, ok := fact.Alike(f, 0)
	if !ok {
		return 0, false
	}
	other, _, ok := fact.Alike(before, rcpt)
	return rcpt, ok && other == f
}

// again reads a line "number rcpt=", without its =: the fact before it, of another
// recipient.
func again(before fact.Fact, line string) (number int, f fact.Fact, ok bool) {
	n, r, _ := strings.Cut(line, " ")
	number, err1 := strconv.Atoi(n)
	rcpt, err2 := strconv.Atoi(r)
	if err1 != nil || err2 != nil || number < 1 || rcpt < 0 || rcpt > maxRcpt {
		return 0, nil, false
	}
	f, _, ok = fact.Alike(before, rcpt)
	return number, f, ok
}

// maxRcpt is the highest number of a recipient that a fact takes.
const maxRcpt = 1 << 20

// A numbered change is one line of a batch.
type numbered struct {
	fact.Change
	number int
}

// parseBatch reads a batch. Its commit was checked; what is wrong here was written so.
func parseBatch(b []byte) (all []numbered, stands []Standing, err error) {
	var before fact.Fact
	for raw := range strings.Lines(string(b)) {
		raw = strings.TrimSuffix(raw, "\n")
		id, rest, _ := strings.Cut(raw, " ")
		if id == "0" {
			st, err := parseStand(rest)
			if err != nil {
				return nil, nil, err
			}
			stands = append(stands, st)
			continue
		}
		n, ok := mail.ParseID(id)
		if !ok {
			return nil, nil, fmt.Errorf("%w: %q has no message", fact.ErrText, raw)
		}
		c := numbered{Change: fact.Change{ID: n}}
		if same, ok := strings.CutSuffix(rest, "="); ok && strings.Count(same, " ") == 1 {
			if c.number, c.Fact, ok = again(before, same); !ok {
				return nil, nil, fmt.Errorf("%w: %q", fact.ErrText, raw)
			}
		} else {
			l, text, ok := parseLine([]byte(rest))
			if !ok {
				return nil, nil, fmt.Errorf("%w: %q", fact.ErrText, raw)
			}
			if c.Fact, err = fact.Parse(text); err != nil {
				return nil, nil, err
			}
			c.number = l.number
		}
		before = c.Fact
		all = append(all, c)
	}
	return all, stands, nil
}
