package routes

import (
	"maps"
	"slices"
	"strings"

	"github.com/nestor-gateway/nestor/routing/config/known"
)

// foreign are LiteLLM's other groups of routes, whose routes Nestor does not have.
const foreign = "openai_route_names mapped_pass_through_routes passthrough_routes_wildcard litellm_native_routes anthropic_routes " +
	"mcp_inference_routes mcp_management_routes mcp_routes agent_inference_routes agent_management_routes agent_routes google_routes " +
	"apply_guardrail_routes master_key_only_routes team_service_account_key_routes public_routes ui_routes compliance_check_routes " +
	"internal_user_routes internal_user_view_only_routes self_managed_routes org_admin_only_routes admin_viewer_routes org_admin_allowed_routes"

// Means reports whether an element of allowed_routes can be meant: a path, the beginning of one with *, or a group of
// LiteLLM's. Another name allows nothing whatever routes there are; near is the group that it is nearly the name of, "" for
// none.
func Means(name string) (near string, ok bool) {
	if strings.Contains(name, "/") || strings.HasSuffix(name, "*") {
		return "", true
	}
	own := slices.Sorted(maps.Keys(groups()))
	if slices.Contains(own, name) || slices.Contains(strings.Fields(foreign), name) {
		return "", true
	}
	return known.Nearest(name, own), false
}
