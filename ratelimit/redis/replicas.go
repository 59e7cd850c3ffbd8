package redis

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
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

// replicaKey, after the prefix, is a hash: until when a replica lives, in ms of Redis' clock, a space and its address, by id.
const replicaKey = "{replicas}"

// replicaScript is a beat. KEYS: replicaKey. ARGV: id, address, and how long it holds in ms. It returns id and address of
// all that live or, without an address, have just left. A replica that seems to live for longer has a beat from
// before Redis' clock went back.
const replicaScript = `
local time = redis.call('TIME')
local now, life = time[1] * 1000 + math.floor(time[2] / 1000), tonumber(ARGV[3])
local all, gone, out = redis.call('HGETALL', KEYS[1]), {}, {ARGV[1], ARGV[2]}
for i = 1, #all, 2 do
  local till, address = string.match(all[i + 1], '^(%d+) (.*)$')
  till = tonumber(till or 0)
  if all[i] == ARGV[1] then
  elseif till <= now or till > now + 2 * life then
    table.insert(gone, all[i])
  else
    table.insert(out, all[i])
    table.insert(out, address)
  end
end
if #gone > 0 then redis.call('HDEL', KEYS[1], unpack(gone, 1, math.min(#gone, 1000))) end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f %s', now + life, ARGV[2]))
redis.call('PEXPIRE', KEYS[1], 10 * life)
return out
`

// Replicas knows which replicas share a Redis and where they are. Questions are answered from memory: as of a
// second ago, or as of when Redis could last be reached.
type Replicas struct {
	client  redis.UniversalClient
	key     string
	self    Replica
	script  *redis.Script
	known   atomic.Pointer[map[string]string] // address by id
	missing map[string]time.Time              // since when known ones are not in Redis; of the loop alone
	ask     chan struct{}                     // says that somebody unknown was asked for
	stop    context.CancelFunc
	done    sync.WaitGroup
}

// Join makes a replica known to the others with that prefix, and them to it, until Close. An empty prefix is DefaultPrefix.
func Join(client redis.UniversalClient, prefix string, self Replica) *Replicas {
	ctx, stop := context.WithCancel(context.Background())
	r := &Replicas{
		client: client, key: keyOf(prefix, replicaKey), self: self, script: redis.NewScript(replicaScript),
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

// IDs returns those of all replicas that live, this one included, in no order.
func (r *Replicas) IDs() []string { return slices.Collect(maps.Keys(*r.known.Load())) }

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
	answer, err := r.script.Run(ctx, r.client, []string{r.key}, r.self.ID, address, replicaLife.Milliseconds()).StringSlice()
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for ; len(answer) > 1; answer = answer[2:] {
		all[answer[0]] = answer[1]
	}
	return all, nil
}
