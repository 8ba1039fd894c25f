package agentconfig

import "strings"

// nearest is the known name that was probably meant: the same but for its case,
// or one that a slip of the finger or two makes of it. It is empty when there
// is none.
func nearest(name string, known []string) string {
	best, least := "", 3
	for _, k := range known {
		if strings.EqualFold(k, name) {
			return k
		}
		if d := slips(strings.ToLower(name), strings.ToLower(k), least); d < least && d < len(k)/2 {
			best, least = k, d
		}
	}
	return best
}

// slips is how many characters have to be added, removed or replaced to make b
// of a, or limit when it is at least that many.
func slips(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return min(row[len(b)], limit)
}
