package envoy

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	gzipv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/compression/gzip/decompressor/v3"
	decompressorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/decompressor/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nestor-gateway/nestor/envoy/message"
)

// maxInflateRatio is what gzip can reach at most, for Envoy ends an answer beyond it as if it were whole.
// For brotli and zstd the bound is 100 and can't be set; answers in those pass as they are, and count what was reserved.
const maxInflateRatio = 1032

// decompressor unpacks the answer of an upstream that compresses in spite of `accept-encoding: identity`, so
// that its usage can be read and its usage event taken out. Others pass it by.
//
// It adds trailers, and Envoy 1.40 never ends an answer that gets trailers in the same pass in which a later
// filter holds its data. So an answer meets it after json_to_metadata and the failure exchange, which hold
// bodies, and the usage of compressed JSON is read by filter.lua.
func decompressor() *hcmv3.HttpFilter {
	return httpFilter("envoy.filters.http.decompressor", &decompressorv3.Decompressor{
		DecompressorLibrary: message.Extension("envoy.compression.gzip.decompressor", &gzipv3.Gzip{
			MaxInflateRatio: wrapperspb.UInt32(maxInflateRatio),
		}),
		RequestDirectionConfig: &decompressorv3.Decompressor_RequestDirectionConfig{
			CommonConfig: &decompressorv3.Decompressor_CommonDirectionConfig{Enabled: &corev3.RuntimeFeatureFlag{
				DefaultValue: wrapperspb.Bool(false), RuntimeKey: "nestor.decompress_requests",
			}},
			AdvertiseAcceptEncoding: wrapperspb.Bool(false),
		},
		ResponseDirectionConfig: &decompressorv3.Decompressor_ResponseDirectionConfig{
			// The client could have been sent the plain answer as well.
			CommonConfig: &decompressorv3.Decompressor_CommonDirectionConfig{IgnoreNoTransformHeader: true},
		},
	})
}
