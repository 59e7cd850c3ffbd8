package tree

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The expectations are what PyYAML's safe_load gives, written as JSON.
func TestPlainScalarsAreReadAsPyYAMLReadsThem(t *testing.T) {
	cases := map[string]string{
		"yes": "true", "No": "false", "ON": "true", "off": "false", "True": "true", "y": `"y"`, "n": `"n"`, "tRUE": `"tRUE"`,
		"~": "null", "Null": "null", "nULL": `"nULL"`, "": "null",
		"12": "12", "-7": "-7", "+3": "3", "0": "0", "012": "10", "089": `"089"`, "0o14": `"0o14"`, "0x1F": "31", "0b101": "5", "1_000": "1000",
		"1:30": "90", "12:30:45": "45045", "1:60": `"1:60"`, "123456789012345678901234567890": "123456789012345678901234567890",
		"0.5": "0.5", ".5": "0.5", "5.": "5", "1e3": `"1e3"`, "1.0e3": `"1.0e3"`, "1.0e+3": "1.0e+3", "1.5e-3": "1.5e-3", "+0.70": "0.7", "0.70": "0.70",
		"1_0.5": "10.5", "-.5": `"-.5"`, "1.2.3": `"1.2.3"`, "2024-06-01": `"2024-06-01"`, "10.0.0.1": `"10.0.0.1"`, "-": `"-"`, ".": `"."`, "0x": `"0x"`,
	}
	got := map[string]string{}
	for text := range cases {
		raw, _ := ScalarJSON(text)
		got[text] = string(raw)
	}
	if diff := cmp.Diff(cases, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
