// Package provider knows how a request must look for each provider: its address, paths and credential.
package provider

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Table is the providers that Nestor knows. It never changes and is safe for concurrent use.
type Table struct {
	rows  map[string]*entry // by name and by every alias
	names []string          // without the aliases, sorted
	// azureVersion is the api-version of Azure deployments that have none.
	azureVersion string
}

// entry is a row with what the environment says about it.
type entry struct {
	row
	key string // the credential of deployments without api_key
	// baseVariable is the variable that base was read from; empty when base is the row's own or none.
	baseVariable string
}

// New makes the table. env looks up a variable of the environment (os.LookupEnv): deployments without
// api_key or api_base take them from the variables that LiteLLM reads. They are read here, once.
func New(env func(string) (string, bool)) *Table {
	t := &Table{rows: map[string]*entry{}, azureVersion: defaultAzureVersion}
	if version, _ := first(env, []string{"AZURE_API_VERSION"}); version != "" {
		t.azureVersion = version
	}
	for _, r := range slices.Concat(hosted(), local(), azure(), generic()) {
		e := &entry{row: r}
		e.key, _ = first(env, r.keyEnv)
		if base, variable := first(env, r.baseEnv); base != "" {
			e.base, e.baseVariable = base, variable
		}
		t.names = append(t.names, r.name)
		for _, name := range append(r.aliases, r.name) {
			t.rows[name] = e
		}
	}
	slices.Sort(t.names)
	return t
}

// first is the first of the variables that is set and not empty, and its name.
func first(env func(string) (string, bool), variables []string) (value, variable string) {
	for _, variable := range variables {
		if value, ok := env(variable); ok && value != "" {
			return value, variable
		}
	}
	return "", ""
}

// IsPrefix reports whether the word is the name of a provider, or LiteLLM's other name of one.
func (t *Table) IsPrefix(word string) bool { return t.rows[word] != nil }

// Lacks returns the endpoints that a provider does not have, a bit each.
func (t *Table) Lacks(provider string) (lacks uint8) {
	if r := t.rows[provider]; r != nil {
		for e, path := range r.paths {
			if path == "" {
				lacks |= 1 << e
			}
		}
	}
	return lacks
}

// Split finds the provider of a model as written in litellm_params, and the provider's own name of
// it: custom when it is not empty, else a known prefix, else by the model's name. The provider is
// a row's name, not an alias. An error says which providers there are.
func (t *Table) Split(written, custom string) (provider, model string, err error) {
	prefix, rest, found := strings.Cut(written, "/")
	switch {
	case custom != "" && t.rows[custom] == nil:
		return "", "", t.unknown("custom_llm_provider", custom)
	case custom != "" && !(found && t.rows[prefix] == t.rows[custom]):
		return t.named(t.rows[custom], written, written)
	case found && t.rows[prefix] != nil:
		return t.named(t.rows[prefix], written, rest)
	}
	if name := infer(written); name != "" {
		return t.named(t.rows[name], written, written)
	}
	if found {
		return "", "", t.unknown("the prefix of model "+fmt.Sprintf("%q", written), prefix)
	}
	return "", "", fmt.Errorf("model %q does not say its provider: write it as PROVIDER/%s; %s", written, written, t.advice())
}

func (t *Table) named(e *entry, written, model string) (string, string, error) {
	if model == "" {
		return "", "", fmt.Errorf("model %q names a provider and no model: write it as %s/MODEL", written, e.name)
	}
	if e.keepsPrefix && !strings.Contains(model, "/") {
		model = e.name + "/" + model
	}
	return e.name, model, nil
}

func (t *Table) unknown(what, name string) error {
	return fmt.Errorf("%s is %q, which is no provider that Nestor knows: %s", what, name, t.advice())
}

func (t *Table) advice() string {
	return "it knows " + strings.Join(t.names, ", ") +
		"; any other address that speaks OpenAI's API is openai/MODEL with api_base"
}

// infer guesses a provider by a model's name, as LiteLLM does (get_llm_provider_logic.py); gemini-* is Google's
// AI Studio here, where LiteLLM takes Vertex AI. Empty for others.
func infer(model string) string {
	prefixes := map[string]string{
		"gpt-": "openai", "chatgpt-": "openai", "o1": "openai", "o3": "openai", "o4": "openai",
		"text-embedding-": "openai", "davinci-": "openai", "babbage-": "openai", "codex-": "openai",
		"computer-use-": "openai", "ft:gpt-": "openai", "ft:davinci-": "openai", "ft:babbage-": "openai",
		"claude-": "anthropic", "gemini-": "gemini",
	}
	if model == "*" {
		return "openai"
	}
	for _, prefix := range slices.Sorted(maps.Keys(prefixes)) {
		if strings.HasPrefix(model, prefix) && !strings.Contains(model, "/") {
			return prefixes[prefix]
		}
	}
	return ""
}
