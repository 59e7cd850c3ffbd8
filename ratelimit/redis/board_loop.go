package redis

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// boardKeys are in one slot of a cluster.
func boardKeys(prefix string) []string {
	var keys []string
	for _, part := range []string{"meta", "until", "changes", "notices"} {
		keys = append(keys, keyOf(prefix, "{board}:"+part))
	}
	return keys
}

// boardPost posts notices. KEYS: boardKeys. ARGV: a name for the board's life if it has none, the poster,
// the channel, the most notices, how long an ended one lingers in ms, then topic and ms left of each notice.
//
// meta has the epoch and the number of the last change; until is when each topic can be dropped, in ms of the
// server's clock; changes is the number of each topic's last change; notices is "end origin" by topic.
const boardPost = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local meta, untils, changes, notices = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
redis.call('HSETNX', meta, 'epoch', ARGV[1])
for i = 6, #ARGV, 2 do
  local left = tonumber(ARGV[i + 1])
  local change = redis.call('HINCRBY', meta, 'change', 1)
  redis.call('HSET', notices, ARGV[i], string.format('%.0f %s', now + left, ARGV[2]))
  redis.call('ZADD', untils, now + math.max(left, tonumber(ARGV[5])), ARGV[i])
  redis.call('ZADD', changes, change, ARGV[i])
end
local function drop(topics)
  for _, topic in ipairs(topics) do
    redis.call('HDEL', notices, topic)
    redis.call('ZREM', untils, topic)
    redis.call('ZREM', changes, topic)
  end
end
drop(redis.call('ZRANGEBYSCORE', untils, '-inf', now, 'LIMIT', 0, 1000))
local over = redis.call('ZCARD', untils) - tonumber(ARGV[4])
if over > 0 then drop(redis.call('ZRANGE', untils, 0, over - 1)) end
local last = redis.call('ZRANGE', untils, -1, -1, 'WITHSCORES')
local life = 60000
if last[2] then life = life + math.max(0, tonumber(last[2]) - now) end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, string.format('%.0f', life)) end
redis.pcall('PUBLISH', ARGV[3], '') -- who may not announce is found by the others' polls
return 1
`

// boardRead reads a page of what has changed. KEYS: boardKeys. ARGV: the epoch that the reader knows, the last
// change that it has read in it, and the most to read. It returns the epoch, the last change read, whether
// there may be more, and topic, version, ms left and origin of each notice. A failover can bring the number of a
// change a second time; the version has the end as well.
const boardRead = `
local changes, notices, cursor, most = KEYS[3], KEYS[4], ARGV[2], tonumber(ARGV[3])
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'change')
local epoch, last = meta[1] or '', meta[2] or '0'
if epoch == ARGV[1] and last == cursor then return {epoch, cursor, ''} end
if epoch ~= ARGV[1] or tonumber(last) < tonumber(cursor) then cursor = '0' end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local page = redis.call('ZRANGEBYSCORE', changes, '(' .. cursor, '+inf', 'WITHSCORES', 'LIMIT', 0, most)
local out = {epoch, page[#page] or cursor, #page == 2 * most and '1' or ''}
for i = 1, #page, 2 do
  local till, origin = string.match(redis.call('HGET', notices, page[i]) or '', '^(%S+) (.*)$')
  if till then
    table.insert(out, page[i])
    table.insert(out, page[i + 1] .. ' ' .. till)
    table.insert(out, string.format('%.0f', math.max(0, tonumber(till) - now)))
    table.insert(out, origin)
  end
end
return out
`

// run posts and reads until the context ends.
func (b *Board) run(ctx context.Context) {
	defer b.done.Done()
	calls := b.client.Subscribe(ctx, b.call)
	defer calls.Close()
	called := calls.Channel(redis.WithChannelSize(1), redis.WithChannelSendTimeout(time.Millisecond))
	poll := time.NewTicker(boardPoll)
	defer poll.Stop()
	for turn, review := 0, true; ctx.Err() == nil; {
		posted := b.flush(ctx)
		read := b.catchUp(ctx, review)
		review = !posted || !read
		select {
		case <-ctx.Done():
		case <-b.wake:
		case <-called:
			pause(ctx, boardGap)
		case <-poll.C:
			turn++
			review = review || turn%boardReview == 0
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// flush posts what waits, and reports whether Redis took it.
func (b *Board) flush(ctx context.Context) bool {
	for batch := b.batch(); len(batch) > 0; batch = b.batch() {
		if err := b.send(ctx, batch); err != nil {
			b.again(batch)
			return false
		}
	}
	return true
}

func (b *Board) send(ctx context.Context, batch map[topic]*posting) error {
	ctx, cancel := context.WithTimeout(ctx, boardWait)
	defer cancel()
	args := []any{NewID(), b.self, b.call, boardMost, boardLinger.Milliseconds()}
	for t, p := range batch {
		args = append(args, string(t), max(0, time.Until(p.until).Milliseconds()))
	}
	return b.post.Run(ctx, b.client, b.keys, args...).Err()
}

// entry is a notice as the board has it.
type entry struct {
	topic   topic
	version string
	left    time.Duration
	origin  string
}

// catchUp reads what has changed, or in a review everything, and reports whether Redis answered.
func (b *Board) catchUp(ctx context.Context, review bool) bool {
	if review {
		b.cursor = 0
	}
	whole, all := b.cursor == 0, map[topic]entry{}
	for more := true; more; {
		page, err := b.page(ctx)
		if err != nil {
			return false
		}
		if page.epoch != b.epoch || page.cursor < b.cursor { // read from its beginning, whatever was asked
			whole, b.epoch = true, page.epoch
			clear(all)
			clear(b.seen)
		}
		for _, e := range page.entries {
			all[e.topic] = e
			b.hear(ctx, e)
		}
		b.cursor, more = page.cursor, page.more
	}
	if whole {
		b.reviewed(all)
	}
	return true
}

// reviewed compares the whole board with what this replica knows.
func (b *Board) reviewed(all map[topic]entry) {
	for t := range b.seen {
		if _, there := all[t]; !there {
			delete(b.seen, t)
		}
	}
	b.missing(all)
}

// hear passes on what another replica has posted, once.
func (b *Board) hear(ctx context.Context, e entry) {
	if b.seen[e.topic] == e.version || ctx.Err() != nil {
		return
	}
	b.seen[e.topic] = e.version
	if n, known := e.topic.notice(e.left); known && e.origin != b.self {
		b.heard(n)
	}
}

// boardAnswer is what boardRead returns.
type boardAnswer struct {
	epoch   string
	cursor  int64
	more    bool
	entries []entry
}

func (b *Board) page(ctx context.Context) (boardAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, boardWait)
	defer cancel()
	fields, err := b.read.Run(ctx, b.client, b.keys, b.epoch, b.cursor, boardPage).StringSlice()
	if err != nil {
		return boardAnswer{}, err
	}
	return parseBoard(fields)
}

func parseBoard(fields []string) (a boardAnswer, err error) {
	if len(fields)%4 != 3 {
		return a, fmt.Errorf("redis: the board answered %d fields", len(fields))
	}
	a.epoch, a.more = fields[0], fields[2] != ""
	if _, err = fmt.Sscan(fields[1], &a.cursor); err != nil {
		return a, fmt.Errorf("redis: the board's last change is %q", fields[1])
	}
	for f := fields[3:]; len(f) > 0; f = f[4:] {
		left, err := time.ParseDuration(f[2] + "ms")
		if err != nil {
			return a, fmt.Errorf("redis: a notice has %q ms left", f[2])
		}
		a.entries = append(a.entries, entry{topic: topic(f[0]), version: f[1], left: left, origin: f[3]})
	}
	return a, nil
}
