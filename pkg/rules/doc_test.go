package rules

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// The tables of docs/rules.md are those of the engine. A row that is missing is printed
// as it has to begin.
func TestDocumentHasTheTables(t *testing.T) {
	b, err := os.ReadFile("../../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	want := func(row string) {
		if n++; !strings.Contains(string(b), "\n"+row) {
			t.Errorf("docs/rules.md has no row\n%s", row)
		}
	}
	for _, k := range conditionKinds() {
		if k.levels&ServerWide == 0 {
			continue
		}
		var list []string
		for _, op := range k.operators {
			list = append(list, "`"+string(op)+"`")
		}
		takes, example := strings.Join(list, " "), "`"+k.want+"`"
		if len(list) == 0 {
			takes, example = "", ""
		}
		want(fmt.Sprintf("| `%s` | %s | %s |", k.name, takes, example))
	}
	for _, k := range actionKinds() {
		if k.levels&ServerWide != 0 {
			want(fmt.Sprintf("| `%s` |", k.name))
		}
	}
	if got := strings.Count(string(b), "\n| `"); got != n {
		t.Errorf("docs/rules.md has %d rows of conditions and actions; want %d", got, n)
	}
}

// What has no place in server-wide Rules is named in the document.
func TestDocumentNamesWhatIsRefused(t *testing.T) {
	b, err := os.ReadFile("../../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range conditionKinds() {
		if k.levels&ServerWide == 0 && !strings.Contains(string(b), "*"+k.name+"*") {
			t.Errorf("docs/rules.md does not name %s", k.name)
		}
	}
	for _, k := range actionKinds() {
		if k.levels&ServerWide == 0 && !strings.Contains(string(b), "*"+k.name+"*") {
			t.Errorf("docs/rules.md does not name %s", k.name)
		}
	}
}
