package extproc

import (
	"encoding/base64"
	"strconv"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nestor-gateway/nestor/extproc/estimate"
	"github.com/nestor-gateway/nestor/extproc/message"
	"github.com/nestor-gateway/nestor/extproc/openai"
	"github.com/nestor-gateway/nestor/extproc/provider"
	"github.com/nestor-gateway/nestor/extproc/retry"
	"github.com/nestor-gateway/nestor/extproc/standing"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
	"github.com/nestor-gateway/nestor/routing"
)

// decided is everything that the reply of the decision exchange is made of.
type decided struct {
	request  request
	fields   *openai.Fields
	model    string // as the client called it
	target   routing.Target
	pick     routing.Pick
	plan     retry.Plan
	snapshot *routing.Snapshot
	outgoing provider.Request
	body     []byte
	strip    bool // the usage event was asked for by Nestor alone
	replica  string
	inband   bool
	estimate estimate.Tokens
	reserved int64 // tokens
	callers  callers
	keySpend string // what the key had spent, in USD; "" where there is none
	charged  bool   // what it costs goes into the spend log
}

// rewrite makes the body that the provider gets, in the room given if it is enough.
func (d *decided) rewrite(body, room []byte) {
	asked := d.fields.IncludeUsage != nil && *d.fields.IncludeUsage
	d.strip = d.fields.Stream && d.outgoing.StreamOptions && !asked
	d.body = d.fields.Rewrite(body, openai.Edits{
		Model:        d.outgoing.Model,
		IncludeUsage: d.strip,
		Defaults:     d.pick.Deployment.Defaults,
		Into:         room,
	})
}

// response is the one reply that Envoy needs; after it the request needs no Nestor.
func (d *decided) response(now time.Time) *extprocv3.ProcessingResponse {
	r := &extprocv3.ProcessingResponse{
		Response: &extprocv3.ProcessingResponse_RequestBody{RequestBody: &extprocv3.BodyResponse{
			Response: &extprocv3.CommonResponse{
				HeaderMutation:  d.headers(),
				BodyMutation:    message.ReplaceBody(d.body),
				ClearRouteCache: true,
			},
		}},
	}
	r.ProtoReflect().SetUnknown(d.metadata(now))
	return r
}

// headers sets the route, the provider's address and credential, and the timeouts, and removes
// what is none of the provider's business.
func (d *decided) headers() *extprocv3.HeaderMutation {
	m := &extprocv3.HeaderMutation{
		RemoveHeaders: d.request.headers.Foreign(),
		SetHeaders:    make([]*corev3.HeaderValueOption, 0, 8+len(d.outgoing.Headers)),
	}
	message.Set(m, nestorv1.HeaderCluster, d.pick.Deployment.Upstream.Name)
	message.Set(m, ":path", d.outgoing.Path)
	message.Set(m, ":authority", d.outgoing.Host)
	message.Set(m, "content-length", strconv.Itoa(len(d.body)))
	message.Set(m, "accept-encoding", "identity")
	for _, h := range d.outgoing.Headers {
		message.Set(m, h.Name, h.Value)
	}
	if unary, stream := d.timeouts(); d.fields.Stream {
		message.BoundStream(m, stream)
	} else {
		message.Bound(m, unary)
	}
	if d.inband { // whatever the route says: one reservation is one attempt
		message.Set(m, "x-envoy-max-retries", "0")
	}
	return m
}

// usualMetadata is room for the metadata of nearly all decisions, in bytes.
const usualMetadata = 768

// metadata carries the Decision, and what Envoy's own filters and routes read of it.
func (d *decided) metadata(now time.Time) []byte {
	m := message.NewMetadata(usualMetadata)
	m.Add(nestorv1.KeyDecision, d.encode(now))
	m.Add(nestorv1.KeyModelID, d.pick.Deployment.ID)
	m.Add(nestorv1.KeyGroup, d.target.Group)
	m.Add(nestorv1.KeyAPIBase, d.pick.Deployment.Base.String())
	m.Add(nestorv1.KeyRetries, strconv.Itoa(int(d.plan.Retries)))
	m.Add(nestorv1.KeyFallbacks, strconv.Itoa(int(d.plan.Fallbacks)))
	m.Add(nestorv1.KeyCallID, d.request.id)
	if d.strip {
		m.Add(nestorv1.KeyStrip, "usage")
	}
	d.addMoney(m)
	standing.Add(m, d.pick.Standing)
	return m.Dynamic(nestorv1.Namespace)
}

func (d *decided) encode(now time.Time) string {
	raw, err := proto.Marshal(d.complete(now))
	if err != nil {
		// Only a string that is not UTF-8 can do this, and the body was checked for it.
		return ""
	}
	return base64.StdEncoding.EncodeToString(raw)
}

// complete is the Decision.
func (d *decided) complete(now time.Time) *nestorv1.Decision {
	decision := d.decision()
	decision.Deployment, decision.DecidedUnixNano = d.pick.Deployment.ID, now.UnixNano()
	decision.Holder, decision.ReservedTokens, decision.InputTokens = d.replica, d.reserved, d.estimate.Input
	decision.Completions = d.completions()
	if d.fields.BlobTokens == 0 {
		decision.InputBytes = d.fields.TextBytes
	}
	d.tellCaller(decision)
	return decision
}

// decision is the Decision but for what was picked.
func (d *decided) decision() *nestorv1.Decision {
	return &nestorv1.Decision{
		RequestId:        d.request.id,
		Model:            d.model,
		Group:            d.plan.Group,
		Attempt:          d.request.attempt,
		Retries:          d.plan.Retries,
		Fallbacks:        d.plan.Fallbacks,
		Tried:            d.plan.Tried,
		Groups:           d.plan.Groups,
		Stream:           d.fields.Stream,
		NumRetries:       wishedRetries(d.request.headers, d.fields),
		FallbackGroups:   meant(d.request.who, d.fields.Fallbacks),
		Snapshot:         d.plan.Snapshot,
		Probe:            d.request.probe,
		DisableFallbacks: d.fields.DisableFallbacks,
		Counted:          d.plan.Counted,
		EndpointNumber:   uint32(d.request.route.Endpoint),
	}
}
