package provider

import (
	"net/url"
	"strings"
)

// defaultAzureVersion is LiteLLM's AZURE_DEFAULT_API_VERSION.
const defaultAzureVersion = "2025-02-01-preview"

// streamOptionsSince is the first version of Azure's API that takes stream_options
// (learn.microsoft.com/azure/ai-foundry/openai/whats-new: 2024-09-01-preview).
const streamOptionsSince = "2024-09-01"

// azurePath adds to an address of Azure what it lacks: nothing but the endpoint for one of the v1 API or of
// a single deployment, else /openai/v1 when api_version asks for it, else /openai/deployments/{model}.
func (t *Table) azurePath(p path, version, model string) (_ path, modern, ok bool) {
	if version == "" {
		version = t.azureVersion
	}
	isV1 := strings.HasSuffix(p.base, "/openai/v1")
	if isV1 || version == "v1" || version == "latest" || version == "preview" {
		if !isV1 {
			p.base, p.root = strings.TrimSuffix(p.base, "/openai"), "/openai/v1"
		}
		if version == "preview" {
			p.query, p.version = "?api-version=", version
		}
		return p, true, true
	}
	p.query, p.version = "?api-version=", url.QueryEscape(version)
	if strings.Contains(p.base, "/openai/deployments/") {
		return p, version >= streamOptionsSince, true
	}
	if model == "." || model == ".." { // would be another path
		return p, false, false
	}
	p.base, p.root, p.model = strings.TrimSuffix(p.base, "/openai"), "/openai/deployments/", url.PathEscape(model)
	return p, version >= streamOptionsSince, true
}
