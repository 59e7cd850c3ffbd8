package tree

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// CheckText finds what no YAML file may hold.
func CheckText(name string, src []byte, r *Report) bool {
	if bytes.HasPrefix(src, []byte("\xff\xfe")) || bytes.HasPrefix(src, []byte("\xfe\xff")) {
		r.Problem(Position{File: name, Line: 1, Column: 1}, "save it as UTF-8", "the file is written in UTF-16")
		return false
	}
	line, lineStart := 1, 0
	for i := 0; i < len(src); {
		c, size := rune(src[i]), 1
		if c >= utf8.RuneSelf {
			c, size = utf8.DecodeRune(src[i:])
		}
		if bad, hint := badCharacter(c, size); bad != "" {
			column := utf8.RuneCount(src[lineStart:i]) + 1
			r.Problem(Position{File: name, Line: line, Column: column}, hint, "%s", bad)
			return false
		}
		i += size
		if c == '\n' {
			line, lineStart = line+1, i
		}
	}
	return true
}

func badCharacter(r rune, size int) (message, hint string) {
	switch {
	case r == utf8.RuneError && size == 1:
		return "the file is not UTF-8", "save it as UTF-8"
	case r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0x7f:
		return fmt.Sprintf("the file holds the control character U+%04X", r), "remove it"
	}
	return "", ""
}
