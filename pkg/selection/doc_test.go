package selection_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"cgq/pkg/selection"
)

// The tables of docs/selection.md are those of the language. A row that is missing
// is printed as it has to be.
func TestDocumentHasTheTables(t *testing.T) {
	b, err := os.ReadFile("../../docs/selection.md")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, f := range selection.Fields() {
		flag, takes := "", "equal"
		if f.Flag != "" {
			flag = "`--" + f.Flag + "`"
		}
		switch {
		case f.Type != "text":
			takes = ""
		case f.Part:
			takes = "contained, `~`"
		case f.Wild:
			takes = "equal, `*`, `~`"
		}
		want = append(want, fmt.Sprintf("| `%s` | %s | %s | %s | %s | `%s` |", f.Name, f.Type, flag, takes, f.Meaning, f.Example))
	}
	for _, f := range selection.Functions() {
		want = append(want, fmt.Sprintf("| `%s` | %s | `%s` |", f.Type, f.Meaning, f.Example))
	}
	for _, row := range want {
		if !strings.Contains(string(b), "\n"+row+"\n") {
			t.Errorf("docs/selection.md has no row\n%s", row)
		}
	}
	if got := strings.Count(string(b), "\n| `"); got != len(want) {
		t.Errorf("docs/selection.md has %d rows of fields and functions; want %d", got, len(want))
	}
}
