package provider

import (
	"slices"

	"github.com/nestor-gateway/nestor/extproc/openai"
)

// row is what is known about a provider. The variables are those that LiteLLM reads
// (litellm_core_utils/get_llm_provider_logic.py, main.py), in its order.
type row struct {
	name string
	// aliases are LiteLLM's other names for the same way of calling.
	aliases []string
	// base is the provider's own address; empty when a deployment has to give one.
	base    string
	baseEnv []string
	keyEnv  []string
	// keyless providers can be called without a credential.
	keyless bool
	// apiKey has the credential sent as api-key, not as a bearer token.
	apiKey bool
	// trim are endings of addresses that are meant for LiteLLM and cut; root is the ending
	// that the address must have for OpenAI's API, and gets when it lacks it.
	trim []string
	root string
	// paths are by openai.Endpoint; an empty one is an endpoint that the provider does not have.
	paths [3]string
	// noStreamOptions is set for providers that do not document stream_options, and for those that refuse it.
	noStreamOptions bool
	// deployments has the model in the path, as Azure does.
	deployments bool
	// keepsPrefix: models without a slash are called by their whole name, as openrouter/auto.
	keepsPrefix bool
	// rename gives the name of a model as the provider takes it in the body; nil when it is used as it is.
	rename func(e openai.Endpoint, model string) string
}

const (
	chatPath        = "/chat/completions"
	completionsPath = "/completions"
	embeddingsPath  = "/embeddings"
)

func allPaths() [3]string { return [3]string{chatPath, completionsPath, embeddingsPath} }

// hosted are the providers with an address of their own.
func hosted() []row {
	return slices.Concat(makers(), fast(), resellers())
}

// makers sell their own models.
func makers() []row {
	return []row{
		{ // platform.openai.com/docs/api-reference
			name: "openai", aliases: []string{"text-completion-openai"},
			base: "https://api.openai.com/v1", baseEnv: []string{"OPENAI_BASE_URL", "OPENAI_API_BASE"},
			keyEnv: []string{"OPENAI_API_KEY"}, paths: allPaths(),
		},
		{ // platform.claude.com/docs/en/api/openai-sdk: bearer token, stream_options supported; chat only
			name: "anthropic", base: "https://api.anthropic.com/v1", root: "/v1", trim: []string{"/v1/messages"},
			baseEnv: []string{"ANTHROPIC_API_BASE", "ANTHROPIC_BASE_URL"}, keyEnv: []string{"ANTHROPIC_API_KEY"},
			paths: [3]string{openai.Chat: chatPath},
		},
		{ // ai.google.dev/gemini-api/docs/openai; streamOptions in ai.google.dev/api/compatibility
			name: "gemini", base: "https://generativelanguage.googleapis.com/v1beta/openai", root: "/openai",
			baseEnv: []string{"GEMINI_API_BASE"}, keyEnv: []string{"GOOGLE_API_KEY", "GEMINI_API_KEY"},
			paths: [3]string{openai.Chat: chatPath, openai.Embeddings: embeddingsPath},
		},
		{ // docs.mistral.ai/api: unknown members are refused with 422, stream_options among them
			// (avante-corp/avante.nvim issue 2347); usage comes with the last event anyway. LiteLLM adds /v1.
			name: "mistral", base: "https://api.mistral.ai/v1", root: "/v1", noStreamOptions: true,
			baseEnv: []string{"MISTRAL_AZURE_API_BASE"}, keyEnv: []string{"MISTRAL_AZURE_API_KEY", "MISTRAL_API_KEY"},
			paths: [3]string{openai.Chat: chatPath, openai.Embeddings: embeddingsPath},
		},
		{ // docs.x.ai/docs/api-reference
			name: "xai", base: "https://api.x.ai/v1", baseEnv: []string{"XAI_API_BASE"},
			keyEnv: []string{"XAI_API_KEY"}, paths: allPaths(),
		},
		{ // api-docs.deepseek.com: /beta has what /v1 has, and completions
			name: "deepseek", base: "https://api.deepseek.com/beta", baseEnv: []string{"DEEPSEEK_API_BASE"},
			keyEnv: []string{"DEEPSEEK_API_KEY"},
			paths:  [3]string{openai.Chat: chatPath, openai.Completions: completionsPath},
		},
		{ // docs.perplexity.ai: usage is in every event of a stream; embeddings stand under /v1
			name: "perplexity", base: "https://api.perplexity.ai", baseEnv: []string{"PERPLEXITY_API_BASE"},
			keyEnv: []string{"PERPLEXITYAI_API_KEY", "PERPLEXITY_API_KEY"}, noStreamOptions: true,
			paths: [3]string{openai.Chat: chatPath, openai.Embeddings: "/v1" + embeddingsPath},
		},
	}
}

// fast run open models.
func fast() []row {
	return []row{
		{ // console.groq.com/docs/api-reference: chat only, of ours
			name: "groq", base: "https://api.groq.com/openai/v1", baseEnv: []string{"GROQ_API_BASE"},
			keyEnv: []string{"GROQ_API_KEY"}, paths: [3]string{openai.Chat: chatPath},
		},
		{ // inference-docs.cerebras.ai
			name: "cerebras", base: "https://api.cerebras.ai/v1", baseEnv: []string{"CEREBRAS_API_BASE"},
			keyEnv: []string{"CEREBRAS_API_KEY"},
			paths:  [3]string{openai.Chat: chatPath, openai.Completions: completionsPath},
		},
		{ // docs.fireworks.ai/api-reference
			name: "fireworks_ai", base: "https://api.fireworks.ai/inference/v1", baseEnv: []string{"FIREWORKS_API_BASE"},
			keyEnv: []string{"FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY", "FIREWORKSAI_API_KEY", "FIREWORKS_AI_TOKEN"},
			paths:  allPaths(), rename: fireworksModel,
		},
		{ // docs.together.ai/reference
			name: "together_ai", base: "https://api.together.ai/v1", baseEnv: []string{"TOGETHER_AI_API_BASE"},
			keyEnv: []string{"TOGETHER_API_KEY", "TOGETHER_AI_API_KEY", "TOGETHERAI_API_KEY", "TOGETHER_AI_TOKEN"},
			paths:  allPaths(),
		},
	}
}

// resellers pass on to many makers and hosts.
func resellers() []row {
	return []row{
		{ // openrouter.ai/docs: stream_options is taken and without effect, usage always comes
			name: "openrouter", base: "https://openrouter.ai/api/v1", baseEnv: []string{"OPENROUTER_API_BASE"},
			keyEnv: []string{"OPENROUTER_API_KEY", "OR_API_KEY"}, paths: allPaths(), keepsPrefix: true,
		},
		{ // docs.api.nvidia.com/nim: the catalogue's models differ; LiteLLM leaves stream_options out
			name: "nvidia_nim", base: "https://integrate.api.nvidia.com/v1", baseEnv: []string{"NVIDIA_NIM_API_BASE"},
			keyEnv: []string{"NVIDIA_NIM_API_KEY"}, paths: allPaths(), noStreamOptions: true,
		},
	}
}

// local are programs that people run themselves, and need no credential.
func local() []row {
	return []row{
		{ // docs.ollama.com/api/openai-compatibility; LiteLLM's api_base is the native API's root
			name: "ollama", aliases: []string{"ollama_chat"}, base: "http://localhost:11434/v1", root: "/v1",
			trim:    []string{"/api/generate", "/api/chat", "/api"},
			baseEnv: []string{"OLLAMA_API_BASE"}, keyEnv: []string{"OLLAMA_API_KEY"}, keyless: true, paths: allPaths(),
		},
		{ // lmstudio.ai/docs/developer/openai-compat: the server's own port is 1234
			name: "lm_studio", base: "http://localhost:1234/v1", baseEnv: []string{"LM_STUDIO_API_BASE"},
			keyEnv: []string{"LM_STUDIO_API_KEY"}, keyless: true, paths: allPaths(),
		},
		{ // docs.vllm.ai/en/latest/serving/openai_compatible_server.html
			name: "hosted_vllm", baseEnv: []string{"HOSTED_VLLM_API_BASE"},
			keyEnv: []string{"HOSTED_VLLM_API_KEY"}, keyless: true, paths: allPaths(),
		},
		{ // github.com/mozilla-ai/llamafile: stream_options since 0.9.2
			name: "llamafile", base: "http://127.0.0.1:8080/v1", baseEnv: []string{"LLAMAFILE_API_BASE"},
			keyEnv: []string{"LLAMAFILE_API_KEY"}, keyless: true, paths: allPaths(),
		},
	}
}

// generic are names for anything that speaks OpenAI's API.
func generic() []row {
	return []row{
		{name: "custom_openai", aliases: []string{"openai_like", "aiohttp_openai"}, keyless: true, paths: allPaths()},
		{ // another LiteLLM, or another Nestor
			name: "litellm_proxy", baseEnv: []string{"LITELLM_PROXY_API_BASE"},
			keyEnv: []string{"LITELLM_PROXY_API_KEY"}, keyless: true, paths: allPaths(),
		},
	}
}

// azure are Microsoft's.
func azure() []row {
	return []row{
		{ // learn.microsoft.com/azure/ai-foundry/openai/reference
			name: "azure", aliases: []string{"azure_text"}, baseEnv: []string{"AZURE_API_BASE"},
			keyEnv: []string{"AZURE_OPENAI_API_KEY", "AZURE_API_KEY"}, apiKey: true, deployments: true, paths: allPaths(),
		},
		{ // learn.microsoft.com/azure/ai-foundry/model-inference/reference
			name: "azure_ai", baseEnv: []string{"AZURE_AI_API_BASE"}, keyEnv: []string{"AZURE_AI_API_KEY"},
			paths: allPaths(),
		},
	}
}
