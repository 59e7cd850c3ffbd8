package envoy

import (
	_ "embed" // filter.lua

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	luav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/lua/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
)

//go:embed filter.lua
var filterSource string

// luaFilter is the last to see an answer.
func luaFilter() *hcmv3.HttpFilter {
	return httpFilter("envoy.filters.http.lua", &luav3.Lua{
		DefaultSourceCode: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: filterSource}},
	})
}
