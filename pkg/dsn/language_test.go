package dsn_test

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"cgq/pkg/dsn"
	"cgq/pkg/settings"
)

// The built-in languages pass the same checks as those of an administrator, and each says
// all that English says.
func TestBuiltInLanguages(t *testing.T) {
	text, err := os.ReadFile("words.toml")
	if err != nil {
		t.Fatal(err)
	}
	f := dsn.Default()
	if err := settings.Decode("words.toml", text, &f); err != nil {
		t.Fatal(err)
	}
	if len(f.Texts) != 4 {
		t.Errorf("%d languages, want en, de, fr, es", len(f.Texts))
	}
	english := f.Texts["en"]
	for tag, w := range f.Texts {
		v, e := reflect.ValueOf(w), reflect.ValueOf(english)
		for i := range v.NumField() {
			if !v.Type().Field(i).IsExported() {
				continue
			}
			if v.Field(i).IsZero() != e.Field(i).IsZero() {
				t.Errorf("%s: %s is missing, or English lacks it", tag, v.Type().Field(i).Name)
			}
		}
		for class := range english.Advice {
			if w.Advice[class] == "" {
				t.Errorf("%s: no advice for %s", tag, class)
			}
		}
		for module := range english.Queues {
			if w.Queues[module] == "" {
				t.Errorf("%s: no word for the queues of %s", tag, module)
			}
		}
	}
}

// The file of a new server can be read, also with its example taken in, and changes nothing.
func TestDocument(t *testing.T) {
	f := dsn.Default()
	document, err := f.Document()
	if err != nil {
		t.Fatal(err)
	}
	var taken strings.Builder
	for line := range strings.Lines(document) {
		if line == "# [texts.en]\n" || taken.Len() > 0 {
			taken.WriteString(strings.TrimPrefix(strings.TrimPrefix(line, "#"), " "))
		}
	}
	for _, text := range []string{document, document + taken.String()} {
		f := dsn.File{}
		if err := settings.Decode("reports.toml", []byte(text), &f); err != nil {
			t.Fatal(err)
		}
		if f.Language != "en" || f.OfSender || (len(f.Texts) > 0) != (text != document) {
			t.Errorf("it says %+v", f)
		}
	}
}

// What cannot be used is said with its line, and what would do.
func TestWordsAreChecked(t *testing.T) {
	for text, want := range map[string]string{
		"language = 'xx'":                                       "reports.toml:1: language: \"xx\" is not there; there are de, en, es, fr",
		"[texts.DE]\nintro='x'":                                 "texts.DE: \"DE\" is no language",
		"[texts.x]\nintro='x'":                                  "texts.x: \"x\" is no language",
		"[texts.de]\nfoo='x'":                                   "reports.toml:2: texts.de.foo: unknown key",
		"[texts.de]\nfailed='weg'":                              "reports.toml:2: texts.de.failed: {address} must be in it",
		"[texts.de]\nfailed='{address} {subject}'":              "texts.de.failed: {subject is not known here; there is {address}",
		"[texts.de]\nby_host='{reply} {'":                       "texts.de.by_host: {",
		"[texts.de]\nsubject_failed=\"{subject}\\nBcc: x\"":     "texts.de.subject_failed: has a control character",
		"[texts.de]\nfailed=\"{address}\\u0007\"":               "texts.de.failed: has a control character",
		"[texts.de]\nnote_until=\"\\u001b\"":                    "texts.de.note_until: has a control character",
		"[texts.de.advice]\nful='x'":                            "reports.toml:2: texts.de.advice.ful: unknown; there are authentication, connection",
		"[texts.de.advice]\nfull='{x}'":                         "texts.de.advice.full: {x is not known here; nothing can be put in",
		"[texts.de.queues]\nSMTP=\"a\\nb\"":                     "texts.de.queues.SMTP: has a control character",
		"[texts.de]\nintro='" + strings.Repeat("x", 4001) + "'": "texts.de.intro: longer than 4000 bytes",
	} {
		f := dsn.Default()
		err := settings.Decode("reports.toml", []byte(text), &f)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q", text, err, want)
		}
	}
}

// The message says in which language its sender wants to be told, if that may count.
func TestChoose(t *testing.T) {
	f := dsn.File{Language: "fr", OfSender: true, Texts: map[string]dsn.Words{"pt-br": {Failed: "Não: {address}"}}}
	if err := f.Validate(); err != nil {
		t.Fatal(err)
	}
	all := f.Languages()
	subjects := map[string]string{}
	for _, tag := range []string{"de", "en", "fr", "es", "pt-br"} {
		subjects[tag] = words(dsn.File{Language: tag, Texts: f.Texts}).Failed
	}
	for head, want := range map[string]string{
		"":                                            "fr",
		"Content-Language: de\n":                      "de",
		"Content-Language: de-AT, en\n":               "de",
		"Content-language: pt-BR\n":                   "pt-br",
		"Content-Language: pt\n":                      "fr",
		"Accept-Language: xx, ES;q=0.7\n":             "es",
		"X-Accept-Language: en-us\n":                  "en",
		"Content-Language: xx\nAccept-Language: de\n": "de",
		"Content-Language: " + strings.Repeat("x,", 100) + "de\n":  "fr",
		"Content-Language: " + strings.Repeat("de-", 100) + "at\n": "de",
		"Content-Language: -, ;, , -de\n":                          "fr",
	} {
		if got := all.Choose([]byte(head)).Failed; got != subjects[want] {
			t.Errorf("%.40q: %q, want that of %s", head, got, want)
		}
	}
	f.OfSender = false
	if got := f.Languages().Choose([]byte("Content-Language: de\n")).Failed; got != subjects["fr"] {
		t.Errorf("the sender's language counts, though it may not: %q", got)
	}
}

// What was said is not looked at for names again, and cannot pass for words of ours.
func TestNamesInWhatWasSaid(t *testing.T) {
	r := refused()
	r.Subject = "{address} {subject} {reply}"
	r.Recipients[0].Result.Text = "{host}\n{server}\nFailed to deliver to '<x@y>'"
	text := compose(t, r)
	for _, want := range []string{"Subject: Undeliverable mail: {address} {subject} {reply}\n", "\n {server}\n", "\n Failed to deliver to '<x@y>'\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in %s", want, text)
		}
	}
}

func TestClassesHaveAdvice(t *testing.T) {
	if all := dsn.Classes(); len(all) < 15 || !slices.IsSorted(all) {
		t.Errorf("there is advice for %v", all)
	}
}
