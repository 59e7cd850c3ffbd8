package extproc

import (
	"cmp"
	"context"
	"crypto/subtle"
	"errors"
	"strconv"
	"strings"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/nestor-gateway/nestor/access"
	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/extproc/message"
	"github.com/nestor-gateway/nestor/extproc/openai"
	"github.com/nestor-gateway/nestor/extproc/retry"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/routing"
)

// request is what the decision exchange knows of one attempt at a request.
type request struct {
	headers message.Headers
	route   openai.Route
	id      string
	attempt uint32
	probe   bool
	who     access.Principal
	// hold is the id of what the attempt reserves.
	hold ratelimit.ID
}

// decide runs the decision exchange: it refuses the request, or says which deployment it goes to. Nil is a refusal.
func (s *Server) decide(stream extprocv3.ExternalProcessor_ProcessServer, m *extprocv3.HttpHeaders) (*decided, error) {
	req, refusal := s.readHeaders(m)
	if refusal != nil {
		return nil, s.refuse(stream, req, refusal)
	}
	held, ok := s.bodies.Admit(stream.Context(), req.headers.Get("content-length"))
	if !ok {
		return nil, s.refuse(stream, req, tooManyBodies())
	}
	defer func() { s.bodies.Release(held) }()
	if err := stream.Send(message.GoOn()); err != nil {
		return nil, err
	}
	next, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	body := next.GetRequestBody().GetBody()
	if held, ok = s.bodies.AdmitRest(held, len(body)); !ok {
		return nil, s.refuse(stream, req, tooManyBodies())
	}
	d, refusal := s.choose(stream.Context(), req, body)
	if err := stream.Context().Err(); err != nil {
		if refusal == nil {
			s.giveBack(d)
		}
		return nil, err // the client left
	}
	if refusal != nil {
		return nil, s.refuse(stream, req, refusal)
	}
	err = stream.Send(d.response(s.Now()))
	s.bodies.Reuse(d.body) // Send has written it out
	if err != nil {
		s.giveBack(d)
	}
	return d, err
}

// readHeaders reads what can be judged before the body: the endpoint and the credential. Also a request that is refused
// has its id.
func (s *Server) readHeaders(m *extprocv3.HttpHeaders) (request, *openai.Error) {
	req := request{headers: message.Headers(m.GetHeaders().GetHeaders())}
	req.id, req.attempt = s.identify(req.headers)
	req.hold = record.AttemptID(req.id, req.attempt)
	method, path := req.headers.Get(":method"), req.headers.Get(":path")
	route, ok := openai.Lookup(path)
	if !ok {
		return req, openai.UnknownEndpoint(method, path)
	}
	if method != "POST" {
		return req, openai.WrongMethod(method, path)
	}
	req.route, req.probe = route, s.isProbe(req.headers.Get(nestorv1.HeaderProbe))
	who, refusal := s.authenticate(req.headers, path, req.probe)
	if refusal != nil {
		return req, refusal
	}
	req.who = who
	if encoding := req.headers.Get("content-encoding"); encoding != "" && encoding != "identity" {
		return req, openai.Invalid("", "the request body has content-encoding "+encoding+": send it uncompressed")
	}
	if m.EndOfStream {
		return req, openai.Invalid("", "the request has no body: send a JSON object")
	}
	return req, nil
}

// identify tells which attempt at which request this is. In band the headers that say so may be the client's own,
// and each attempt is a request.
func (s *Server) identify(h message.Headers) (id string, attempt uint32) {
	if s.Inband {
		return ownID(""), 1
	}
	n, _ := strconv.ParseUint(h.Get(nestorv1.HeaderAttempt), 10, 32)
	return ownID(h.Get(nestorv1.HeaderRequest)), max(uint32(n), 1)
}

func (s *Server) isProbe(secret string) bool {
	return s.ProbeSecret != "" && subtle.ConstantTimeCompare([]byte(secret), []byte(s.ProbeSecret)) == 1
}

func tooManyBodies() *openai.Error {
	return openai.Unavailable("too many large request bodies at once: try again")
}

// choose reads the body and picks the deployment.
func (s *Server) choose(ctx context.Context, req request, body []byte) (*decided, *openai.Error) {
	if refusal := tooLarge(req.who, int64(len(body))); refusal != nil {
		return nil, refusal
	}
	fields, refusal := openai.Scan(body)
	if refusal != nil {
		return nil, refusal
	}
	model := req.route.Model
	if model == "" {
		if model = fields.Model; model == "" {
			return nil, openai.MissingModel()
		}
	}
	if refusal := mayCall(req.who, model, fields); refusal != nil {
		return nil, refusal
	}
	view, next, refusal := s.planOf(req, req.who.Model(model))
	if refusal != nil {
		return nil, refusal
	}
	d := &decided{request: req, fields: fields, model: model, plan: next, snapshot: view.Snapshot(), replica: s.Replica, inband: s.Inband, charged: s.charges(req.who)}
	if err := s.place(ctx, view, d); err != nil {
		if isCaller(err) {
			return nil, s.instead(d, s.noneLeft(d, err))
		}
		return nil, s.noneLeft(d, err)
	}
	if refusal := s.reserveMoney(ctx, d); refusal != nil {
		return nil, s.instead(d, refusal)
	}
	s.countRequest(req)
	outgoing, err := s.Providers.Request(d.pick.Deployment, req.route.Endpoint, d.pick.Model)
	if err != nil {
		s.giveBack(d)
		return nil, refusalOf(err)
	}
	d.outgoing = outgoing
	d.rewrite(body, s.bodies.Buffer())
	return d, nil
}

// place picks a deployment as planned, or from the fallbacks of a group that has nothing to give.
// An error is that of the planned group.
func (s *Server) place(ctx context.Context, view *routing.View, d *decided) (err error) {
	for {
		d.target, _ = view.Snapshot().Resolve(d.plan.Group)
		d.countOn()
		pick, none := s.pickSoon(ctx, view, d)
		if none == nil {
			d.pick = pick
			return nil
		}
		if ctx.Err() != nil || d.callers.refuse(none) {
			return none
		}
		if limit := obstacle(none); limit != nil && !isCaller(none) {
			s.Metrics.denied(d.target.Group, limit.Dimension)
		}
		err = cmp.Or(err, none)
		group, ok := retry.Fallback(view.Snapshot(), d.decision(), routing.RateLimit)
		if !ok || d.request.probe {
			return err
		}
		d.plan = d.plan.FallBack(group)
	}
}

// refusalOf keeps an error that is an answer already.
func refusalOf(err error) *openai.Error {
	var refusal *openai.Error
	if errors.As(err, &refusal) {
		return refusal
	}
	return openai.Unavailable(err.Error())
}

// planOf returns the plan of this attempt and the view it is made on. The first attempt has
// none yet, nor has one whose failure was seen by another replica. Attempts that this one
// knows nothing of count as retries.
func (s *Server) planOf(req request, model string) (*routing.View, retry.Plan, *openai.Error) {
	if req.attempt > 1 {
		if next, ok := s.pending.Get(req.id); ok {
			return s.views.At(next.Snapshot), next.At(req.attempt), nil
		}
	}
	view, number := s.views.Current()
	if _, ok := view.Snapshot().Resolve(model); !ok {
		return nil, retry.Plan{}, openai.UnknownModel(model)
	}
	return view, retry.Plan{Snapshot: number, Group: model}.At(req.attempt), nil
}

// pickSoon picks, a little later where the number in flight alone stands in the way: a request of which nobody has told
// yet that it has ended may take the place.
func (s *Server) pickSoon(ctx context.Context, view *routing.View, d *decided) (routing.Pick, error) {
	p, err := s.pick(ctx, view, d)
	if !inFlightOnly(err) {
		return p, err
	}
	d.plan.Delay, d.plan.Wait = 0, 0 // they are over
	s.waiters.Await(ctx, func() bool {
		p, err = s.pick(ctx, view, d)
		return inFlightOnly(err)
	})
	return p, err
}

// pick chooses a deployment that this request has not tried; when all were tried it
// takes any, after the back-off. Within a group the seed stays, so that a replica that saw
// nothing of some attempts skips what they picked. Nothing is reserved while it waits.
func (s *Server) pick(ctx context.Context, view *routing.View, d *decided) (routing.Pick, error) {
	next := d.plan
	if err := pause(ctx, next.Delay); err != nil {
		return routing.Pick{}, err
	}
	q := routing.Query{Seed: seed(d.request.id, len(next.Groups)), Skip: int(next.Missed), Exclude: next.Tried, Endpoint: uint8(d.request.route.Endpoint), Stream: d.fields.Stream, Hold: s.hold(d), Also: d.callers.also, Counted: d.callers.counted}
	p, err := s.reserve(ctx, view, d, q)
	if err != nil && q.Skip > 0 && !isCaller(err) {
		q.Skip = 0
		p, err = s.reserve(ctx, view, d, q)
	}
	if err == nil || len(next.Tried) == 0 || isCaller(err) {
		return p, err
	}
	if err := pause(ctx, next.Wait-next.Delay); err != nil {
		return routing.Pick{}, err
	}
	q.Seed, q.Skip, q.Exclude = seed(d.request.id, len(next.Groups)+len(next.Tried)), 0, nil
	return s.reserve(ctx, view, d, q)
}

// seed gives the same draws for the same attempt at a request, at every replica that shares no memory.
func seed(id string, attempt int) uint64 {
	const prime = 1099511628211 // FNV-1a, 64 bit
	h := uint64(14695981039346656037)
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * prime
	}
	return (h ^ uint64(attempt)) * prime
}

// timeouts returns what bounds the attempt: the config, or the client's own wish where that is shorter.
func (d *decided) timeouts() (unary, stream time.Duration) {
	unary, stream = d.snapshot.Timeouts(d.pick.Deployment, d.target.Group)
	if wish := wishedTimeout(d.request.headers, d.fields); wish > 0 {
		unary, stream = min(unary, wish), min(stream, wish)
	}
	return unary, stream
}

// wishedTimeout returns how long the client would wait; 0 when it does not say.
func wishedTimeout(h message.Headers, fields *openai.Fields) time.Duration {
	if text := h.Get("x-litellm-timeout"); text != "" {
		if seconds, err := strconv.ParseFloat(strings.TrimSpace(text), 64); err == nil && seconds > 0 && seconds < 1e6 {
			return max(time.Duration(seconds*float64(time.Second)), time.Millisecond)
		}
	}
	if fields.Timeout != nil {
		return *fields.Timeout
	}
	return 0
}

// wishedRetries returns the retries that the client allows, nil when it does not say.
func wishedRetries(h message.Headers, fields *openai.Fields) *uint32 {
	if text := h.Get("x-litellm-num-retries"); text != "" {
		if n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 16); err == nil {
			wish := uint32(n)
			return &wish
		}
	}
	if fields.NumRetries == nil || *fields.NumRetries < 0 {
		return nil
	}
	wish := uint32(min(*fields.NumRetries, 1<<16))
	return &wish
}

// pause waits for the back-off, unless the client leaves first.
func pause(ctx context.Context, wait time.Duration) error {
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
