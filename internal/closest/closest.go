// Package closest finds the word that a user meant, for "did you mean" in
// messages.
package closest

import (
	"slices"
	"strings"
)

// To returns the candidate that is most like word, or "" when none is near
// enough to have been meant: when more than about a third of its letters
// would have to change.
func To(word string, candidates []string) string { return within(len(word)/3+1, word, candidates) }

// Slip is To for words that others may use as well: it returns the candidate
// of which word is most likely a slip of the keyboard, one or two letters
// away, in letters of any case, with '-' and '_' the same.
func Slip(word string, candidates []string) string {
	limit := 2
	if len(word) < 5 {
		limit = 1
	}
	folded := make([]string, len(candidates))
	for i, c := range candidates {
		folded[i] = fold(c)
	}
	best := within(limit, fold(word), folded)
	if best == "" {
		return ""
	}
	return candidates[slices.Index(folded, best)]
}

func fold(word string) string { return strings.ReplaceAll(strings.ToLower(word), "-", "_") }

// within returns the candidate at the least distance, of limit at most.
func within(limit int, word string, candidates []string) string {
	best, least := "", limit+1
	for _, c := range candidates {
		if d := distance(word, c); d < least && d < len(word) {
			best, least = c, d
		}
	}
	return best
}

// distance counts the bytes to add, drop, change or swap with the next one,
// to turn a into b (optimal string alignment).
func distance(a, b string) int {
	rows := make([][]int, len(a)+1) // rows[i][j] is the distance of a[:i] and b[:j]
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			d := min(change, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
