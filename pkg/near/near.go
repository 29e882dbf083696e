// Package near finds what was most likely meant by a name that there is not.
package near

import "iter"

// Name returns the name that is nearest to what was written, at a distance of so many
// letters at most; empty: none is so near. Case counts.
func Name(written string, names iter.Seq[string], most int) (best string) {
	for name := range names {
		if d := Distance(written, name); d <= most {
			best, most = name, d-1
		}
	}
	return best
}

// Distance is the number of letters to put in, take out or change to make b of a; letters
// are bytes.
func Distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
