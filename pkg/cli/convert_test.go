package cli

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestJQ(t *testing.T) {
	base := full().serve(t)
	for line, want := range map[string]string{
		"queue list --jq .[].queue":                               "ann@example.org\nbücher.example\nexample.com\n",
		"queue list --jq .[2].last_error":                         safe(strings.ToValidUTF8(hostile, "\uFFFD")) + "\n",
		"queue list --jq [.[].messages]|add":                      "416\n",
		"queue list -o jsonl --jq .messages":                      "1\n3\n412\n",
		"queue list -o jsonl --jq select(.state==\"held\")|.hold": "disk move\n",
		"queue list -o yaml --jq .[:2][]|{queue}":                 "queue: ann@example.org\n---\nqueue: bücher.example\n",
		"message show 4711 --jq .recipients|length":               "2\n",
		"stat --jq {a:.[0].value,b:null}":                         "{\"a\":416,\"b\":null}\n",
		"queue list --jq empty":                                   "",
		"queue list --columns queue --jq .[0]|keys":               "[\"queue\"]\n",
	} {
		if got := cgq(t, base, nil, strings.Fields(line)...); got.out != want || got.errOut != "" || got.status != exitDone {
			t.Errorf("%s\ngot  %q, %q, status %d\nwant %q", line, got.out, got.errOut, got.status, want)
		}
	}
}

func TestUsageErrorsOfForms(t *testing.T) {
	base := full().serve(t)
	for line, want := range map[string]struct {
		status int
		says   string
	}{
		"queue list --jq .[":                 {exitUsage, "--jq: "},
		"queue list -o csv --jq .":           {exitUsage, "leave out -o csv"},
		"queue list --jq .[].a.b.c":          {exitDone, ""},
		"queue list --jq .[].module.a":       {exitFailed, "--jq: "},
		"queue list --watch=0":               {exitUsage, "not a length of time"},
		"queue list --watch --ids-from -":    {exitUsage, "can be read once"},
		"queue show SMTP no.example --watch": {exitFailed, "no queue"},
		"completion bash -o yaml":            {exitFailed, "no YAML"},
		"top":                                {exitUsage, "queue list --watch"},
	} {
		got := cgq(t, base, nil, strings.Fields(line)...)
		if got.status != want.status || !strings.Contains(got.errOut, want.says) {
			t.Errorf("%s: status %d, %q; want %d, %q", line, got.status, got.errOut, want.status, want.says)
		}
	}
}

// A list that was cut off gives --jq nothing: what it says would look whole.
func TestJQOfAListThatFailsLate(t *testing.T) {
	d := full()
	d.err = errLate
	got := cgq(t, d.serve(t), nil, "queue", "list", "--jq", "length")
	if got.out != "" || got.status != exitFailed || !strings.Contains(got.errOut, "journal on fire") {
		t.Errorf("%+v", got)
	}
}

// YAML says what JSON says.
func TestYAMLIsLossless(t *testing.T) {
	base := full().serve(t)
	for _, line := range []string{"queue list", "message list", "message show 4711", "queue show SMTP example.com",
		"queue explain SMTP example.com", "trash list", "version", "stat", "message trace 4711"} {
		args := strings.Fields(line)
		var fromJSON, fromYAML any
		if err := json.Unmarshal([]byte(cgq(t, base, nil, append(args, "-o", "json")...).out), &fromJSON); err != nil {
			t.Fatal(line, err)
		}
		text := cgq(t, base, nil, append(args, "-o", "yaml")...).out
		if err := yaml.Unmarshal([]byte(text), &fromYAML); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, text)
		}
		b, err := json.Marshal(fromYAML)
		if err != nil {
			t.Fatal(line, err)
		}
		var back any
		if err := json.Unmarshal(b, &back); err != nil || !reflect.DeepEqual(back, fromJSON) {
			t.Errorf("%s: %v\ngot  %v\nwant %v", line, err, back, fromJSON)
		}
	}
}

func FuzzYAML(f *testing.F) {
	for _, s := range []string{hostile, "true", "12", "- a", "a: b # c", "\"", "'", "|", "", " a", "a ", "\U000e0041", "\u2028", "~", "<<"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		raw, err := encode(map[string]any{"text": s, "list": []string{s, s}})
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := writeYAML(&b, raw); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		for _, r := range b.String() {
			if r != '\n' && unsafe(r) {
				t.Errorf("%q has %q", b.String(), r)
			}
		}
		var got struct {
			Text string
			List []string
		}
		want := strings.ToValidUTF8(s, "\uFFFD")
		if err := yaml.Unmarshal([]byte(b.String()), &got); err != nil || got.List[1] != got.Text ||
			strings.ReplaceAll(got.Text, "\uFFFD", "") != strings.ReplaceAll(want, "\uFFFD", "") {
			t.Errorf("%q is written %q and read %q (%v)", s, b.String(), got.Text, err)
		}
	})
}
