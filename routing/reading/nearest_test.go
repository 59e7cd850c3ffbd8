package reading

import "testing"

func TestNearestName(t *testing.T) {
	names := []string{"fast", "faster", "gpt-4o", "a"}
	for word, want := range map[string]string{"fsat": "fast", "fastr": "fast", "gpt4o": "gpt-4o", "b": "", "something": ""} {
		if got := Nearest(word, names); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}
