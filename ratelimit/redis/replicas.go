package redis

import (
	"context"
	"crypto/rand"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// Replica is one process of Nestor, from its start to its end.
type Replica struct {
	// ID is never used again.
	ID string
	// Address is host:port of the gRPC server by which the others reach it.
	Address string
}

// NewID returns an id that no other replica has: 128 random bits.
func NewID() string { return rand.Text() }

const (
	// replicaBeat is how often a replica says that it lives, and reads who else does.
	replicaBeat = time.Second
	// replicaLife is how long after its last beat a replica counts as gone.
	replicaLife = 4 * time.Second
	// replicaMiss is how long a replica counts that Redis does not know any more.
	replicaMiss = 2 * time.Second
	// replicaGap is the least time between two beats, however often an unknown replica is asked for.
	replicaGap = 100 * time.Millisecond
	// replicaWait bounds one beat.
	replicaWait = 500 * time.Millisecond
)

// replicaKeys are in one slot of a cluster: who lives until when, in ms of Redis' clock, and where.
func replicaKeys() []string { return []string{"nestor:{replicas}:until", "nestor:{replicas}:address"} }

// replicaScript is a beat. KEYS: replicaKeys. ARGV: id, address, and how long it holds in ms. It returns id and address of
// all that live or, without an address, have just left. A replica that seems to live for longer has a beat from
// before Redis' clock went back.
const replicaScript = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local untils, addresses, life = KEYS[1], KEYS[2], tonumber(ARGV[3])
redis.call('ZADD', untils, now + life, ARGV[1])
redis.call('HSET', addresses, ARGV[1], ARGV[2])
for _, id in ipairs(redis.call('ZRANGEBYSCORE', untils, '-inf', now)) do
  redis.call('ZREM', untils, id)
  redis.call('HDEL', addresses, id)
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', untils, '(' .. string.format('%.0f', now + life), '+inf')) do
  redis.call('ZADD', untils, now + life, id)
end
redis.call('PEXPIRE', untils, 10 * life)
redis.call('PEXPIRE', addresses, 10 * life)
return redis.call('HGETALL', addresses)
`

// Replicas knows which replicas share a Redis and where they are. Questions are answered from memory: as of a
// second ago, or as of when Redis could last be reached.
type Replicas struct {
	client  redis.UniversalClient
	self    Replica
	script  *redis.Script
	known   atomic.Pointer[map[string]string] // address by id
	missing map[string]time.Time              // since when known ones are not in Redis; of the loop alone
	ask     chan struct{}                     // says that somebody unknown was asked for
	stop    context.CancelFunc
	done    sync.WaitGroup
}

// Join makes a replica known to the others, and them to it, until Close.
func Join(client redis.UniversalClient, self Replica) *Replicas {
	ctx, stop := context.WithCancel(context.Background())
	r := &Replicas{
		client: client, self: self, script: redis.NewScript(replicaScript),
		missing: map[string]time.Time{}, ask: make(chan struct{}, 1), stop: stop,
	}
	r.known.Store(&map[string]string{self.ID: self.Address})
	r.done.Add(1)
	go r.run(ctx)
	return r
}

// Close leaves: the others know within a second. Where Redis can't be reached it takes half a second at most.
func (r *Replicas) Close() {
	r.stop()
	r.done.Wait()
	_, _ = r.beat(context.Background(), "") // else it expires
}

// Self is what was given to Join.
func (r *Replicas) Self() Replica { return r.self }

// Address says where a replica is. An unknown one may have come this very moment: a tenth of a second after the
// question the answer is up to date.
func (r *Replicas) Address(id string) (string, bool) {
	address, ok := (*r.known.Load())[id]
	if !ok {
		poke(r.ask)
	}
	return address, ok
}

// Live is how many replicas live, this one included.
func (r *Replicas) Live() int { return len(*r.known.Load()) }

func (r *Replicas) run(ctx context.Context) {
	defer r.done.Done()
	tick := time.NewTicker(replicaBeat)
	defer tick.Stop()
	for ctx.Err() == nil {
		if all, err := r.beat(ctx, r.self.Address); err == nil {
			r.learn(all)
		}
		pause(ctx, replicaGap)
		select {
		case <-ctx.Done():
		case <-r.ask:
		case <-tick.C:
		}
	}
}

// learn takes what Redis knows. Who is missing there may live: Redis may have forgotten it, until its next beat.
func (r *Replicas) learn(all map[string]string) {
	maps.DeleteFunc(r.missing, func(id string, _ time.Time) bool { _, there := all[id]; return there })
	for id, address := range *r.known.Load() {
		if _, there := all[id]; there {
			continue
		}
		if _, before := r.missing[id]; !before {
			r.missing[id] = time.Now()
		}
		if time.Since(r.missing[id]) < replicaMiss {
			all[id] = address
		} else {
			delete(r.missing, id)
		}
	}
	maps.DeleteFunc(all, func(_, address string) bool { return address == "" })
	all[r.self.ID] = r.self.Address
	r.known.Store(&all)
}

func (r *Replicas) beat(ctx context.Context, address string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, replicaWait)
	defer cancel()
	answer, err := r.script.Run(ctx, r.client, replicaKeys(), r.self.ID, address, replicaLife.Milliseconds()).StringSlice()
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for ; len(answer) > 1; answer = answer[2:] {
		all[answer[0]] = answer[1]
	}
	return all, nil
}
