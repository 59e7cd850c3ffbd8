package known

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNearestFindsWhatWasMeant(t *testing.T) {
	names := []string{"rpm", "tpm", "order", "weight", "num_retries", "n"}
	cases := map[string]string{"rmp": "rpm", "wieght": "weight", "oder": "order", "num_retrys": "num_retries", "x": "", "raw": "", "something": "", "order": "order"}
	got := map[string]string{}
	for word := range cases {
		got[word] = Nearest(word, names)
	}
	if diff := cmp.Diff(cases, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
