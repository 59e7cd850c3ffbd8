package provider

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// foundry is where Azure AI Foundry answers; its OpenAI-like API stands under /models there.
const foundry = ".services.ai.azure.com"

// Base returns the address of a deployment: apiBase when it is not empty, else the one of the environment
// (see New), else the provider's own. It has a lower-case host, no slash at its end and neither user,
// query nor fragment; what LiteLLM's users write is brought to the address of OpenAI's API, for
// example http://localhost:11434 of ollama to http://localhost:11434/v1. An error says what the provider needs,
// and never holds a password.
func (t *Table) Base(provider, apiBase string) (*url.URL, error) {
	e := t.rows[provider]
	if e == nil {
		return nil, t.unknown("the provider", provider)
	}
	from, address := "api_base", apiBase
	if address == "" {
		from, address = e.baseVariable, e.base
	}
	if address == "" {
		return nil, needsBase(e)
	}
	u, err := parse(address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	u.Path, u.RawPath = e.apiPath(u.Hostname(), u.Path), ""
	return u, nil
}

func needsBase(e *entry) error {
	if len(e.baseEnv) == 0 {
		return fmt.Errorf("%s needs api_base, the address of its API, for example http://127.0.0.1:8000/v1", e.name)
	}
	return fmt.Errorf("%s needs api_base, the address of its API, or %s in the environment", e.name, strings.Join(e.baseEnv, " or "))
}

var errPort = errors.New("the port must be a number from 1 to 65535")

// parse reads an address strictly. url.Parse refuses control characters, so none gets into a header.
func parse(address string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSpace(address))
	if err != nil {
		var inner *url.Error
		if !errors.As(err, &inner) || strings.Contains(address, "@") { // the text may hold a password
			return nil, errors.New("not a valid URL")
		}
		if strings.HasPrefix(inner.Err.Error(), "invalid port") { // its text would be shown, and may be a password
			return nil, errPort
		}
		return nil, fmt.Errorf("not a valid URL: %w", inner.Err)
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("must begin with http:// or https://")
	case u.Hostname() == "":
		return nil, errors.New("has no host")
	case strings.ContainsFunc(u.Host, notInHost):
		return nil, errors.New("the host has characters that no host may have")
	case u.User != nil:
		return nil, errors.New("has a user name or password: put the credential in api_key")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("ends in a query or fragment: leave it out; an api-version goes in api_version")
	case u.Port() == "" && strings.HasSuffix(u.Host, ":"), u.Port() != "" && !isPort(u.Port()):
		return nil, errPort
	}
	u.Host = strings.ToLower(u.Host)
	return u, nil
}

func notInHost(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(".-_:[]", r)
}

func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0
}

// apiPath brings the path of an address to that of OpenAI's API.
func (e *entry) apiPath(host, path string) string {
	path = strings.TrimRight(path, "/")
	path = strings.TrimSuffix(path, chatPath)
	for _, ending := range e.trim {
		if rest, ok := strings.CutSuffix(path, ending); ok {
			path = rest
			break
		}
	}
	switch {
	case e.root != "" && !strings.HasSuffix(path, e.root):
		path += e.root
	case e.name == "azure_ai" && path == "" && strings.HasSuffix(host, foundry):
		path = "/models"
	}
	return path
}
