package redis

import (
	"context"
	"crypto/sha1"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// A script is what a server runs on the state of limits, all of it or nothing.
type script struct{ name, source, sum string }

//go:embed script_beat.lua
var beatSource string

//go:embed script_refresh.lua
var refreshSource string

func newScript(name, source string) *script {
	sum := sha1.Sum([]byte(source))
	return &script{name: name, source: source, sum: hex.EncodeToString(sum[:])}
}

// A call is one script with its arguments, and afterwards its reply: int64 and string alone.
type call struct {
	script *script
	keys   []string
	args   []any
	// load sends the source, which the server then knows.
	load  bool
	reply []any
	err   error
}

// errUnknown is the error of a call whose script the server does not know: it has been started again, or
// it is another one.
var errUnknown = errors.New("the script is not known")

// A server runs calls, all sent at once. Each call has its own error. A call may have been run although it failed.
type server interface {
	run(ctx context.Context, calls []*call)
}

// remote is the server that a client is connected to.
type remote struct{ client redis.UniversalClient }

func (r remote) run(ctx context.Context, calls []*call) {
	commands := make([]*redis.Cmd, len(calls))
	if len(calls) == 1 {
		commands[0] = send(ctx, r.client, calls[0])
	} else {
		pipe := r.client.Pipeline()
		for i, c := range calls {
			commands[i] = send(ctx, pipe, c)
		}
		_, _ = pipe.Exec(ctx) // each command has its own error
	}
	for i, c := range calls {
		c.reply, c.err = commands[i].Slice()
		if redis.HasErrorPrefix(c.err, "NOSCRIPT") {
			c.err = errUnknown
		}
	}
}

func send(ctx context.Context, to redis.Scripter, c *call) *redis.Cmd {
	if c.load {
		return to.Eval(ctx, c.script.source, c.keys, c.args...)
	}
	return to.EvalSha(ctx, c.script.sum, c.keys, c.args...)
}

// A reader takes a reply apart. The first thing that is not as expected is its error.
type reader struct {
	values []any
	err    error
}

func (r *reader) next() any {
	if len(r.values) == 0 {
		r.err = errors.Join(r.err, errors.New("a reply is too short"))
		return nil
	}
	v := r.values[0]
	r.values = r.values[1:]
	return v
}

func (r *reader) number() int64 {
	v := r.next()
	n, ok := v.(int64)
	if !ok && r.err == nil {
		r.err = fmt.Errorf("a reply has %v for a number", v)
	}
	return n
}

func (r *reader) text() string {
	v := r.next()
	s, ok := v.(string)
	if !ok && r.err == nil {
		r.err = fmt.Errorf("a reply has %v for a text", v)
	}
	return s
}
