// Package ending tells what an attempt came to, from its access log entry: how it ended, how far it got, what it
// used and how fast it was.
package ending

import (
	"strings"
	"time"

	"github.com/nestor-gateway/nestor/extproc/entries"
	"github.com/nestor-gateway/nestor/extproc/openai"
	nestorv1 "github.com/nestor-gateway/nestor/proto/nestor/v1"
	"github.com/nestor-gateway/nestor/routing"
)

// Entry is what an access log entry says about an attempt.
type Entry struct {
	Decision *nestorv1.Decision
	Group    string // bounded by the config; "" when it is no longer there
	Model    string // as written in the config; "" when it is no longer there
	Status   int    // 0: no answer reached the client
	Aborted  bool   // the client left
	Cut      bool   // the upstream broke the answer off
	Details  string // Envoy's response code details
	Unsent   bool   // nothing of the request went to an upstream
	Sent     int64  // bytes of the answer's body
	Packed   bool   // they are compressed
	Duration time.Duration
	Whole    time.Duration // from the request to the end of the answer at the upstream; 0 is unknown
	First    time.Duration // from the request to the first piece of a stream
	Reason   string        // why a connection could not be made
	Retried  bool          // another attempt follows
	Usage    Usage
}

// Read takes what is needed from an access log entry.
func Read(line *entries.Entry, d *nestorv1.Decision) Entry {
	e := Entry{
		Decision: d,
		Status:   int(line.Code),
		Aborted:  line.Flags.DownstreamRemoteReset || line.Flags.DownstreamConnectionTermination,
		Cut:      isCut(line),
		Details:  line.Details,
		Unsent:   !line.FirstSent.Said(),
		Sent:     int64(line.Body),
		Packed:   IsPacked(line.Coding),
		Duration: line.Duration.Duration(),
		Reason:   line.Reason,
		Retried:  line.Retry,
		Usage:    ReadUsage(line.Usage),
	}
	if begin := line.FirstSent.Duration(); begin > 0 {
		e.Whole = line.LastReceived.Duration() - begin
		if d.Stream {
			e.First = firstEvent(line) - begin
		}
	}
	return e
}

// IsPacked reports whether an answer with this content-encoding is compressed.
func IsPacked(coding string) bool { return coding != "" && coding != "identity" }

// isCut reports whether the upstream broke off, or fell silent, after its headers.
func isCut(line *entries.Entry) bool {
	f := line.Flags
	return f.UpstreamRemoteReset || f.UpstreamConnectionTermination || f.UpstreamProtocolError || f.StreamIdleTimeout ||
		strings.HasPrefix(line.Details, "upstream_reset_after_response_started")
}

// Outcome is how an attempt ended, as metrics and logs name it.
type Outcome string

// The outcomes.
const (
	Success Outcome = "success"
	Failure Outcome = "failure"
	Cut     Outcome = "cut"   // it broke off after its headers
	Abort   Outcome = "abort" // the client left
)

// Outcome is how the attempt ended.
func (e Entry) Outcome() Outcome {
	switch {
	case e.Aborted:
		return Abort
	case e.Status < 200 || e.Status > 299:
		return Failure
	case e.Cut:
		return Cut
	default:
		return Success
	}
}

// Sample is how fast the attempt was, by the upstream's own times, without the decision and the back-off before
// it. False where the attempt tells nothing about its deployment.
func (e Entry) Sample() (routing.Sample, bool) {
	sample := routing.Sample{Deployment: e.Decision.Deployment}
	switch e.Outcome() {
	case Abort:
		return sample, false
	case Success:
		sample.Whole, sample.FirstToken, sample.Completion = e.Whole, e.First, e.Usage.Completion
		return sample, e.Whole > 0
	}
	sample.Failed = true
	switch openai.Classify(e.Status, openai.ErrorBody{}) {
	case routing.RateLimit:
		return sample, false // no fault: what is left of its quota is kept elsewhere
	case routing.BadRequest, routing.NotFound, routing.ContextWindow, routing.ContentPolicy:
		return sample, e.Outcome() == Cut // the others are the request's own fault
	}
	return sample, true
}

// firstEvent is when the first piece of a stream came, from the beginning of the attempt: by the Lua filter's
// clock, which knows whole milliseconds, and not before its headers.
func firstEvent(line *entries.Entry) time.Duration {
	headers, ms := line.FirstReceived.Duration(), line.Usage.FirstEvent
	if !(ms > 0) || !line.Start.Said() {
		return headers
	}
	return max(headers, time.UnixMilli(int64(ms)).Sub(line.Start.Time()))
}
