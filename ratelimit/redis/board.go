package redis

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/nestor-gateway/nestor/ratelimit"
)

// Notice is what one replica has learned about a deployment and all should know.
type Notice struct {
	Kind Kind
	// Deployment is the deployment's id.
	Deployment string
	// Dimension is what a Quota is about; a Cooldown has none.
	Dimension ratelimit.Dimension
	// Left is how long it still holds. 0 takes an earlier notice back.
	Left time.Duration
}

// Kind is what a notice says.
type Kind uint8

// A Cooldown is the time a failing deployment is left alone; a Quota is the time for which a provider has
// said that no more is left of a dimension.
const (
	Cooldown Kind = iota
	Quota
)

const (
	// boardMost bounds what a board holds, of its own and altogether: what ends soonest gives way.
	boardMost = 10_000
	// boardPage bounds what one script handles, so that none holds up the server.
	boardPage = 500
	// boardPoll is how often a board reads although nothing called it: messages can get lost.
	boardPoll = 800 * time.Millisecond
	// boardReview is how many polls apart a board reads everything, and posts again what is missing: a
	// failover can lose what was posted last without a trace.
	boardReview = 5
	// boardGap is the least time between two reads, however many messages call for one.
	boardGap = 20 * time.Millisecond
	// boardWait bounds one call of a script.
	boardWait = 500 * time.Millisecond
	// boardLinger is how long a notice that was taken back, or has ended, can still be read, at least.
	boardLinger = 10 * time.Second
)

// Board is where replicas tell each other, through Redis, which deployments are cooling and which quotas are used up.
// A notice is heard by all others as soon as it is posted, by those that missed it within a second, and by
// later ones while it holds. Of two about the same thing the later one counts. Durations travel, and points
// in time of Redis' clock alone: those of the replicas may differ.
//
// While Redis can't be reached notices wait; then those that still hold are posted.
type Board struct {
	client redis.UniversalClient
	keys   []string
	call   string // the channel on which a post is announced: who hears it reads
	self   string
	heard  func(Notice)
	post   *redis.Script
	read   *redis.Script

	wake chan struct{} // says that something waits to be posted
	stop context.CancelFunc
	done sync.WaitGroup

	mu  sync.Mutex
	own map[topic]*posting

	// Of the loop alone:
	epoch  string           // names the board's life in Redis: another one has forgotten all before
	cursor int64            // the last change that was read
	seen   map[topic]string // the version of each notice that was heard
}

// topic is what a notice is about, as it stands in Redis: "c:ID", or "q0:ID" where 0 is the dimension.
type topic string

func topicOf(n Notice) topic {
	if n.Kind == Cooldown {
		return topic("c:" + n.Deployment)
	}
	return topic("q" + strconv.Itoa(int(n.Dimension)) + ":" + n.Deployment)
}

// notice is false for what a later version of Nestor may post.
func (t topic) notice(left time.Duration) (Notice, bool) {
	kind, deployment, _ := strings.Cut(string(t), ":")
	if kind == "c" {
		return Notice{Kind: Cooldown, Deployment: deployment, Left: left}, true
	}
	number, isQuota := strings.CutPrefix(kind, "q")
	dimension, err := strconv.ParseUint(number, 10, 8)
	if !isQuota || err != nil || dimension >= ratelimit.Dimensions {
		return Notice{}, false
	}
	return Notice{Kind: Quota, Deployment: deployment, Dimension: ratelimit.Dimension(dimension), Left: left}, true
}

// posting is a notice of this replica.
type posting struct {
	until   time.Time
	waiting bool // to be posted
}

// NewBoard joins the board of all replicas that use the same Redis and prefix, DefaultPrefix when empty. self is this replica's id. What others post goes
// to heard, one after the other, never what this one has posted itself; what holds already comes first.
func NewBoard(client redis.UniversalClient, prefix, self string, heard func(Notice)) *Board {
	ctx, stop := context.WithCancel(context.Background())
	b := &Board{
		client: client, keys: boardKeys(prefix), call: keyOf(prefix, "{board}:posted"), self: self, heard: heard,
		post: redis.NewScript(boardPost), read: redis.NewScript(boardRead),
		wake: make(chan struct{}, 1), stop: stop,
		own: map[topic]*posting{}, seen: map[topic]string{},
	}
	b.done.Add(1)
	go b.run(ctx)
	return b
}

// Close leaves the board. Nothing is heard afterwards; what waits to be posted is lost.
func (b *Board) Close() {
	b.stop()
	b.done.Wait()
}

// Publish posts a notice in the background. It never waits.
func (b *Board) Publish(n Notice) {
	b.mu.Lock()
	t := topicOf(n)
	if len(b.own) >= boardMost && b.own[t] == nil {
		b.evict()
	}
	b.own[t] = &posting{until: time.Now().Add(n.Left), waiting: true}
	b.mu.Unlock()
	poke(b.wake)
}

// evict makes room by dropping what ends soonest. b.mu is held.
func (b *Board) evict() {
	var soonest topic
	for t, p := range b.own {
		if soonest == "" || p.until.Before(b.own[soonest].until) {
			soonest = t
		}
	}
	delete(b.own, soonest)
}

// poke is heard once, however often it is done before.
func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// batch returns up to a page of what waits, and takes it for posted.
func (b *Board) batch() map[topic]*posting {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := map[topic]*posting{}
	for t, p := range b.own {
		if p.waiting && len(out) < boardPage {
			p.waiting = false
			out[t] = p
		}
	}
	return out
}

// again makes a batch wait that could not be posted, where nothing newer does.
func (b *Board) again(batch map[topic]*posting) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for t, p := range batch {
		if b.own[t] == p && !p.over() {
			p.waiting = true
		}
	}
}

// over says that a notice has ended for so long that nobody needs to hear of it.
func (p *posting) over() bool { return time.Since(p.until) > boardLinger }

// missing makes this replica's notices wait that still hold and that the board lacks, or has wrong by more
// than a second, as after a failover to a server with another clock. It forgets those that are over, and
// those that another replica's have replaced.
func (b *Board) missing(all map[topic]entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for t, p := range b.own {
		e, there := all[t]
		switch {
		case p.waiting:
		case p.over(), there && e.origin != b.self:
			delete(b.own, t)
		case time.Until(p.until) > 0 && (!there || (e.left-time.Until(p.until)).Abs() > time.Second):
			p.waiting = true
			poke(b.wake)
		}
	}
}
