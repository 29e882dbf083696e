package cli

import (
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares a run with testdata/<name>.golden.
func golden(t *testing.T, name string, got result, args []string) {
	t.Helper()
	text := fmt.Sprintf("$ cgq %s\n%s-- stderr --\n%s-- exit %d --\n",
		strings.Join(args, " "), got.out, got.errOut, got.status)
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
	if strings.ContainsFunc(strings.ReplaceAll(text, "\n", ""), unsafe) {
		t.Errorf("something of a stranger reached the terminal raw: %q", text)
	}
}

func TestEveryFormOfOutput(t *testing.T) {
	base := full().serve(t)
	for _, what := range []string{"queue list", "queue show SMTP example.com", "message list", "message show 4711",
		"queue explain SMTP example.com", "queue shape", "trash list", "message trace 4711",
		"rules list", "rules show spam", "rules test --message testdata/rules.eml", "log level",
		"settings list", "settings history", "settings set queue.dequeuer.reporting_delay=1h", "dequeuer show",
		"log tail", "log emails", "log audit", "account list", "account create ann@example.org", "stat", "stat --listeners", "whoami", "check",
		"settings get queue.dequeuer.reporting_delay", "settings diff", "queue release SMTP example.com", "message reject 4711 --text no"} {
		for _, form := range formats() {
			args := append(strings.Fields(what), "-o", form)
			words := strings.Fields(strings.ReplaceAll(what, "--", ""))
			name := strings.Join(words[:min(2, len(words))], "-") + "-" + form
			t.Run(name, func(t *testing.T) { golden(t, name, cgq(t, base, nil, args...), args) })
		}
	}
	for name, line := range map[string]string{
		"columns":        "queue list --columns queue,last_error,oldest",
		"columns-json":   "queue list -o json --columns queue,messages",
		"columns-csv":    "queue list -o csv --columns oldest,next_attempt,bytes",
		"no-headers":     "queue list --no-headers",
		"no-headers-csv": "message list -o csv --no-headers --columns id,return_path",
		"rules-import":   "rules import testdata/Rules.settings",

		"queue-explain-schedule":     "queue explain SMTP example.com --schedule",
		"queue-explain-schedule-csv": "queue explain SMTP example.com --schedule -o csv",
		"queue-shape-error":          "queue shape --by error",
		"queue-shape-error-wide":     "queue shape --by error -o wide",
		"queue-shape-error-csv":      "queue shape --by error -o csv",
		"queue-shape-error-jsonl":    "queue shape --by error -o jsonl",
		"queue-shape-class":          "queue shape --columns class,name",
		"queue-shape-sender":         "queue shape --by sender --columns name,T,1280+",
		"message-content":            "message content 4711",
		"message-content-headers":    "message content 4711 --headers",
	} {
		t.Run(name, func(t *testing.T) {
			args := strings.Fields(line)
			golden(t, name, cgq(t, base, nil, args...), args)
		})
	}
}

func TestOnATerminalTheTableFits(t *testing.T) {
	base := full().serve(t)
	for _, what := range []string{"queue list", "queue show SMTP example.com", "message list", "message show 4711",
		"queue shape", "trash list", "hold list", "rules list", "settings list", "settings history"} {
		args := strings.Fields(what)
		name := strings.Join(args[:2], "-") + "-terminal"
		t.Run(name, func(t *testing.T) {
			got := cgq(t, base, func(a *app) { a.width = 110 }, args...)
			golden(t, name, got, args)
			for line := range strings.Lines(got.out) {
				head := strings.Contains(line, ":  ") // lines above the table are whole
				if n := len([]rune(strings.TrimRight(line, " \n"))); n > 110 && !head {
					t.Errorf("%d columns: %s", n, line)
				}
			}
		})
	}
	t.Run("colour", func(t *testing.T) {
		got := cgq(t, base, func(a *app) { a.width, a.colour = 200, true }, "queue", "list")
		for _, want := range []string{"\x1b[32mactive\x1b[0m", "\x1b[33mdelayed\x1b[0m", "\x1b[31mheld\x1b[0m"} {
			if !strings.Contains(got.out, want) {
				t.Errorf("no %q in %q", want, got.out)
			}
		}
		if strings.Contains(got.out, "\x1b[2J") || strings.Contains(got.out, "\x1b]0") {
			t.Errorf("an escape sequence of a stranger in %q", got.out)
		}
	})
}

func TestMachineFormsAreValidAndLossless(t *testing.T) {
	base := full().serve(t)
	var list []map[string]any
	out := cgq(t, base, nil, "queue", "list", "-o", "json").out
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 3 {
		t.Fatalf("json: %v, %d rows", err, len(list))
	}
	want := strings.ToValidUTF8(hostile, "\uFFFD") // JSON has no other bytes
	if got := list[2]["last_error"]; got != want {
		t.Errorf("last_error %q, want %q", got, want)
	}
	for n, line := range strings.Split(strings.TrimSpace(cgq(t, base, nil, "message", "list", "-o", "jsonl").out), "\n") {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil || m["id"] != float64(4711+n) {
			t.Errorf("jsonl line %d: %v, id %v", n, err, m["id"])
		}
	}
	var page struct {
		Status   string
		Messages []map[string]any
	}
	out = cgq(t, base, nil, "queue", "show", "SMTP", "example.com", "-o", "json").out
	if err := json.Unmarshal([]byte(out), &page); err != nil || page.Status != "delayed" || len(page.Messages) != 2 {
		t.Errorf("queue show: %v, %+v", err, page)
	}
	rows, err := csv.NewReader(strings.NewReader(cgq(t, base, nil, "message", "list", "-o", "csv").out)).ReadAll()
	if err != nil || len(rows) != 3 || rows[2][len(rows[2])-1] != `Undelivered, "quoted"` {
		t.Errorf("csv: %v, %q", err, rows)
	}
}

func TestEmptyLists(t *testing.T) {
	base := (&daemon{rights: full().rights}).serve(t)
	for form, want := range map[string]string{
		formTable: "", formJSON: "[]\n", formLines: "", formName: "",
		formCSV: "module,queue,state,messages,recipients,bytes,oldest,delayed_till,next_attempt,attempts,last_error,hold,message_attempts,message_error\n",
	} {
		if got := cgq(t, base, nil, "queue", "list", "-o", form); got.out != want || got.errOut != "" || got.status != 0 {
			t.Errorf("%s: %+v, want %q", form, got, want)
		}
	}
	got := cgq(t, base, func(a *app) { a.width = 80 }, "queue", "list")
	if got.out != "" || got.errOut != "no host queues\n" {
		t.Errorf("on a terminal: %+v", got)
	}
}

// A list that was cut off must not be taken for the whole.
func TestAListThatFailsLate(t *testing.T) {
	d := full()
	d.err = errLate
	base := d.serve(t)
	for _, form := range formats() {
		got := cgq(t, base, nil, "queue", "list", "-o", form)
		if got.status != exitFailed || !strings.Contains(got.errOut, "journal on fire") || got.out == "" {
			t.Errorf("%s: %+v; want the rows, the error and status 1", form, got)
		}
		if form == formJSON && json.Valid([]byte(got.out)) {
			t.Errorf("the array looks whole: %s", got.out)
		}
	}
}

// Every field of a row has a column, so that --columns can name it.
func TestEveryFieldHasAColumn(t *testing.T) {
	base := full().serve(t)
	for what, fields := range map[string]string{
		"queue list": "module,queue,state,messages,recipients,bytes,oldest,delayed_till,next_attempt,attempts," +
			"last_error,hold",
		"message list": "id,module,queue,state,submitted,return_path,sender,source,bytes,recipients,attempts," +
			"delayed_till,last_error,subject",
		"queue show SMTP example.com": "id,module,queue,state,submitted,return_path,sender,source,bytes,recipients," +
			"attempts,delayed_till,last_error,subject",
		"message show 4711": "recipient,module,queue,status,retry_in,attempts,last_error",
		"account list":      "address",
		"route sales":       "address,module,queue,to,relay,refused",
		"hold list":         "name,id,messages,recipients,since,until,by,lasts,where,reason",
		"trash list":        "act,at,by,text,messages,recipients,bytes,purged_at",
		"stat":              "name,value",
		"stat --listeners":  "role,address",
		"settings list":     "key,value,default,changed,restart,type,unit,range,values,chapter,file,version,doc",
		"settings history":  "number,at,by,how,why,changes,files",
	} {
		got := cgq(t, base, nil, append(strings.Fields(what), "--columns", fields)...)
		if got.status != exitDone || got.out == "" {
			t.Errorf("%s --columns %s: %+v", what, fields, got)
		}
	}
}

func TestLongListsKeepTheirColumns(t *testing.T) {
	d := full()
	q := d.queues[0]
	d.queues = nil
	for i := range maxTable + 10 {
		q.Queue = fmt.Sprintf("q%d.example", i)
		d.queues = append(d.queues, q)
	}
	base := d.serve(t)
	for _, width := range []int{0, 120} {
		got := cgq(t, base, func(a *app) { a.width = width }, "queue", "list")
		lines := strings.Split(strings.TrimSuffix(got.out, "\n"), "\n")
		if len(lines) != maxTable+11 {
			t.Fatalf("%d lines, want %d", len(lines), maxTable+11)
		}
		first, last := strings.Index(lines[1], "active"), strings.Index(lines[len(lines)-1], "active")
		if first < 0 || first != last {
			t.Errorf("the states stand in columns %d and %d", first, last)
		}
	}
}
