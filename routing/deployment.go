package routing

import "github.com/nestor-gateway/nestor/routing/deployment"

type (
	// Deployment is one provider model at one address with one credential: a leaf.
	Deployment = deployment.Deployment
	// Upstream is the Envoy cluster for one scheme, host and port. Deployments at one address share it.
	Upstream = deployment.Upstream
	// Providers is the provider table as the compiler needs it.
	Providers = deployment.Providers
)
