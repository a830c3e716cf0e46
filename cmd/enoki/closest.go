package main

// closest returns the candidate that is most like word, or "" when none is
// like it: when more than a third of its letters would have to change.
func closest(word string, candidates []string) string {
	best, fewest := "", len(word)/3+1
	for _, candidate := range candidates {
		if d := distance(word, candidate); d < fewest {
			best, fewest = candidate, d
		}
	}
	return best
}

// distance is Levenshtein's: how many bytes have to be added, dropped or
// replaced to turn a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1) // of the prefix of a so far to each prefix of b
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
