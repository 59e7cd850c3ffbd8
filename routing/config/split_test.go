package config

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/nestor-gateway/nestor/routing/config/tree"
)

// scalarText draws values as people write them, and a few that end a line-based reader's luck.
func scalarText(t *rapid.T) string {
	if rapid.IntRange(0, 9).Draw(t, "tame") < 8 {
		return rapid.SampledFrom([]string{"3", "0.5", "'7'", `"8" # comment`, "os.environ/GONE", "2.0"}).Draw(t, "number")
	}
	return rapid.SampledFrom([]string{
		"openai/gpt-4o", `"openai/*"`, "'it''s'", "plain text", "12", "0.5", "yes", "~", "", "os.environ/KEY", "os.environ/GONE",
		"<fill-me-in>", "{a: 1, b: [x, y]}", "[1, 2]", "# nothing", "x # comment", `"a\n b"`, "é ü", "*shared", "&own v",
		"|\n          - not an item\n          more", ">-\n          folded\n          text", "\"open\n          - still open\"", "[a,\n          b]",
		"word\n          goes on", "!!str 5", "a: b", "\"", "{", "- x",
	}).Draw(t, "scalar")
}

func drawConfig(t *rapid.T) string {
	var b strings.Builder
	b.WriteString(rapid.SampledFrom([]string{
		"", "# head\n", "---\n", "x-shared: &shared {rpm: 3}\n", "router_settings:\n  num_retries: 1\n\n", "general_settings: {master_key: k}\n", "a: 1\n---\n",
	}).Draw(t, "head"))
	b.WriteString(rapid.SampledFrom([]string{"model_list:\n", "model_list: # all\n", "model_list:\n\n# first\n", "model_list: []\n", "\"model_list\":\n"}).Draw(t, "key"))
	pad := rapid.SampledFrom([]string{"", "  ", "    "}).Draw(t, "pad")
	keys := []string{"rpm", "weight", "temperature", "stop", "seed", "timeout", "tpm", "order", "api_base", "<<", "rmp"}
	for i := range rapid.IntRange(0, 6).Draw(t, "entries") {
		fmt.Fprintf(&b, "%s- model_name: g%d\n%s  litellm_params:\n%s    model: openai/m\n", pad, i%3, pad, pad)
		for range rapid.IntRange(0, 3).Draw(t, "params") {
			fmt.Fprintf(&b, "%s    %s: %s\n", pad, rapid.SampledFrom(keys).Draw(t, "param"), scalarText(t))
		}
		if rapid.IntRange(0, 9).Draw(t, "plain") == 0 {
			b.WriteString(rapid.SampledFrom([]string{"\n", "# between\n", "      # deep\n", "\r\n", "...\n", "broken\n", "  - odd\n"}).Draw(t, "after"))
		}
	}
	b.WriteString(rapid.SampledFrom([]string{
		"", "litellm_settings:\n  num_retries: 2\n", "model_list: []\n", "model_groups: {g0: {rpm: 2}}\n", "x: *shared\n", "oops\n", " indented: 1\n", "environment_variables: {GONE: here}\n",
	}).Draw(t, "tail"))
	return b.String()
}

func TestReadingInPiecesGivesTheSameAsReadingWhole(t *testing.T) {
	environment := env(map[string]string{"KEY": "sk-test"})
	inPieces, good := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		src := drawConfig(t)
		pieces := decodeBy("c.yaml", []byte(src), tree.Splitting{From: 0, Piece: 40}, environment, nil)
		whole := decodeBy("c.yaml", []byte(src), tree.NoSplitting(), environment, nil)
		gotConfig, gotErr := finish(pieces)
		wantConfig, wantErr := finish(whole)
		if diff := cmp.Diff(fmt.Sprint(wantErr), fmt.Sprint(gotErr)); diff != "" {
			t.Fatalf("errors of\n%s\n(-whole +pieces):\n%s", src, diff)
		}
		if diff := cmp.Diff(wantConfig, gotConfig, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
			t.Fatalf("config of\n%s\n(-whole +pieces):\n%s", src, diff)
		}
		if _, rest := tree.ParseFile("c.yaml", src, pieces.splitting, tree.NewReport()); rest != nil {
			inPieces++
		}
		if gotErr == nil {
			good++
		}
	})
	if t.Logf("%d read in pieces, %d without a problem", inPieces, good); inPieces == 0 || good == 0 {
		t.Error("the drawn configs show nothing")
	}
}
