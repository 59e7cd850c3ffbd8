package access_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/access"
)

type headers map[string]string

func (h headers) get(name string) string { return h[name] }

type verdict struct {
	Principal access.Principal
	Denial    *access.Denial
}

func TestMasterLetsInOnlyTheHolderOfTheKey(t *testing.T) {
	const key = "sk-a-long-master-key-of-more-than-thirty-two-bytes"
	in := verdict{access.Principal{Master: true}, nil}
	out := verdict{Denial: &access.Denial{Status: 401, Type: "auth_error", Code: "401",
		Message: "Authentication Error, Invalid proxy server token passed: the API key is not valid"}}
	none := verdict{Denial: &access.Denial{Status: 401, Type: "auth_error", Code: "401",
		Message: "Authentication Error, No api key passed in: send it as `Authorization: Bearer KEY`, `api-key: KEY` or `x-api-key: KEY`"}}
	cases := map[string]struct {
		headers headers
		want    verdict
	}{
		"bearer":                                 {headers{"authorization": "Bearer " + key}, in},
		"bearer in another case":                 {headers{"authorization": "bEARER " + key}, in},
		"spaces around the key":                  {headers{"authorization": "Bearer   " + key + " "}, in},
		"x-api-key":                              {headers{"x-api-key": key}, in},
		"api-key":                                {headers{"api-key": key}, in},
		"no header":                              {headers{}, none},
		"empty headers":                          {headers{"authorization": "", "api-key": "", "x-api-key": ""}, none},
		"wrong key":                              {headers{"authorization": "Bearer sk-wrong"}, out},
		"prefix of the key":                      {headers{"api-key": key[:10]}, out},
		"key with more behind it":                {headers{"api-key": key + "x"}, out},
		"key without a scheme":                   {headers{"authorization": key}, out},
		"another scheme":                         {headers{"authorization": "Basic " + key}, out},
		"bearer without a key":                   {headers{"authorization": "Bearer "}, out},
		"authorization wins when wrong":          {headers{"authorization": "Bearer x", "api-key": key, "x-api-key": key}, out},
		"authorization wins when right":          {headers{"authorization": "Bearer " + key, "api-key": "x"}, in},
		"api-key wins over x-api-key":            {headers{"api-key": "x", "x-api-key": key}, out},
		"api-key wins over x-api-key when right": {headers{"api-key": key, "x-api-key": "x"}, in},
	}
	m := access.NewMaster(key)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p, denial := m.Authenticate(c.headers.get)
			if diff := cmp.Diff(c.want, verdict{p, denial}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWithoutAMasterKeyEverybodyIsAnonymous(t *testing.T) {
	m := access.NewMaster("")
	for _, h := range []headers{{}, {"authorization": "Bearer sk-whatever"}} {
		p, denial := m.Authenticate(h.get)
		want := verdict{access.Principal{Anonymous: true}, nil}
		if diff := cmp.Diff(want, verdict{p, denial}); diff != "" {
			t.Error(diff)
		}
	}
}

func TestAuthenticateAllocatesNothing(t *testing.T) {
	m := access.NewMaster("sk-a-long-master-key-of-more-than-thirty-two-bytes")
	get := headers{"authorization": "Bearer sk-a-long-master-key-of-more-than-thirty-two-bytes"}.get
	allocs := testing.AllocsPerRun(100, func() { m.Authenticate(get) })
	if allocs != 0 {
		t.Errorf("%v allocations, want 0", allocs)
	}
}
