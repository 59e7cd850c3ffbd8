package test

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/cmd/nestor/mock"
)

// forSDKs is what the programs in sdk/ expect.
const forSDKs = `
model_list:
  - model_name: gpt
    litellm_params: {model: openai/gpt-mini, api_base: $A/v1, api_key: sk-provider}
    model_info: {id: first}
  - model_name: composed
    litellm_params: {model: gpt}
  - model_name: single
    litellm_params: {model: openai/single, api_base: $A/v1, api_key: sk-provider, num_retries: 0}
    model_info: {id: single-id}
  - model_name: patient
    litellm_params: {model: openai/patient, api_base: $A/v1, api_key: sk-provider, num_retries: 1, timeout: 1}
    model_info: {id: patient-id}
  - model_name: busy
    litellm_params: {model: openai/busy, api_base: $A/v1, api_key: sk-provider, num_retries: 0}
    model_info: {id: busy-id}
  - model_name: limited
    litellm_params: {model: openai/limited, api_base: $A/v1, api_key: sk-provider, rpm: 2, tpm: 100000}
    model_info: {id: limited-id}
router_settings:
  disable_cooldowns: true
  model_group_alias: {nickname: composed}
general_settings:
  master_key: sk-master
`

func TestTheOpenAIPackageForPython(t *testing.T) {
	g := run(t, yaml(forSDKs, provideAs(t, mock.Options{Name: "a"})))
	g.script(need(t, "python"), "sdk/python/openai_sdk.py", "--verbose")
}

func TestTheOpenAIPackageForNode(t *testing.T) {
	g := run(t, yaml(forSDKs, provideAs(t, mock.Options{Name: "a"})))
	g.script(need(t, "node"), "sdk/node/openai_sdk.mjs")
}

// script runs a program that tests the gateway; what it says is shown when it fails.
func (g *gateway) script(program string, args ...string) {
	g.t.Helper()
	g.scriptAs("sk-master", program, args...)
}

// scriptAs is script with another master key.
func (g *gateway) scriptAs(master, program string, args ...string) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, program, args...)
	c.Env = append(os.Environ(), "NESTOR_URL="+g.url+"/v1", "NESTOR_KEY="+master, "NO_PROXY=*")
	if out, err := c.CombinedOutput(); err != nil {
		g.t.Errorf("%v: %v\n%s", args, err, out)
	}
}
