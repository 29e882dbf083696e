package history

import (
	"fmt"
	"strings"
)

const (
	context  = 3       // lines around a difference
	maxTable = 4 << 20 // cells: beyond, the lines between are all different
)

// Diff is what is not the same in two texts, as diff -u has it; empty: nothing.
func Diff(nameBefore, nameAfter, before, after string) string {
	if before == after {
		return ""
	}
	a, b := splitLines(before), splitLines(after)
	lines := compareLines(a, b)
	var out strings.Builder
	fmt.Fprintf(&out, "--- %s\n+++ %s\n", nameBefore, nameAfter)
	for from := 0; from < len(lines); {
		if lines[from].sign == ' ' {
			from++
			continue
		}
		begin, end, quiet := max(0, from-context), from, 0
		for to := from; to < len(lines) && quiet <= 2*context; to++ {
			if quiet++; lines[to].sign != ' ' {
				end, quiet = to+1, 0
			}
		}
		end = min(len(lines), end+context)
		hunk(&out, lines, begin, end)
		from = end
	}
	return out.String()
}

// A diffLine is a line of one text or both.
type diffLine struct {
	sign byte // ' ' of both, '-' of the first, '+' of the second
	text string
}

func splitLines(s string) (lines []string) {
	for line := range strings.Lines(s) {
		lines = append(lines, line)
	}
	return lines
}

func hunk(out *strings.Builder, lines []diffLine, begin, end int) {
	var at, n [2]int
	for i, l := range lines[:end] {
		for side, other := range [2]byte{'+', '-'} {
			if l.sign == other {
				continue
			}
			if at[side]++; i >= begin {
				n[side]++
			}
		}
	}
	first := func(side int) int {
		if n[side] == 0 {
			return at[side]
		}
		return at[side] - n[side] + 1
	}
	fmt.Fprintf(out, "@@ -%d,%d +%d,%d @@\n", first(0), n[0], first(1), n[1])
	for _, l := range lines[begin:end] {
		out.WriteByte(l.sign)
		out.WriteString(strings.TrimSuffix(l.text, "\n"))
		out.WriteByte('\n')
		if !strings.HasSuffix(l.text, "\n") {
			out.WriteString("\\ No newline at end of file\n")
		}
	}
}

// compareLines finds the longest common lines between what is the same at both ends.
func compareLines(a, b []string) (lines []diffLine) {
	var tail []diffLine
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		lines = append(lines, diffLine{' ', a[0]})
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		tail = append(tail, diffLine{' ', a[len(a)-1]})
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	lines = append(lines, between(a, b)...)
	for i := len(tail) - 1; i >= 0; i-- {
		lines = append(lines, tail[i])
	}
	return lines
}

func between(a, b []string) (lines []diffLine) {
	i, j := 0, 0
	if (len(a)+1)*(len(b)+1) <= maxTable {
		width := len(b) + 1
		common := make([]int32, (len(a)+1)*width) // of what is behind i and j
		for i := len(a) - 1; i >= 0; i-- {
			for j := len(b) - 1; j >= 0; j-- {
				if a[i] == b[j] {
					common[i*width+j] = common[(i+1)*width+j+1] + 1
				} else {
					common[i*width+j] = max(common[(i+1)*width+j], common[i*width+j+1])
				}
			}
		}
		for i < len(a) && j < len(b) {
			switch {
			case a[i] == b[j]:
				lines = append(lines, diffLine{' ', a[i]})
				i, j = i+1, j+1
			case common[(i+1)*width+j] >= common[i*width+j+1]:
				lines = append(lines, diffLine{'-', a[i]})
				i++
			default:
				lines = append(lines, diffLine{'+', b[j]})
				j++
			}
		}
	}
	for _, s := range a[i:] {
		lines = append(lines, diffLine{'-', s})
	}
	for _, s := range b[j:] {
		lines = append(lines, diffLine{'+', s})
	}
	return lines
}
