package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

const (
	kilobyte = 1000
	// events are those of a stream before [DONE]: words and the one that finishes.
	events = 100
	// masterKey is the clients' credential where there are no others.
	masterKey = "sk-bench"
	chatPath  = "/v1/chat/completions"
)

// load is one way to ask.
type load struct {
	name        string
	size        int // bytes of the request's body
	connections int
	stream      bool
	gap         time.Duration // between two events
	// idle: so few events that what a processor does between them outweighs them. Only for latency.
	idle bool
	key  string // the clients' credential, where it is not the master key
	// usage: streams have a usage event beside the others.
	usage bool
}

// of is the load as a subject gets and answers it.
func (l load) of(s *subject) load {
	l.key, l.usage = s.key, s.usage
	return l
}

// sent is how many events a whole stream has.
func (l load) sent() int {
	if l.usage {
		return events + 1
	}
	return events
}

func (l load) credential() string { return cmp.Or(l.key, masterKey) }

// loads are in the order of their runs: what grows memory comes last.
func loads() []load {
	const gap = 10 * time.Millisecond
	return []load{
		{name: "1 KB, 1 connection", size: kilobyte, connections: 1},
		{name: "1 KB, 16 connections", size: kilobyte, connections: 16},
		{name: "100 KB, 1 connection", size: 100 * kilobyte, connections: 1},
		{name: "100 KB, 16 connections", size: 100 * kilobyte, connections: 16},
		{name: "stream at once, 1 connection", size: kilobyte, connections: 1, stream: true},
		{name: "stream at once, 16 connections", size: kilobyte, connections: 16, stream: true},
		{name: "stream every 10 ms, 1 connection", size: kilobyte, connections: 1, stream: true, gap: gap, idle: true},
		{name: "stream every 10 ms, 16 connections", size: kilobyte, connections: 16, stream: true, gap: gap},
	}
}

// unit is what the cost is divided by.
func (l load) unit() string {
	if l.stream {
		return "event"
	}
	return "request"
}

// one is the time in which a stream comes to its end, with half as much to spare.
func (l load) one() time.Duration { return 3 * events * l.gap / 2 }

// atLeast is d, or the time for two streams.
func (l load) atLeast(d time.Duration) time.Duration { return max(d, l.one()+events*l.gap) }

// slices is into how many a run is cut: those of slow streams are long as they are.
func (l load) slices(most int) int {
	if l.gap > 0 {
		return min(most, 4)
	}
	return most
}

// body is a chat of exactly l.size bytes whose text has what JSON must escape. The plan of the mock
// rides in `user`, which every gateway passes on.
func (l load) body() ([]byte, error) {
	b, err := l.filled("")
	if err != nil {
		return nil, err
	}
	missing := l.size - len(b)
	if missing < 0 {
		return nil, fmt.Errorf("a body of %d bytes is too small for %q", l.size, l.name)
	}
	return l.filled(prose(missing))
}

func (l load) filled(last string) ([]byte, error) {
	type message struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	}
	plan := fmt.Sprintf("mock:events=%d", events-1)
	if l.gap > 0 {
		plan += ";gap=" + l.gap.String()
	}
	messages := []message{{"system", "You are a careful assistant."}}
	for range l.size / (5 * kilobyte) {
		messages = append(messages, message{"user", prose(2 * kilobyte)}, message{"assistant", prose(2 * kilobyte)})
	}
	return json.Marshal(struct {
		Model       string    `json:"model"`
		Temperature float64   `json:"temperature"`
		Stream      bool      `json:"stream"`
		User        string    `json:"user"`
		Messages    []message `json:"messages"`
	}{"fast", 0.2, l.stream, plan, append(messages, message{"user", last})})
}

// prose is text that takes exactly that many bytes inside a JSON string.
func prose(size int) string {
	const (
		sentence = "They said \"no answer waits for us\",\nand the bytes went on their way. "
		written  = len(sentence) + 3 // two quotes and a newline are escaped
	)
	return strings.Repeat(sentence, size/written) + strings.Repeat("x", size%written)
}

// series is how often and how long something is measured; warm passes before, uncounted. A run is cut into slices, in which
// the subjects take turns: the machine is not as fast in one second as in the next.
type series struct {
	rounds, slices int
	warm, run      time.Duration
}

// pace is how long everything takes.
type pace struct {
	light, litellm, shared series
	// settle passes after a run before the CPU is read.
	settle time.Duration
	// How long the subjects may take to start, and how long LiteLLM's last worker after its first.
	startup, litellmStartup, litellmSettle time.Duration
}

func paceOf(quick bool) pace {
	p := pace{
		light:   series{rounds: 5, slices: 8, warm: time.Second, run: 8 * time.Second},
		litellm: series{rounds: 2, slices: 1, warm: 2 * time.Second, run: 4 * time.Second},
		shared:  series{warm: 65 * time.Second, run: 20 * time.Second},
		settle:  150 * time.Millisecond, startup: 30 * time.Second,
		litellmStartup: 3 * time.Minute, litellmSettle: 5 * time.Second,
	}
	if quick {
		p.light = series{rounds: 2, slices: 2, warm: 300 * time.Millisecond, run: time.Second}
		p.litellm = series{rounds: 1, slices: 1, warm: 1500 * time.Millisecond, run: 2500 * time.Millisecond}
		p.shared = series{warm: 5 * time.Second, run: 5 * time.Second}
	}
	return p
}
