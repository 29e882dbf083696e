package rig

import "testing"

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		in   []float64
		want float64
	}{
		{nil, 0},
		{[]float64{7}, 7},
		{[]float64{9, 1, 5}, 5},
		{[]float64{4, 1, 100, 2}, 3},
	} {
		before := append([]float64(nil), tt.in...)
		if got := Median(tt.in); got != tt.want {
			t.Errorf("Median(%v) = %v, want %v", tt.in, got, tt.want)
		}
		for i := range before {
			if tt.in[i] != before[i] {
				t.Errorf("median changed its argument from %v to %v", before, tt.in)
			}
		}
	}
}

func TestPercentile(t *testing.T) {
	hundred := make([]int, 100)
	for i := range hundred {
		hundred[i] = 100 - i
	}
	for _, tt := range []struct {
		name string
		in   []int
		p    float64
		want int
	}{
		{"of none", nil, 99, 0},
		{"of one", []int{7}, 99, 7},
		{"99 of a hundred", hundred, 99, 99},
		{"the highest", hundred, 100, 100},
		{"the lowest", hundred, 0, 1},
		{"half of five", []int{5, 1, 4, 2, 3}, 50, 3},
		{"99 of five is the highest", []int{5, 1, 4, 2, 3}, 99, 5},
	} {
		if got := Percentile(tt.in, tt.p); got != tt.want {
			t.Errorf("%s: Percentile(%v, %v) = %d, want %d", tt.name, tt.in, tt.p, got, tt.want)
		}
	}
}
