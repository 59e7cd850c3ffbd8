-- A replica reports what it used of one entity, gives its lease back and takes the next.
-- KEYS: the fleet, the entity. ARGV: see refresh in script.go. Times are in microseconds of the fleet's clock.
-- The entity: e epoch, b what was used, by bucket, and m by replica: s sequence number, r reply to it,
-- l the lease, x when it ends, p slots granted, g slots in use.
local id, epoch = ARGV[1], ARGV[2]
local arg = {}
for i = 3, #ARGV do arg[i - 2] = tonumber(ARGV[i]) end
local seq, known, low, high, window, bucket, slack, lease, life = unpack(arg, 1, 9)
local limit, want = {arg[10], arg[11]}, {arg[13], arg[14]}
local slots, wanted, held = arg[12], arg[15], arg[20]
local need, keep = {arg[16], arg[17]}, {arg[18], arg[19]}
local share = arg[21]

-- The fleet must be that of this server, and the caller live in it.
local server = redis.call('INFO', 'server')
local both = redis.call('MGET', KEYS[1], KEYS[2])
local f = both[1] and cmsgpack.unpack(both[1])
if not f or f.e ~= epoch or f.r ~= string.match(server, 'run_id:(%x+)') then return {1} end
local wall = tonumber(string.match(server, 'server_time_usec:(%d+)'))
if not wall then
  local time = redis.call('TIME')
  wall = time[1] * 1000000 + time[2]
end
local now = wall + f.a
if high >= 0 and (now > high + slack or now < low - slack) then return {2} end
local here = f.m[id]
if not here or here.l == 1 or now - here.b >= life then return {1} end
local e = both[2] and cmsgpack.unpack(both[2])
if not e or f.q ~= epoch then
  -- An entity that was evicted looks like one that nobody has used. When the server has evicted anything since
  -- the first of this epoch, nothing in it can be relied on: no server is the fleet's until an epoch begins.
  local evicted = string.match(redis.call('INFO', 'stats'), 'evicted_keys:(%d+)')
  if f.q ~= epoch then f.q, f.z = epoch, evicted elseif f.z ~= evicted then f.r = '' end
  redis.call('SET', KEYS[1], cmsgpack.pack(f))
  if f.r == '' then return {1} end
end
if not e or e.e ~= epoch then e = {e = epoch, b = {}, m = {}} end
local me = e.m[id] or {s = 0}
if known > me.s then return {4} end
if seq == me.s then return me.r end
if seq < me.s then return {3, me.s} end

local function counts(ends) return ends + window + slack > now end

local used, ends = {0, 0}, {}
for i = 22, #arg, 3 do
  if counts((arg[i] + 1) * bucket) then
    local c = e.b[arg[i]] or {0, 0}
    e.b[arg[i]] = {c[1] + arg[i + 1], c[2] + arg[i + 2]}
  end
end
for i, c in pairs(e.b) do
  local till = (i + 1) * bucket
  if not counts(till) or (c[1] == 0 and c[2] == 0) then
    e.b[i] = nil
  else
    used[1], used[2] = used[1] + c[1], used[2] + c[2]
    ends[#ends + 1] = {till, c[1], c[2]}
  end
end

-- Who has had no answer for long, and has not left, may use its share without Redis: that is set aside. The slots
-- that it held stay taken for as long as a reservation is held of which nobody gives a sign of life.
local replicas, leased, taken, busy, aside = 0, {0, 0}, 0, 0, {0, 0}
local function stays(m) return m and m.l == 0 and now - m.b < 11 * window + 2 * slack end
local function holds(m) return m and m.l == 0 and now - m.b < 2 * window end
for other, m in pairs(f.m) do
  if m.l == 0 and now - m.b < life then replicas = replicas + 1 end
  if share == 1 and other ~= id and stays(m) and m.u == 1 and now - m.h >= life then
    for d = 1, 2 do aside[d] = aside[d] + math.floor(math.max(0, limit[d]) / m.r) end
    local own = e.m[other]
    taken = taken + math.max(0, math.floor(math.max(0, slots) / m.r) - (own and holds(m) and own.p or 0))
  end
end
replicas = math.max(1, replicas)
for other, m in pairs(e.m) do
  if other ~= id then
    local here = f.m[other]
    if holds(here) then
      taken = taken + m.p
      if now - here.b < life then busy = busy + m.g end
    end
    if counts(m.x) then
      leased[1], leased[2] = leased[1] + m.l[1], leased[2] + m.l[2]
      ends[#ends + 1] = {m.x, m.l[1], m.l[2]}
    elseif not stays(here) then
      e.m[other] = nil
    end
  end
end

local open, extra, free = f.o <= now and here.s == 1, {0, 0}, {0, 0}
for d = 1, 2 do
  free[d] = limit[d] - used[d] - leased[d] - keep[d] - aside[d]
  if limit[d] < 0 then
    extra[d] = 0
  elseif open then
    local most = math.floor(free[d] / (2 * replicas))
    if need[d] <= free[d] then most = math.max(most, need[d]) end
    extra[d] = math.max(-keep[d], math.min(want[d], most, free[d]))
  end
end
ends[#ends + 1] = {now + lease, keep[1], keep[2]}

local mine = held
if slots >= 0 then
  local room = slots - taken
  local spare = math.max(0, math.floor((room - held - 1) / (2 * replicas)))
  mine = math.max(0, math.min(open and math.max(wanted, held) or held, room, held + 1 + spare))
end

-- When what is needed will be free, if nobody uses anything; and when everything is.
local retry, reset = {0, 0}, {0, 0}
table.sort(ends, function(a, b) return a[1] < b[1] end)
for d = 1, 2 do
  local lack = need[d] - free[d]
  for i = 1, #ends do
    local n, till = ends[i][d + 1], ends[i][1] + window + slack - now
    if n > 0 then
      reset[d] = till
      if lack > 0 then
        retry[d], lack = till, lack - n
      end
    end
  end
  if lack > 0 and aside[d] > 0 then retry[d] = math.max(retry[d], life) end
end

local reply = {0, now, extra[1], extra[2], mine, used[1], used[2], leased[1] + keep[1] + extra[1], leased[2] + keep[2] + extra[2],
  free[1], free[2], retry[1], retry[2], reset[1], reset[2], taken, busy, math.max(0, f.o - now)}
local last = me.l or {0, 0}
if #arg < 22 and keep[1] + keep[2] + extra[1] + extra[2] + last[1] + last[2] == 0 and math.max(mine, held) == (me.p or 0) and held == (me.g or 0) then
  reply[1] = 5
  return reply
end
e.m[id] = {s = seq, r = reply, l = {keep[1] + extra[1], keep[2] + extra[2]}, x = now + lease, p = math.max(mine, held), g = held}
redis.call('SET', KEYS[2], cmsgpack.pack(e), 'PX', 3600000)
return reply
