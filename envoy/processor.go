package envoy

import (
	xdscorev3 "github.com/cncf/xds/go/xds/core/v3"
	xdsmatcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	matchingv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/matching/v3"
	actionv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/matcher/action/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	envoymatcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nestor-gateway/nestor/envoy/cluster"
	"github.com/nestor-gateway/nestor/envoy/message"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
)

// decisionFilter asks for the decision about an attempt, with the whole request body. A
// processor that dies before it fails the attempt; the local reply then asks for another.
func decisionFilter() *hcmv3.HttpFilter {
	p := processor("decision")
	p.ProcessingMode.RequestHeaderMode = extprocv3.ProcessingMode_SEND
	p.ProcessingMode.RequestBodyMode = extprocv3.ProcessingMode_BUFFERED
	p.MetadataOptions = &extprocv3.MetadataOptions{ReceivingNamespaces: decisionNamespace()}
	return httpFilter("nestor.decision", p)
}

// failureFilter shows the processor an attempt that failed. It sees no success, no answer of
// the processor itself, and none that is to be retried already.
func failureFilter() *hcmv3.HttpFilter {
	p := processor("failure")
	p.ProcessingMode.ResponseHeaderMode = extprocv3.ProcessingMode_SEND
	p.ProcessingMode.ResponseBodyMode = extprocv3.ProcessingMode_BUFFERED
	p.MetadataOptions = &extprocv3.MetadataOptions{ForwardingNamespaces: decisionNamespace()}
	p.FailureModeAllow = true
	// Tells an upstream's answer from Envoy's own, and why Envoy made it.
	p.ResponseAttributes = []string{"response.code_details"}
	return httpFilter("envoy.filters.http.match_delegate", &matchingv3.ExtensionWithMatcher{
		ExtensionConfig: message.Extension("nestor.failure", p),
		XdsMatcher: skipWhen(
			isExactly(input("status", &envoymatcherv3.HttpResponseStatusCodeClassMatchInput{}), "2xx"),
			isThere(nestorv1.HeaderRefusal),
			isThere(nestorv1.HeaderRetry),
		),
	})
}

// processor is an ext_proc filter that sends nothing yet.
func processor(statPrefix string) *extprocv3.ExternalProcessor {
	service := message.GRPC(cluster.ProcessorName)
	service.Timeout = message.MS(0)
	return &extprocv3.ExternalProcessor{
		GrpcService: service,
		StatPrefix:  statPrefix,
		ProcessingMode: &extprocv3.ProcessingMode{
			RequestHeaderMode:   extprocv3.ProcessingMode_SKIP,
			ResponseHeaderMode:  extprocv3.ProcessingMode_SKIP,
			RequestTrailerMode:  extprocv3.ProcessingMode_SKIP,
			ResponseTrailerMode: extprocv3.ProcessingMode_SKIP,
		},
		// Back-off is held in the decision's reply, 2 s at most.
		MessageTimeout: message.MS(5000),
		MutationRules: &mutationv3.HeaderMutationRules{
			AllowAllRouting: wrapperspb.Bool(true),
			AllowEnvoy:      wrapperspb.Bool(true),
		},
	}
}

func decisionNamespace() *extprocv3.MetadataOptions_MetadataNamespaces {
	return &extprocv3.MetadataOptions_MetadataNamespaces{Untyped: []string{nestorv1.Namespace}}
}

// skipWhen passes a filter by when any of the conditions holds.
func skipWhen(any ...*xdsmatcherv3.Matcher_MatcherList_Predicate) *xdsmatcherv3.Matcher {
	return &xdsmatcherv3.Matcher{MatcherType: &xdsmatcherv3.Matcher_MatcherList_{MatcherList: &xdsmatcherv3.Matcher_MatcherList{
		Matchers: []*xdsmatcherv3.Matcher_MatcherList_FieldMatcher{{
			Predicate: &xdsmatcherv3.Matcher_MatcherList_Predicate{
				MatchType: &xdsmatcherv3.Matcher_MatcherList_Predicate_OrMatcher{
					OrMatcher: &xdsmatcherv3.Matcher_MatcherList_Predicate_PredicateList{Predicate: any},
				},
			},
			OnMatch: &xdsmatcherv3.Matcher_OnMatch{OnMatch: &xdsmatcherv3.Matcher_OnMatch_Action{
				Action: input("skip", &actionv3.SkipFilter{}),
			}},
		}},
	}}}
}

func isThere(header string) *xdsmatcherv3.Matcher_MatcherList_Predicate {
	return is(
		input(header, &envoymatcherv3.HttpResponseHeaderMatchInput{HeaderName: header}),
		&xdsmatcherv3.StringMatcher{MatchPattern: &xdsmatcherv3.StringMatcher_SafeRegex{SafeRegex: &xdsmatcherv3.RegexMatcher{
			EngineType: &xdsmatcherv3.RegexMatcher_GoogleRe2{GoogleRe2: &xdsmatcherv3.RegexMatcher_GoogleRE2{}},
			Regex:      ".*",
		}}},
	)
}

func isExactly(in *xdscorev3.TypedExtensionConfig, value string) *xdsmatcherv3.Matcher_MatcherList_Predicate {
	return is(in, &xdsmatcherv3.StringMatcher{MatchPattern: &xdsmatcherv3.StringMatcher_Exact{Exact: value}})
}

func is(in *xdscorev3.TypedExtensionConfig, value *xdsmatcherv3.StringMatcher) *xdsmatcherv3.Matcher_MatcherList_Predicate {
	return &xdsmatcherv3.Matcher_MatcherList_Predicate{
		MatchType: &xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate_{
			SinglePredicate: &xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate{
				Input:   in,
				Matcher: &xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate_ValueMatch{ValueMatch: value},
			},
		},
	}
}

// input names a part of a matcher. The matching API has its own type for that.
func input(name string, m proto.Message) *xdscorev3.TypedExtensionConfig {
	return &xdscorev3.TypedExtensionConfig{Name: name, TypedConfig: message.Pack(m)}
}
