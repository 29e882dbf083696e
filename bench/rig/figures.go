package rig

import (
	"cmp"
	"encoding/json"
	"os"
	"slices"
)

// Median is the middle of v, or the mean of the two in the middle.
func Median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// Ratio is a/b, and 0 where there is no b.
func Ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// Percentile is the smallest of v that at least p percent of v do not exceed, 0 of none.
// It sorts v.
func Percentile[T cmp.Ordered](v []T, p float64) (of T) {
	if len(v) == 0 {
		return of
	}
	slices.Sort(v)
	rank := int(p / 100 * float64(len(v)))
	if float64(rank) < p/100*float64(len(v)) {
		rank++
	}
	return v[min(max(rank, 1), len(v))-1]
}

// WriteJSON puts a report into the file path.
func WriteJSON(path string, report any) error {
	text, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
