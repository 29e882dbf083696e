//go:build race

package endtoend

// raceFlags builds the programs as this test is built.
var raceFlags = []string{"-race"}
