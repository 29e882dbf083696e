package settings_test

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"cgq/pkg/disk"
	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/settings"
)

var update = flag.Bool("update", false, "write the golden files")

// demo has a field of every kind.
type demo struct {
	Domain  string              `toml:"domain" doc:"the name of this server; a domain (chapter: Domain Name)"`
	Retry   []settings.Duration `toml:"retry" doc:"waits between attempts"`
	Clients []netip.Prefix      `toml:"clients"`
	Limits  map[string]int      `toml:"limits" doc:"recipients by client"`
	Weight  float64             `toml:"weight" doc:"share"`
	Private string              // no tag: not in the file
	Receive receive             `toml:"receive" doc:"all of this is too long for one line of a comment"`
}

type receive struct {
	Size     settings.Size     `toml:"max_message_size" doc:"largest message, in bytes; 1K to 2T (chapter: Message Size)"`
	Timeout  settings.Duration `toml:"timeout" doc:"for one command"`
	Channels int               `toml:"channels" doc:"sessions at the same time, 1 to 1000"`
	On       bool              `toml:"on"`
	TLS      struct {
		Cert string `toml:"cert" doc:"file"`
	} `toml:"tls"`
}

func defaults() demo {
	d := demo{
		Domain:  "mail.example.com",
		Retry:   []settings.Duration{settings.Duration(5 * 60e9), 5 * settings.Day},
		Clients: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Limits:  map[string]int{"a b": 1, "c": 2},
		Weight:  1,
		Receive: receive{Size: 32 * settings.MiB, Timeout: settings.Duration(300e9), Channels: 100, On: true},
	}
	d.Receive.TLS.Cert = "a\"b\\c\n"
	return d
}

func (d *demo) Validate() error {
	var errs []error
	if d.Receive.Channels < 1 || d.Receive.Channels > 1000 {
		errs = append(errs, fmt.Errorf("receive.channels: %d is not in 1 to 1000", d.Receive.Channels))
	}
	if d.Domain == "" {
		errs = append(errs, errors.New("domain: must not be empty"))
	}
	if len(d.Retry) == 1 {
		errs = append(errs, errors.New("one wait is not enough"))
	}
	return errors.Join(errs...)
}

func open(t *testing.T) (*disk.OS, string) {
	t.Helper()
	dir := t.TempDir()
	fsys, err := disk.OpenOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fsys.Close() })
	return fsys, dir
}

func TestWriteDefaults(t *testing.T) {
	fsys, dir := open(t)
	value := defaults()
	if err := settings.WriteDefaults(fsys, "Settings", settings.Section{Name: "demo", Value: &value}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "Settings", "demo.toml")
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "demo.golden")
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || string(got) != string(want) {
		t.Errorf("demo.toml is\n%s\nwant (%v)\n%s", got, err, want)
	}
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode of demo.toml: %v, %v; want 0600", st.Mode(), err)
	}

	loaded := demo{Retry: []settings.Duration{1, 2, 3}} // everything comes from the file
	if err := settings.Load(fsys, "Settings", settings.Section{Name: "demo", Value: &loaded}); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(loaded, value) {
		t.Errorf("loaded %+v\nwant   %+v", loaded, value)
	}
}

func TestWriteDefaultsRefusesADirectoryInUse(t *testing.T) {
	fsys, dir := open(t)
	write(t, dir, "old.toml", "# kept\n")
	value := defaults()
	err := settings.WriteDefaults(fsys, "Settings", settings.Section{Name: "demo", Value: &value})
	if err == nil || !strings.Contains(err.Error(), "Settings/old.toml is there already") {
		t.Errorf("WriteDefaults = %v, want it to name old.toml", err)
	}
	if names, _ := fsys.List("Settings"); len(names) != 1 {
		t.Errorf("the directory now has %q", names)
	}
}

// A fullDisk fails when a file gets its bytes.
type fullDisk struct{ disk.FS }

type fullFile struct{ disk.File }

var errFull = errors.New("no space left")

func (d fullDisk) Create(name string) (disk.File, error) {
	f, err := d.FS.Create(name)
	return fullFile{f}, err
}

func (fullFile) Datasync() error { return errFull }

func TestWriteDefaultsLeavesNothingHalfDone(t *testing.T) {
	fsys, _ := open(t)
	value := defaults()
	err := settings.WriteDefaults(fullDisk{fsys}, "Settings", settings.Section{Name: "demo", Value: &value})
	if !errors.Is(err, errFull) {
		t.Errorf("WriteDefaults = %v, want %v", err, errFull)
	}
	if names, _ := fsys.List("Settings"); len(names) != 0 {
		t.Errorf("the directory has %q", names)
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	file := filepath.Join(dir, "Settings", name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestLoadKeepsDefaults(t *testing.T) {
	fsys, dir := open(t)
	got, want := defaults(), defaults()
	if err := settings.Load(fsys, "Settings", settings.Section{Name: "demo", Value: &got}); err != nil {
		t.Errorf("no directory: %v", err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("no directory: %+v, want the defaults", got)
	}

	write(t, dir, "demo.toml", "receive.tls = {cert = 'x'}\n[receive]\nmax_message_size = 1_000\n")
	write(t, dir, "README", "not a section")
	err := settings.Load(fsys, "Settings", settings.Section{Name: "demo", Value: &got})
	if err == nil {
		t.Errorf("a table that is defined twice was taken: %+v", got)
	}
	write(t, dir, "demo.toml", "retry = [\"1h\", \"1d\"]\n[receive]\nmax_message_size = 1_000\ntls = {cert = 'x'}\n")
	got = defaults()
	if err := settings.Load(fsys, "Settings", settings.Section{Name: "demo", Value: &got}); err != nil {
		t.Fatal(err)
	}
	want.Retry = []settings.Duration{settings.Duration(3600e9), settings.Day}
	want.Receive.Size = 1000
	want.Receive.TLS.Cert = "x"
	if !reflect.DeepEqual(got, want) {
		t.Errorf("loaded %+v\nwant   %+v", got, want)
	}
}

func TestProblems(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"unknown key", "domian = 'x'", "1: domian: unknown key; did you mean domain?"},
		{"key of another case", "[receive]\nChannels = 1", "2: receive.Channels: unknown key; did you mean channels?"},
		{"unknown table", "\n[other]\nx = 1", "2: other: unknown key"},
		{"unknown key in a table in braces", "receive = { on = true, x.y = 2 }", "1: receive.x: unknown key"},
		{"strange key", `"a\u001bb" = 1`, `1: "a\u001Bb": unknown key`},
		{"not a text", "domain = 5", "1: domain: want a text in quotes"},
		{"not a number", "[receive]\n# two\nchannels = \"5\"", "3: receive.channels: want a whole number"},
		{"number too large", "receive.channels = 99999999999999999999", "1: receive.channels: "},
		{"not a bool", "receive.on = 1", "1: receive.on: want true or false"},
		{"not a list", "retry = \"1m\"", "1: retry: want a list in brackets"},
		{"not a table", "receive = 1", "1: receive: want a table"},
		{"header of what is no table", "[domain]\nx = 1", "1: domain: is not a table"},
		{"header of what is no list", "[[receive]]\non = true",
			"1: receive: is not a list of tables: write it in single brackets or with ="},
		{"key below what is no table", "domain.x = 1", "1: domain.x: is not a table"},
		{"length of time without a unit", "retry = [\"1m\",\n 5]",
			`2: retry: "5" is not a length of time such as 90s, 5m, 2h30m, 5d or 1w`},
		{"negative size", "receive.max_message_size = -1",
			`1: receive.max_message_size: "-1" is not a number of bytes such as 1048576, 256K, 16M or 1G`},
		{"bad text of another type", "clients = ['x']", `1: clients: netip.ParsePrefix("x"): no '/'`},
		{"list where one value is wanted", "receive.timeout = ['1m']", "1: receive.timeout: want one value"},
		{"syntax", "domain = 'x'\nretry = [", "2: "},
		{"not UTF-8", "domain = \"\xff\"", "1: "},
		{"twice", "domain = 'x'\ndomain = 'y'", "2: domain: "},
		{"out of range", "\n[receive]\non = false\nchannels = 0", "4: receive.channels: 0 is not in 1 to 1000"},
		{"no key named", "retry = ['1m']", " one wait is not enough"},
		{"too long", "#" + strings.Repeat("x", 1<<20), " longer than 1048576 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fsys, dir := open(t)
			write(t, dir, "demo.toml", tt.text)
			value := defaults()
			err := settings.Load(fsys, "Settings", settings.Section{Name: "demo", Value: &value})
			problems := settings.Problems(nil)
			if !errors.As(err, &problems) || len(problems) != 1 {
				t.Fatalf("Load = %v, want one problem", err)
			}
			if want := "Settings/demo.toml:" + tt.want; !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%s\ngot  %s\nwant %s", tt.text, err, want)
			}
		})
	}
}

func TestAllProblemsAreReportedTogether(t *testing.T) {
	fsys, dir := open(t)
	write(t, dir, "first.toml", "domain = ''\n[receive]\nchannels = 0\n")
	write(t, dir, "second.toml", "x = 1\nretry = [1, 2]\n[receive]\non = 'yes'\ntimeout = '1 m'\n")
	write(t, dir, "third.toml", "y = 1\n")
	if err := os.Mkdir(filepath.Join(dir, "Settings", "fourth.toml"), 0o700); err != nil {
		t.Fatal(err)
	}
	first, second, fourth := defaults(), defaults(), defaults()
	err := settings.Load(fsys, "Settings", settings.Section{Name: "first", Value: &first},
		settings.Section{Name: "second", Value: &second}, settings.Section{Name: "fourth", Value: &fourth})
	const want = `Settings/first.toml:1: domain: must not be empty
Settings/first.toml:3: receive.channels: 0 is not in 1 to 1000
Settings/fourth.toml: open Settings/fourth.toml: not a regular file
Settings/second.toml:1: x: unknown key
Settings/second.toml:2: retry: "1" is not a length of time such as 90s, 5m, 2h30m, 5d or 1w
Settings/second.toml:2: retry: "2" is not a length of time such as 90s, 5m, 2h30m, 5d or 1w
Settings/second.toml:4: receive.on: want true or false
Settings/second.toml:5: receive.timeout: "1 m" is not a length of time such as 90s, 5m, 2h30m, 5d or 1w
Settings/third.toml: no section has this name; the sections are first, second, fourth`
	if err == nil || err.Error() != want {
		t.Errorf("Load =\n%v\nwant\n%s", err, want)
	}
}

func TestLongCommentIsBroken(t *testing.T) {
	fsys, dir := open(t)
	value := struct {
		N int `toml:"n" doc:"how many there may be at any one time, in all and of each kind, 1 to 1000"`
	}{7}
	if err := settings.WriteDefaults(fsys, "Settings", settings.Section{Name: "long", Value: &value}); err != nil {
		t.Fatal(err)
	}
	const want = "\n\n# how many there may be at any one time, in all and of each kind, 1 to\n# 1000\nn = 7\n"
	text, err := os.ReadFile(filepath.Join(dir, "Settings", "long.toml"))
	if err != nil || !strings.HasSuffix(string(text), want) {
		t.Errorf("long.toml is %q, %v; want it to end in %q", text, err, want)
	}
}

// Replace makes a file, or gives it another text.
func TestReplace(t *testing.T) {
	fsys := crashdisk.New(-1)
	if err := fsys.Mkdir("S"); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		want := fmt.Sprint("text ", i)
		if err := settings.Replace(fsys, "S", "rules.toml.old", want); err != nil {
			t.Fatal(err)
		}
		f, err := fsys.Open("S/rules.toml.old")
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, len(want))
		if err := disk.ReadFull(f, b, 0); err != nil || string(b) != want {
			t.Errorf("it is %q, %v, want %q", b, err, want)
		}
	}
}

// A list of tables is shown as a comment, below which a person writes the first one.
func TestWriteDefaultsOfTables(t *testing.T) {
	type row struct {
		Name  string   `toml:"name" doc:"what it is called"`
		Words []string `toml:"words"`
		On    bool     `toml:"on" doc:"whether"`
	}
	type inner struct {
		Rows []row `toml:"row" doc:"as many as you like:"`
	}
	var value struct {
		Inner inner `toml:"inner"`
	}
	fsys := crashdisk.New(-1)
	if err := settings.WriteDefaults(fsys, "Settings", settings.Section{Name: "rows", Value: &value}); err != nil {
		t.Fatal(err)
	}
	text := fsys.Files(".toml")["Settings/rows.toml"]
	const want = `
[inner]

# as many as you like:
#
# [[inner.row]]
# name = ""                 # what it is called
# words = []
# on = false                # whether
`
	if !strings.HasSuffix(text, want) {
		t.Errorf("got\n%s\nwant at its end\n%s", text, want)
	}
	written := []byte(text + "[[inner.row]]\nname = \"x\"\n")
	if err := settings.Decode("rows.toml", written, &value); err != nil || len(value.Inner.Rows) != 1 || value.Inner.Rows[0].Name != "x" {
		t.Errorf("read %+v, %v", value, err)
	}
}

// What some editors put in front of a file is named, since nobody sees it.
func TestAByteOrderMark(t *testing.T) {
	var box struct {
		A int `toml:"a"`
	}
	err := settings.Decode("a.toml", []byte("\ufeffa = 1\n"), &box)
	if err == nil || !strings.HasPrefix(err.Error(), "a.toml:1: it begins with a byte order mark") {
		t.Errorf("%v", err)
	}
}
