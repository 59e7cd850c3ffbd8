package form_test

import (
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/api/manage/form"
)

// TestWhatIsReadIsWhatTheJSONSays: a body that is taken means to encoding/json what was read.
func TestWhatIsReadIsWhatTheJSONSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := rapid.MapOf(rapid.StringN(0, 8, 24), rapid.SampledFrom([]string{"null", "1", `"x"`, "[1, 2]", `{"a": {}}`, "1e400"})).Draw(t, "members")
		text := "{"
		for name, value := range members {
			key, _ := json.Marshal(name)
			if len(text) > 1 {
				text += ","
			}
			text += " " + string(key) + " : " + value
		}
		b, err := form.Parse([]byte(text + " }\n"))
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, name := range b.Names {
			got[name] = string(b.Values[name])
		}
		if diff := cmp.Diff(members, got); diff != "" {
			t.Error(diff)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1,"a":2}`, `{"a":1}x`, `{"a":}`, `[`, "\xff", `{"a":[1,{"b":null}]}`, `{"\ud800":1}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := form.Parse(raw)
		if err != nil {
			return
		}
		var whole map[string]json.RawMessage
		if err := json.Unmarshal(raw, &whole); err != nil {
			t.Fatalf("taken, and no JSON: %v", err)
		}
		if len(whole) != len(b.Names) {
			t.Errorf("%d members were read, %d are there", len(b.Names), len(whole))
		}
	})
}

// TestMoneyIsExactToTheNanoDollar: an amount is kept as written, as a number or as a text.
func TestMoneyIsExactToTheNanoDollar(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Up to a million dollars; beyond that a float64 has no room for every nano-dollar.
		want := record.Nano(rapid.Int64Range(0, 1e15).Draw(t, "nano"))
		written := want.String()
		if rapid.Bool().Draw(t, "as text") {
			written = strconv.Quote(written)
		}
		b, err := form.Parse([]byte(`{"max_budget": ` + written + `}`))
		if err != nil {
			t.Fatal(err)
		}
		var k form.Key
		if err := form.KeyUpdate(time.Time{}).Apply(b, &k); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&want, k.MaxBudget); diff != "" {
			t.Error(diff)
		}
	})
}

// TestNoFieldIsTwiceInATable: the first of two would never hold.
func TestNoFieldIsTwiceInATable(t *testing.T) {
	for name, fields := range map[string][]string{
		"key":    form.KeyRegenerate(time.Time{}).Names(),
		"team":   form.TeamNew(time.Time{}).Names(),
		"user":   form.UserNew(time.Time{}).Names(),
		"update": form.UserUpdate(time.Time{}).Names(),
		"budget": form.Budget(time.Time{}).Names(),
	} {
		seen := map[string]bool{}
		for _, f := range fields {
			if seen[f] {
				t.Errorf("%s has %s twice", name, f)
			}
			seen[f] = true
		}
	}
}
