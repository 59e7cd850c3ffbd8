package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestBodiesHaveTheSizeOfTheirLoad(t *testing.T) {
	for _, l := range loads() {
		body, err := l.body()
		if err != nil {
			t.Fatal(err)
		}
		if len(body) != l.size {
			t.Errorf("%s: %d bytes instead of %d", l.name, len(body), l.size)
		}
	}
}

func TestEventsAreCountedInBytes(t *testing.T) {
	// Two streams arrived, and half of a third.
	got := load{stream: true}.units(tally{Requests: 2, Bytes: 25_000}, 10_000)
	if got != 250 {
		t.Errorf("%v events instead of 250", got)
	}
}

func TestTallyOfWrongAnswersIsAnError(t *testing.T) {
	for _, c := range []struct{ out, want string }{
		{`tally {"requests":7,"bad":1,"why":"503 no \u0022decision\u0022"}`, `of 7 requests 0 failed and 1 were answered wrongly, the first: 503 no "decision"`},
		{`tally {"requests":7,"failed":2,"why":""}`, `of 7 requests 2 failed and 0 were answered wrongly, the first: `},
		{"unable to connect", "wrk did not report:\nunable to connect"},
		{`tally {"requests":0}`, errNoAnswer.Error()},
	} {
		if _, err := read([]byte(c.out)); err == nil || err.Error() != c.want {
			t.Errorf("%s: error %v\nwant %s", c.out, err, c.want)
		}
	}
}

func TestTallyIsRead(t *testing.T) {
	got, err := read([]byte("Running 1s test\ntally {\"requests\":3,\"bytes\":40,\"micros\":5,\"p50\":6,\"p99\":7,\"bad\":0,\"failed\":0,\"why\":\"\"}\n"))
	want := tally{Requests: 3, Bytes: 40, Micros: 5, P50: 6, P99: 7}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("error %v, -want +got:\n%s", err, diff)
	}
}

func TestOnlyWholeStreamsAreComplete(t *testing.T) {
	whole := bytes.Repeat([]byte("data: {}\n\n"), events)
	end := []byte("data: [DONE]\n\n")
	stream := load{stream: true}
	if err := stream.complete(append(bytes.Clone(whole), end...)); err != nil {
		t.Error(err)
	}
	if stream.complete(whole) == nil {
		t.Error("a stream without its end passed")
	}
	if stream.complete(append(bytes.Clone(whole[10:]), end...)) == nil {
		t.Error("a stream with an event missing passed")
	}
}

// costing is a run whose parts cost that much.
func costing(envoy, processor, rate float64) sample {
	return sample{rate: rate, cpu: map[string]float64{envoyPart: envoy, processorPart: processor}, memory: map[string]int64{processorPart: 59e6}}
}

func TestRatiosAreJudgedByTheMedianOfRoundsAndMemoryByTheGreatest(t *testing.T) {
	const load = "1 KB, 16 connections"
	r := results{load: {
		"floor":   {costing(100, 10, 120), costing(200, 10, 120), costing(100, 10, 120)},
		"nestor":  {costing(105, 14, 100), costing(190, 13, 100), costing(150, 20, 100)},
		"litellm": {costing(0, 2000, 10)},
	}}
	for i, bytes := range []int64{58e6, 63e6, 55e6} {
		r[load]["nestor"][i].memory = map[string]int64{processorPart: bytes}
	}
	want := []verdict{
		{"Nestor's CPU over the no-op processor's", "<= 1.35", load, "1.40 (1.30 to 2.00)", false, ""},
		{"Envoy's CPU over the floor's Envoy", "<= 1.10", load, "1.05 (0.95 to 1.50)", true, ""},
		{"Memory of nestor after the loads of 1 KB", "< 60 MB", load, "63 MB (55 MB to 63 MB)", false, ""},
		{"LiteLLM's CPU over Nestor's with its Envoy, a request", ">= 15", load, "11.8, the floor 18.2", false, ""},
		{"Nestor's throughput over LiteLLM's", ">= 12", load, "10.0, the floor 12.0", false, ""},
	}
	if diff := cmp.Diff(want, r.judge(), cmp.AllowUnexported(verdict{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestWhatTheFloorMissesIsBeyondReach(t *testing.T) {
	const load = "1 KB, 1 connection"
	r := results{load: {
		"floor": {costing(100, 100, 120)}, "nestor": {costing(110, 110, 100)}, "litellm": {costing(0, 1000, 10)},
	}}
	for _, v := range r.judge() {
		if litellms := strings.HasPrefix(v.what, "LiteLLM"); (v.beyond == "the floor") != litellms || litellms && v.met {
			t.Errorf("%+v", v)
		}
	}
	if text := summary(r.judge()); !strings.HasSuffix(text, ";\na processor that does nothing, or asks for the usage of streams alone, misses 1 of the others, too.") {
		t.Error(text)
	}
}

func TestAStreamIsHeldAgainstOneWhoseUsageIsAskedFor(t *testing.T) {
	const load = "stream at once, 16 connections"
	for asking, want := range map[float64]verdict{
		105: {value: "1.15, asking 1.05"},
		112: {value: "1.15, asking 1.12", beyond: "asking"},
	} {
		r := results{load: {"floor": {costing(100, 0, 1)}, "asking": {costing(asking, 0, 1)}, "nestor": {costing(115, 0, 1)}}}
		want.what, want.limit, want.load = "CPU of a streamed event over the floor's", "<= 1.10", load
		if diff := cmp.Diff([]verdict{want}, r.judge(), cmp.AllowUnexported(verdict{})); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
}

func TestSlicesCountByWhatWasDoneInThem(t *testing.T) {
	parts := []sample{costing(100, 10, 1000), costing(400, 40, 250)}
	parts[0].units, parts[1].units = 3000, 1000
	parts[0].p50, parts[1].p50 = 2, 4
	want := costing(175, 17.5, 625)
	want.units, want.p50 = 4000, 3
	if diff := cmp.Diff(want, together(parts), cmp.AllowUnexported(sample{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestReportNamesNoPathOfTheMachine(t *testing.T) {
	b := &bench{
		options: options{envoy: "/opt/secret/envoy", nestor: "/opt/secret/nestor", workers: 2},
		tools:   &tools{envoy: "/opt/secret/envoy", versions: map[string]string{"Envoy": "1.40.0"}},
		dir:     "/opt/secret", pace: paceOf(false),
		results: results{"1 KB, 1 connection": {"nestor": {costing(1, 2, 3)}}},
	}
	text, err := b.report()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text, "/opt/") {
		t.Errorf("a path in the report:\n%s", text)
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 2, 9}, 3}} {
		if got := median(c.values); got != c.want {
			t.Errorf("median of %v: %v", c.values, got)
		}
	}
}

func TestSkippedSubjects(t *testing.T) {
	o := options{skip: "plain, litellm"}
	if !o.skips("litellm") || !o.skips("plain") || o.skips("floor") {
		t.Error("-skip is read wrongly")
	}
}

func TestStreamsEndWithinTheirRuns(t *testing.T) {
	for _, p := range []pace{paceOf(true), paceOf(false)} {
		for _, l := range loads() {
			if d := l.atLeast(p.light.run); d < 2*events*l.gap {
				t.Errorf("%s: a run of %v", l.name, d)
			}
		}
	}
}

func TestCommandsOfScriptsAreNotCounted(t *testing.T) {
	c := commands{}
	for _, line := range []string{
		"# Commandstats", "cmdstat_evalsha:calls=12,usec=80,usec_per_call=6.67,rejected_calls=0,failed_calls=0", "cmdstat_time:calls=9,usec=1",
		"cmdstat_client|setname:calls=2,usec=5", "",
	} {
		c.add(line)
	}
	if diff := cmp.Diff(commands{"evalsha": 12, "client|setname": 2}, c); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if n := c.since(commands{"evalsha": 4, "client|setname": 2}); n != 8 {
		t.Errorf("%d since, want 8", n)
	}
}

func TestLimitsInRedisAreJudged(t *testing.T) {
	const ms = time.Millisecond
	slow := shared{rate: rates()[0], memory: []time.Duration{ms, ms, ms}, redis: []time.Duration{ms, 3 * ms / 2, 5 * ms / 4}, requests: 100, commands: 31}
	fast := shared{rate: rates()[1], requests: 1000, commands: 50}
	want := []verdict{
		{"What Redis adds to p50, over limits in memory", "<= 0.2 ms", "rpm 6000, 1 connection", "0.25 ms (0.00 to 0.50)", false, ""},
		{"Commands to Redis, a request and limit", "<= 0.30", "rpm 6000", "0.310", false, ""},
		{"Commands to Redis, a request and limit", "<= 0.05", "rpm 60000", "0.050", true, ""},
	}
	if diff := cmp.Diff(want, judgeShared([]shared{slow, fast}), cmp.AllowUnexported(verdict{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestATempoIsNineTenthsOfItsLimit(t *testing.T) {
	for _, r := range rates() {
		if n := float64(r.connections) * time.Minute.Seconds() / r.every().Seconds(); n > 0.9*float64(r.rpm)+1 || n < 0.9*float64(r.rpm)-1 {
			t.Errorf("%v requests a minute for a limit of %d", n, r.rpm)
		}
	}
}

func TestEveryLimitStandsEverywhere(t *testing.T) {
	text := limited("127.0.0.1:1")
	for _, name := range []string{"rpm", "tpm", "max_parallel_requests"} {
		if n := strings.Count(text, name+":"); n != 6 {
			t.Errorf("%s: %d times, want on three deployments, two references and a group:\n%s", name, n, text)
		}
	}
	for _, text := range []string{nested("127.0.0.1:1"), flat("127.0.0.1:1")} {
		if strings.Contains(text, "rpm") || strings.Count(text, "weight:") != 3 {
			t.Errorf("limits, or no weights, in\n%s", text)
		}
	}
}
