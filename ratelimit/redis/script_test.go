package redis

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	goredis "github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/nestor-gateway/nestor/ratelimit/redis/redistest"
)

// differ is a real Redis, whose time a test moves, and the model.
type differ struct {
	client  *goredis.Client
	model   *model
	now     int64
	scripts map[string]*script
	// What the replicas would know.
	epoch   string
	past    string // the epoch before
	version int64
	seq     [3]int64
	old     *call
}

// posed is a script that takes from keys what the server would say of itself.
func posed(name, source string) *script {
	return newScript(name, strings.NewReplacer(
		"redis.call('TIME')", "redis.call('MGET', 'seconds', 'micros')",
		"redis.call('INFO', 'server')", "redis.call('GET', 'server')",
		"redis.call('INFO', 'stats')", "redis.call('GET', 'stats')").Replace(source))
}

func newDiffer(client *goredis.Client) *differ {
	d := &differ{client: client, now: 1_700_000_000_000_000,
		scripts: map[string]*script{"beat": posed("beat", beatSource), "refresh": posed("refresh", refreshSource)}}
	d.model = newModel(func() int64 { return d.now })
	d.model.run_ = regexp.MustCompile("run_id:([0-9a-f]+)").FindStringSubmatch(client.Info(context.Background(), "server").Val())[1]
	client.FlushAll(context.Background())
	return d
}

// both runs a call at both, and compares the replies.
func (d *differ) both(t *rapid.T, c call) []any {
	d.client.MSet(context.Background(), "seconds", d.now/1e6, "micros", d.now%1e6,
		"server", fmt.Sprintf("run_id:%s\r\nserver_time_usec:%d\r\n", d.model.run_, d.now),
		"stats", fmt.Sprintf("evicted_keys:%d\r\n", d.model.evicted))
	c.load, c.script = true, d.scripts[c.script.name]
	real := c
	d.model.run(context.Background(), []*call{&c})
	remote{d.client}.run(context.Background(), []*call{&real})
	if real.err != nil {
		t.Fatal(real.err)
	}
	if diff := cmp.Diff(sorted(c), sorted(real)); diff != "" {
		t.Fatalf("%s%v: the model differs from Redis:\n%s", c.script.name, c.args, diff)
	}
	return real.reply
}

// sorted is a reply without the order of the replicas in it.
func sorted(c call) any {
	const fixed, each = 8, 6
	if c.script.name != "beat" || len(c.reply) < fixed {
		return c.reply
	}
	replicas := map[string]any{}
	for i := fixed; i < len(c.reply); i += each {
		replicas[fmt.Sprint(c.reply[i])] = c.reply[i+1 : i+each]
	}
	return []any{c.reply[:fixed], replicas}
}

const second = 1_000_000

func (d *differ) beat(t *rapid.T) {
	low, high := d.bounds(t)
	args := []any{d.replica(t), fmt.Sprint("epoch", d.now, rapid.IntRange(0, 9).Draw(t, "candidate")),
		rapid.SampledFrom([]string{d.epoch, d.epoch, d.epoch, "", "other"}).Draw(t, "known"), "address",
		low, high, max(0, d.version-rapid.Int64Range(0, 1).Draw(t, "behind"))}
	for _, name := range []string{"done", "fresh", "back", "leave", "proper"} {
		args = append(args, flag(rapid.IntRange(0, 4).Draw(t, name) == 0))
	}
	gone := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 1).Draw(t, "gone")
	args = append(args, 60*second, second/4, 3*second, 5*second, rapid.Int64Range(-1, 80*second).Draw(t, "heard"),
		rapid.Int64Range(0, 3).Draw(t, "most"), rapid.IntRange(0, 1).Draw(t, "shares"), len(gone))
	for _, id := range gone {
		args = append(args, id)
	}
	for range rapid.IntRange(0, 2).Draw(t, "list") {
		args = append(args, d.replica(t), rapid.Int64Range(0, 90*second).Draw(t, "age"), rapid.IntRange(0, 1).Draw(t, "needed"),
			rapid.Int64Range(0, 90*second).Draw(t, "heard age"), rapid.Int64Range(1, 3).Draw(t, "its most"),
			rapid.IntRange(0, 1).Draw(t, "left"), "elsewhere")
	}
	reply := d.both(t, call{script: d.scripts["beat"], keys: []string{"rl:{0}"}, args: args})
	if epoch := reply[1].(string); epoch != d.epoch {
		d.past, d.epoch = d.epoch, epoch
	}
	d.version = reply[2].(int64)
}

func (d *differ) replica(t *rapid.T) string {
	return rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "replica")
}

func (d *differ) bounds(t *rapid.T) (low, high int64) {
	if rapid.IntRange(0, 9).Draw(t, "bounded") == 0 {
		low = d.now + rapid.Int64Range(-second, second).Draw(t, "low")
		return low, low + rapid.Int64Range(0, second/10).Draw(t, "high")
	}
	return -1, -1
}

func (d *differ) refresh(t *rapid.T) {
	i := rapid.IntRange(0, 2).Draw(t, "replica")
	low, high := d.bounds(t)
	d.seq[i] = max(1, d.seq[i]+rapid.SampledFrom([]int64{0, 1, 1, 1, 1, -1}).Draw(t, "seq"))
	small := func(name string) int64 { return rapid.Int64Range(0, 20).Draw(t, name) }
	most := func(name string) int64 { return rapid.Int64Range(-1, 60).Draw(t, name) }
	epoch := rapid.SampledFrom([]string{d.epoch, d.epoch, d.epoch, d.epoch, d.epoch, d.epoch, d.epoch, "other", d.past}).Draw(t, "epoch")
	args := []any{string("abc"[i]), epoch, d.seq[i], max(0, d.seq[i]-rapid.Int64Range(0, 3).Draw(t, "known")), low, high,
		60 * second, second / 4, second / 4, 3 * second, 5 * second,
		most("rpm"), most("tpm"), most("parallel"), small("want"), small("tokens"), small("slots"),
		small("need"), small("need tokens"), small("keep"), small("keep tokens"), small("held"),
		rapid.IntRange(0, 1).Draw(t, "share")}
	for range rapid.IntRange(0, 3).Draw(t, "deltas") {
		args = append(args, (d.now-rapid.Int64Range(-second, 70*second).Draw(t, "ago"))/(second/4),
			rapid.Int64Range(-3, 9).Draw(t, "used"), rapid.Int64Range(-3, 9).Draw(t, "used tokens"))
	}
	d.old = &call{script: d.scripts["refresh"], keys: []string{"rl:{0}", "rl:{0}x"}, args: args}
	d.both(t, *d.old)
}

func (d *differ) again(t *rapid.T) {
	if d.old == nil {
		t.Skip()
	}
	d.both(t, *d.old)
}

func (d *differ) pass(t *rapid.T) {
	d.now += rapid.OneOf(rapid.Int64Range(0, second), rapid.Int64Range(0, 20*second), rapid.Just(int64(-2*second))).Draw(t, "time")
}

func (d *differ) flush(t *rapid.T) {
	if rapid.IntRange(0, 20).Draw(t, "flush") == 0 {
		d.client.FlushAll(context.Background())
		d.model.flush()
	}
}

// become makes the server another one, or one that was short of memory.
func (d *differ) become(t *rapid.T) {
	switch rapid.IntRange(0, 9).Draw(t, "becomes") {
	case 0:
		d.model.run_ = newRun()
	case 1:
		d.client.Del(context.Background(), "rl:{0}x")
		d.model.evict("rl:{0}x")
	}
}

func TestScriptsDoWhatTheModelDoes(t *testing.T) {
	server := redistest.Single(t)
	client := server.Client()
	rapid.Check(t, func(t *rapid.T) {
		d := newDiffer(client)
		t.Repeat(map[string]func(*rapid.T){
			"beat": d.beat, "refresh": d.refresh, "refresh ": d.refresh, "refresh  ": d.refresh,
			"again": d.again, "time": d.pass, "flush": d.flush, "become": d.become,
		})
	})
}
