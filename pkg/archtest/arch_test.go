// Package archtest holds the house to its plan: the table of floors in
// docs/architecture.md, which people read, is the table that these tests read; and
// the rules of code that no compiler knows are checks here.
package archtest

import (
	"flag"
	"os"
	"testing"
)

var planFile = flag.String("plan", "../../docs/architecture.md", "the document with the table of floors")

// longFiles are the files that may be over maxLines, each with its reason.
var longFiles = map[string]string{}

// checks are the rules. Each returns what breaks it, a sentence each.
var checks = []struct {
	name string
	run  func(h *house) []string
}{
	{"the plan and the packages are the same", checkPlan},
	{"imports go down", checkFloors},
	{"modules know the plug alone", checkModules},
	{"the command line knows control alone", checkCLI},
	{"only server puts the parts together", checkComposition},
	{"pure packages are pure", checkPure},
	{"main is a list", checkMain},
	{"packages are named by their noun", checkNames},
	{"files are short", checkLength},
	{"packages and exported names are documented", checkDocs},
	{"nothing is left to do", checkWords},
}

func TestHouse(t *testing.T) {
	plan, err := os.ReadFile(*planFile)
	if err != nil {
		t.Fatal(err)
	}
	h, err := read(os.DirFS("../.."), string(plan))
	if err != nil {
		t.Fatal(err)
	}
	h.long = longFiles
	if len(h.packages) < 5 || len(h.floors) < 5 {
		t.Fatalf("%d packages, %d of them on floors: this is not the house", len(h.packages), len(h.floors))
	}
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			for _, problem := range c.run(h) {
				t.Error(problem)
			}
		})
	}
}
