package access_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/access"
	"github.com/nestor-gateway/nestor/access/record"
)

func TestRoutesAreAllowedByPathByPrefixAndByGroup(t *testing.T) {
	const chat, azure, generate, regenerate = "/v1/chat/completions", "/openai/deployments/a/b/chat/completions?api-version=1", "/key/generate", "/key/abc/regenerate"
	const models, info, spend = "/v1/models", "/key/info", "/global/spend/keys"
	all := []string{chat, azure, generate, regenerate, models, info, spend, "/v1/chat/completionsx", "/v1/chat/completions/more"}
	cases := map[string]struct{ given, want []string }{
		"none":        {nil, all},
		"exact":       {[]string{chat}, []string{chat, "/v1/chat/completions/more"}},
		"prefix":      {[]string{"/key"}, []string{generate, regenerate, info}},
		"star":        {[]string{"/v1/chat*"}, []string{chat, "/v1/chat/completionsx", "/v1/chat/completions/more"}},
		"below":       {[]string{"/v1/*"}, []string{chat, models, "/v1/chat/completionsx", "/v1/chat/completions/more"}},
		"openai":      {[]string{"openai_routes"}, []string{chat, azure, models}},
		"llm":         {[]string{"llm_api_routes"}, []string{chat, azure, models}},
		"info":        {[]string{"info_routes"}, []string{models, info}},
		"management":  {[]string{"management_routes"}, []string{generate, regenerate, info}},
		"keys":        {[]string{"key_management_routes"}, []string{generate, regenerate, info}},
		"spend":       {[]string{"global_spend_tracking_routes"}, []string{spend}},
		"several":     {[]string{"/v1/models", "global_spend_tracking_routes"}, []string{models, spend}},
		"foreign":     {[]string{"mcp_routes"}, nil},
		"no pattern":  {[]string{"/v1/*/completions"}, nil},
		"empty":       {[]string{""}, nil},
		"anything":    {[]string{"*"}, all},
		"not a group": {[]string{"openai_route"}, nil},
	}
	m := newMemory()
	for name, c := range cases {
		m.addKey(name, record.Key{AllowedRoutes: c.given})
	}
	x := loaded(t, m, access.Options{})
	for name, c := range cases {
		p := as(t, x, name)
		var got []string
		for _, route := range all {
			if p.May(access.Call{Route: route}) == nil {
				got = append(got, route)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestADeniedRouteIsToldBeforeTheModel(t *testing.T) {
	m := newMemory()
	m.addKey("a", record.Key{Models: []string{"fast"}, AllowedRoutes: []string{"/v1/models", "info_routes"}})
	got := as(t, loaded(t, m, access.Options{}), "a").May(access.Call{Route: "/v1/chat/completions?x=1", Model: "slow"})
	want := &access.Denial{Status: 403, Type: "auth_error", Code: "403",
		Message: "Virtual key is not allowed to call this route. Only allowed to call routes: [/v1/models, info_routes]. Tried to call route: /v1/chat/completions"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
