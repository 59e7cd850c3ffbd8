package envoy_test

import (
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"

	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
	"github.com/nestor-gateway/nestor/routing/deployment"
)

// echoGateway has an upstream that answers with the body that it is sent, and prices that the request names.
func echoGateway(t *testing.T, answer func(http.ResponseWriter, []byte)) *gateway {
	up := upstream(t, "up", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("content-type", "application/json")
		w.Header().Set(nestorv1.HeaderResponseCost, "a provider's own")
		answer(w, body)
	})
	decide := func(request map[string]string) decision {
		d := decision{upstream: "up", metadata: map[string]string{nestorv1.KeyDecision: "ZGVj"}}
		if prices, ok := request["x-prices"]; ok {
			d.metadata[nestorv1.KeyPrices] = prices
		}
		return d
	}
	return startGateway(t, decide, nil, up)
}

func sized(w http.ResponseWriter, body []byte) {
	w.Header().Set("content-length", strconv.Itoa(len(body)))
	w.Write(body)
}

func chunked(w http.ResponseWriter, body []byte) {
	w.WriteHeader(http.StatusOK)
	http.NewResponseController(w).Flush()
	w.Write(body)
}

func TestAnAnswerSaysWhatItCosts(t *testing.T) {
	const prices, chat = "1,10,100,1000,10000,0", "/v1/chat/completions"
	const all = `{"usage":{"prompt_tokens":10,"completion_tokens":9,"total_tokens":19,"prompt_tokens_details":{"cached_tokens":3,"cache_write_tokens":2},` +
		`"completion_tokens_details":{"reasoning_tokens":4}}}`
	// vector is the answer of an embeddings model that is n bytes long.
	vector := func(n int) string {
		const end = `"}],"usage":{"prompt_tokens":8,"total_tokens":8}}`
		begin := `{"data":[{"embedding":"`
		return begin + strings.Repeat("A", n-len(begin)-len(end)) + end
	}
	for name, c := range map[string]struct {
		path, prices, body string
		answer             func(http.ResponseWriter, []byte)
		want               string
	}{
		"tokens of every kind":         {chat, prices, all, sized, "0.000000042355"},
		"cached by Anthropic's name":   {chat, prices, `{"usage":{"prompt_tokens":3,"cache_creation_input_tokens":2}}`, chunked, "0.000000002001"},
		"a usual price":                {chat, "150000,600000,75000,0,0,0", `{"usage":{"prompt_tokens":1000,"completion_tokens":500,"total_tokens":1500}}`, chunked, "0.00045"},
		"whole dollars":                {chat, "0,0,0,0,0,20000000000000", all, sized, "20"},
		"more than a number holds":     {chat, "1000000000000000000,0,0,0,0,0", `{"usage":{"prompt_tokens":4294967296}}`, sized, "4294967296000000"},
		"nothing":                      {chat, "0,0,0,0,0,0", all, sized, "0"},
		"a request without usage":      {chat, "0,0,0,0,0,5000000000", `{"choices":[]}`, sized, "0.005"},
		"tokens that are not told":     {chat, prices, `{"choices":[]}`, sized, ""},
		"tokens that are said to be 0": {chat, prices, `{"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}`, sized, ""},
		"usage that is nonsense":       {chat, prices, `{"usage":{"prompt_tokens":-5,"completion_tokens":"x","total_tokens":7.9}}`, sized, "0.000000000007"},
		"no price":                     {chat, "", all, sized, "0"},
		"a price that is none":         {chat, "1,2", all, sized, ""},
		"no JSON":                      {chat, prices, "sorry", sized, ""},
		"empty":                        {chat, prices, "", sized, ""},
		"embeddings":                   {"/v1/embeddings", prices, vector(5000), sized, "0.000000000008"},
		"embeddings that are large":    {"/v1/embeddings", prices, vector(128 << 10), sized, "0.000000000008"},
		"embeddings that are larger":   {"/v1/embeddings", prices, vector(128<<10 + 1), sized, ""},
		"embeddings of unknown size":   {"/v1/embeddings", prices, vector(5000), chunked, ""},
		"an image":                     {"/v1/images/generations", "0,0,0,0,0,40000000000", `{"data":[]}`, sized, "0.04"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := echoGateway(t, c.answer)
			var headers []string
			if c.prices != "" {
				headers = []string{"x-prices", c.prices}
			}
			resp, body := g.send(t, http.MethodPost, c.path, c.body, headers...)
			if body != c.body {
				t.Errorf("the answer has changed: got %d bytes, want %d", len(body), len(c.body))
			}
			if got := resp.Header.Get(nestorv1.HeaderResponseCost); got != c.want {
				t.Errorf("it costs %q, want %q", got, c.want)
			}
		})
	}
}

func TestAStreamDoesNotSayWhatItCosts(t *testing.T) {
	up := upstream(t, "up", eventStream("data: {\"usage\":{\"prompt_tokens\":1}}\n\n"))
	g := startGateway(t, always("up", nestorv1.KeyPrices, "1,1,1,1,1,1"), nil, up)
	resp, _ := g.send(t, http.MethodPost, "/v1/chat/completions", "{}")
	if got, ok := resp.Header[http.CanonicalHeaderKey(nestorv1.HeaderResponseCost)]; ok {
		t.Errorf("got %q", got)
	}
}

// TestTheCostThatIsToldIsTheOneThatIsCharged compares Lua with Go.
func TestTheCostThatIsToldIsTheOneThatIsCharged(t *testing.T) {
	g := echoGateway(t, sized)
	random := rand.New(rand.NewPCG(1, 2))
	draw := func() int64 {
		if random.IntN(3) == 0 {
			return 0
		}
		return random.Int64N(1 << (1 + random.IntN(20)))
	}
	for range 500 {
		price := func() int64 { return draw() * 100 }
		tariff := deployment.Tariff{Input: price(), Output: price(), CacheRead: price(), CacheCreation: price(), Reasoning: price(), Request: price()}
		u := deployment.Usage{Prompt: 1 + draw(), Completion: draw(), Total: draw(), Cached: draw(), CacheCreation: draw(), Reasoning: draw()}
		body := fmt.Sprintf(`{"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,"prompt_tokens_details":{"cached_tokens":%d,"cache_write_tokens":%d},`+
			`"completion_tokens_details":{"reasoning_tokens":%d}}}`, u.Prompt, u.Completion, u.Total, u.Cached, u.CacheCreation, u.Reasoning)
		resp, _ := g.send(t, http.MethodPost, "/v1/chat/completions", body, "x-prices", tariff.String())
		told, ok := new(big.Rat).SetString(resp.Header.Get(nestorv1.HeaderResponseCost))
		if !ok {
			t.Fatalf("%s for %s: told %q", tariff, body, resp.Header.Get(nestorv1.HeaderResponseCost))
		}
		nano := told.Mul(told, big.NewRat(1e9, 1))
		up := new(big.Int).Div(new(big.Int).Add(nano.Num(), new(big.Int).Sub(nano.Denom(), big.NewInt(1))), nano.Denom())
		if want := big.NewInt(tariff.Cost(u)); up.Cmp(want) != 0 {
			t.Fatalf("%s for %s: told %s nano-dollars, charged %s", tariff, body, nano.FloatString(3), want)
		}
	}
}
