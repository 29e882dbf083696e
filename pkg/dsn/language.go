package dsn

import (
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"cgq/pkg/header"
	"cgq/pkg/settings"
)

// A File is the section reports: in which language reports are, and words that come in
// the place of the built-in ones.
type File struct {
	Language string           `toml:"language" doc:"the language of reports, by its tag (RFC 5646)"`
	OfSender bool             `toml:"language_of_sender" doc:"a message that says which language it is in, or its sender reads (Content-Language, Accept-Language), is reported on in that, if it is here"`
	Texts    map[string]Words `toml:"texts" doc:"words of one's own, by language"`
}

// Words are those of one language, with {names} in them for what a report puts there.
// Empty ones are not said, in a File that they are not changed.
type Words struct {
	SubjectFailed  string            `toml:"subject_failed" doc:"Subject of a report of failures; {subject}"`
	SubjectDelayed string            `toml:"subject_delayed" doc:"Subject of a warning; {subject}"`
	SubjectSuccess string            `toml:"subject_success" doc:"Subject of a report of success; {subject}"`
	Intro          string            `toml:"intro" doc:"above all; {server}"`
	Outro          string            `toml:"outro" doc:"below all; {server}"`
	Failed         string            `toml:"failed" doc:"what became of a recipient: it has failed; {address}"`
	Delayed        string            `toml:"delayed" doc:"it waits; {address}"`
	Delivered      string            `toml:"delivered" doc:"it was delivered; {address}"`
	Relayed        string            `toml:"relayed" doc:"it went to a host that does not report; {address}"`
	Expanded       string            `toml:"expanded" doc:"it went to several; {address}"`
	ByModule       string            `toml:"by_module" doc:"who says why: a module; {module} {what} {queue}"`
	ByHost         string            `toml:"by_host" doc:"who says why: another host; {host} {reply}"`
	NoteDelayed    string            `toml:"note_delayed" doc:"what comes next for one that waits"`
	NoteUntil      string            `toml:"note_until" doc:"the same, when it is known; {until}"`
	NoteRelayed    string            `toml:"note_relayed" doc:"what comes next for one that was relayed"`
	NoteExpanded   string            `toml:"note_expanded" doc:"what comes next for one that was expanded"`
	Queues         map[string]string `toml:"queues" doc:"what the queues of a module stand for, by module"`
	Advice         map[string]string `toml:"advice" doc:"what the sender can do, by bounce class"`

	tag string
}

// A word is one of Words, its key, what must stand in it and what may, and whether it may
// have several lines.
type word struct {
	key   string
	text  *string
	must  string
	may   string
	lines bool
}

func (w *Words) words() []word {
	return []word{
		{"subject_failed", &w.SubjectFailed, "{subject}", "", false}, {"subject_delayed", &w.SubjectDelayed, "{subject}", "", false},
		{"subject_success", &w.SubjectSuccess, "{subject}", "", false},
		{"intro", &w.Intro, "", "{server}", true}, {"outro", &w.Outro, "", "{server}", true},
		{"failed", &w.Failed, "{address}", "", false}, {"delayed", &w.Delayed, "{address}", "", false},
		{"delivered", &w.Delivered, "{address}", "", false}, {"relayed", &w.Relayed, "{address}", "", false},
		{"expanded", &w.Expanded, "{address}", "", false},
		{"by_module", &w.ByModule, "", "{module} {what} {queue}", false}, {"by_host", &w.ByHost, "{reply}", "{host}", false},
		{"note_delayed", &w.NoteDelayed, "", "", true}, {"note_until", &w.NoteUntil, "", "{until}", true},
		{"note_relayed", &w.NoteRelayed, "", "", true}, {"note_expanded", &w.NoteExpanded, "", "", true},
	}
}

// otherQueue stands in Words.Queues for modules that are not there.
const otherQueue = "other"

//go:embed words.toml
var wordsFile []byte

// builtIn are the languages that every server has.
var builtIn = func() map[string]Words {
	var f struct { // not a File, which is held against these
		Texts map[string]Words `toml:"texts"`
	}
	if err := settings.Decode("words.toml", wordsFile, &f); err != nil {
		panic(err) // a test reads it
	}
	return f.Texts
}()

const english = "en"

// Classes are the bounce classes for which there is advice.
func Classes() []string { return slices.Sorted(maps.Keys(builtIn[english].Advice)) }

// Default is the section of a new server.
func Default() File { return File{Language: english} }

// maxWord bounds a text of a File, in bytes.
const maxWord = 4000

// Validate names the keys that cannot be used.
func (f *File) Validate() error {
	var errs []error
	wrong := func(key, format string, args ...any) { errs = append(errs, fmt.Errorf(key+": "+format, args...)) }
	for _, tag := range slices.Sorted(maps.Keys(f.Texts)) {
		key := "texts." + tag
		if !isTag(tag) {
			wrong(key, "%q is no language; it is named by a tag in small letters, such as de or pt-br", tag)
			continue
		}
		w := f.Texts[tag]
		for _, word := range w.words() {
			if why := word.fault(*word.text); why != "" {
				wrong(key+"."+word.key, "%s", why)
			}
		}
		plain := func(table string, all map[string]string, known []string, lines bool) {
			for _, name := range slices.Sorted(maps.Keys(all)) {
				if !slices.Contains(known, name) {
					wrong(key+"."+table+"."+name, "unknown; there are %s", strings.Join(known, ", "))
				} else if why := (word{lines: lines}).fault(all[name]); why != "" {
					wrong(key+"."+table+"."+name, "%s", why)
				}
			}
		}
		plain("queues", w.Queues, slices.Sorted(maps.Keys(builtIn[english].Queues)), false)
		plain("advice", w.Advice, Classes(), true)
	}
	if _, ok := f.languages()[f.Language]; !ok {
		wrong("language", "%q is not there; there are %s", f.Language, strings.Join(slices.Sorted(maps.Keys(f.languages())), ", "))
	}
	return errors.Join(errs...)
}

// fault says what is wrong with a text, or nothing.
func (w word) fault(text string) string {
	switch {
	case text == "":
		return ""
	case len(text) > maxWord:
		return fmt.Sprintf("longer than %d bytes", maxWord)
	case !utf8.ValidString(text):
		return "is not UTF-8"
	case strings.ContainsFunc(text, func(c rune) bool { return unicode.IsControl(c) && (c != '\n' || !w.lines) }):
		return "has a control character in it, or more lines than one"
	case w.must != "" && !strings.Contains(text, w.must):
		return w.must + " must be in it"
	}
	for rest := text; ; {
		_, after, open := strings.Cut(rest, "{")
		if !open {
			return ""
		}
		name, behind, closed := strings.Cut(after, "}")
		if !closed || !slices.Contains(strings.Fields(w.must+" "+w.may), "{"+name+"}") {
			if known := strings.Fields(w.must + " " + w.may); len(known) > 0 {
				return fmt.Sprintf("{%s is not known here; there is %s", name, strings.Join(known, ", "))
			}
			return fmt.Sprintf("{%s is not known here; nothing can be put in", name)
		}
		rest = behind
	}
}

// isTag says whether a text is a language tag in small letters (RFC 5646 §2.1).
func isTag(s string) bool {
	for i, part := range strings.Split(s, "-") {
		if part == "" || len(part) > 8 || i == 0 && len(part) < 2 {
			return false
		}
		for _, c := range []byte(part) {
			if (c < 'a' || c > 'z') && (i == 0 || c < '0' || c > '9') {
				return false
			}
		}
	}
	return true
}

// languages are the built-in ones with the words of f in their places.
func (f *File) languages() map[string]*Words {
	all := map[string]*Words{}
	add := func(tag string, own, under Words) {
		w := own.over(under)
		w.tag = tag
		all[tag] = &w
	}
	for tag, w := range builtIn {
		add(tag, w, Words{})
	}
	for tag, own := range f.Texts {
		under := builtIn[english]
		if is := all[tag]; is != nil {
			under = *is
		}
		add(tag, own, under)
	}
	return all
}

// over returns words of which those of w come before others.
func (w Words) over(under Words) Words {
	all := w
	for i, word := range all.words() {
		if *word.text == "" {
			*word.text = *under.words()[i].text
		}
	}
	merge := func(own, under map[string]string) map[string]string {
		both := map[string]string{}
		maps.Copy(both, under)
		maps.Copy(both, own)
		return both
	}
	all.Queues, all.Advice = merge(w.Queues, under.Queues), merge(w.Advice, under.Advice)
	return all
}

// Languages choose words. They do not change, and are safe for concurrent use.
type Languages struct {
	all      map[string]*Words
	standard *Words
	ofSender bool
}

// Languages returns those of a valid File.
func (f *File) Languages() *Languages {
	l := &Languages{all: f.languages(), ofSender: f.OfSender}
	l.standard = l.all[f.Language]
	return l
}

// Choose returns the words for a report about a message with that header.
func (l *Languages) Choose(head []byte) *Words {
	if !l.ofSender {
		return l.standard
	}
	for _, name := range []string{"Content-Language", "Accept-Language", "X-Accept-Language"} {
		value, _ := header.Get(head, name)
		for tag := range strings.SplitSeq(bound(value, maxTags), ",") {
			tag, _, _ = strings.Cut(tag, ";") // its weight: they stand in order of preference
			if w := l.find(strings.ToLower(strings.TrimSpace(tag))); w != nil {
				return w
			}
		}
	}
	return l.standard
}

// maxTags bounds what is looked at of a field of languages, in bytes.
const maxTags = 200

// find returns the words of a language or of the one that it is a kind of: those of de for
// de-AT (RFC 4647 §3.4).
func (l *Languages) find(tag string) *Words {
	for tag != "" {
		if w := l.all[tag]; w != nil {
			return w
		}
		tag = tag[:max(strings.LastIndexByte(tag, '-'), 0)]
	}
	return nil
}

// Document is the file of a new server.
func (f *File) Document() (string, error) { return document, nil }

const document = `# The words of reports (DSN). docs/operating.md is the manual.

# The language of reports: en, de, fr and es are built in.
language = "en"

# A message that says which language it is in, or its sender reads (Content-Language,
# Accept-Language), is reported on in that, if it is here.
language_of_sender = false

# Words of your own, by language; those that are left out stay as they are. In a language
# that is not built in they are the English ones.
#
# [texts.en]
# intro = """
# This is the mail server {server}. A person reads replies to
# postmaster@example.com."""
# outro = ""
# subject_failed = "Undeliverable mail: {subject}"
# subject_delayed = "WARNING. Mail Delayed: {subject}"
# subject_success = "Delivery report: {subject}"
# failed = "Failed to deliver to '{address}'"
# delayed = "Not yet delivered to '{address}'"
# delivered = "Delivered to '{address}'"
# relayed = "Relayed to '{address}'"
# expanded = "Delivered and sent on to the members of '{address}'"
# by_module = "{module} module({what} {queue}) reports:"
# by_host = "host {host} says: {reply}"
# note_delayed = "The message stays in the queue and is tried again."
# note_until = "The message stays in the queue and is tried until {until}."
# note_relayed = "The next host does not promise further reports."
# note_expanded = "What becomes of the members' copies is not reported."
#
# [texts.en.queues]
# SMTP = "domain"
#
# [texts.en.advice]
# full = "The mailbox is full. Call the help desk: 1234."
`
