package uinit

import "strings"

// match tells whether s fits the pattern of a module alias, which has *, ? and
// [a-z], and no meaning for '/'. Only the last star is ever taken back, so that
// no pattern needs more than len(pattern) × len(s) steps.
func match(pattern, s string) bool {
	star, mark := -1, 0 // behind the last star: where in pattern, and where in s
	p, i := 0, 0
	for i < len(s) {
		if p < len(pattern) && pattern[p] == '*' {
			p++
			star, mark = p, i
			continue
		}
		if n := matchOne(pattern[p:], s[i]); n > 0 {
			p, i = p+n, i+1
			continue
		}
		if star < 0 {
			return false
		}
		mark++
		p, i = star, mark
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// matchOne returns how many bytes of the pattern c uses up, 0 where it does not
// fit.
func matchOne(pattern string, c byte) int {
	if pattern == "" {
		return 0
	}
	switch pattern[0] {
	case '?':
		return 1
	case '[':
		end := strings.IndexByte(pattern, ']')
		if end > 0 && inSet(pattern[1:end], c) {
			return end + 1
		}
		return 0
	case c:
		return 1
	}
	return 0
}

// inSet knows single bytes and ranges, as in "0-9a-fA-F".
func inSet(set string, c byte) bool {
	for i := 0; i < len(set); i++ {
		if i+2 < len(set) && set[i+1] == '-' {
			if set[i] <= c && c <= set[i+2] {
				return true
			}
			i += 2
		} else if set[i] == c {
			return true
		}
	}
	return false
}

// normal writes a module's name or alias with '_' for '-': the kernel takes
// both. What stands in brackets is a range and stays.
func normal(s string) string {
	if !strings.Contains(s, "-") {
		return s
	}
	b := []byte(s)
	inside := false
	for i, c := range b {
		switch {
		case c == '[':
			inside = true
		case c == ']':
			inside = false
		case c == '-' && !inside:
			b[i] = '_'
		}
	}
	return string(b)
}
