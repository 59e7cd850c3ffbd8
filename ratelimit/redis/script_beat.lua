-- A replica says that it lives, in the fleet of those that share one slot, and reads who else does.
-- KEYS: the fleet. ARGV: see arguments in store_fleet.go. Times are in microseconds of the fleet's clock.
-- The fleet: e epoch, r run id of the server, v version of the list, k whether the list is complete,
-- o when limits open, a what is added to the server's clock, t the latest time seen, m the replicas:
-- b last beat, h since when it may have had no answer, r the highest number of replicas it has seen, a address,
-- j version at which it joined, c version that it knows, s whether it has a seat, g whether it may use its share
-- without Redis, u whether it might, n whether it may have used something before this epoch, d whether it has
-- reported that, l whether it has left.
local id, candidate, known, address = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local arg = {}
for i = 5, 20 do arg[i - 4] = tonumber(ARGV[i]) end
local low, high, version, done, fresh, back, leave, proper = unpack(arg, 1, 8)
local window, slack, lease, life = unpack(arg, 9, 12)
local heard, most, shares, gone = unpack(arg, 13, 16)
-- What a replica uses without Redis it uses until 10 windows after an answer, and that counts for one more.
local memory = 11 * window + 2 * slack

local server = redis.call('INFO', 'server')
local wall = tonumber(string.match(server, 'server_time_usec:(%d+)'))
if not wall then
  local time = redis.call('TIME')
  wall = time[1] * 1000000 + time[2]
end
local raw = redis.call('GET', KEYS[1])
local f = raw and cmsgpack.unpack(raw)
local run = string.match(server, 'run_id:(%x+)') or ''

-- The clock is the server's, without its steps: replicas know how much time passed between their calls.
-- One that has no such knowledge may come after a step that nobody saw: while there are others that did not
-- leave, little time has passed for it since the last beat of any. That they are without an answer for longer
-- than that is believed.
local now, silence = wall, 0
local bounded = f and known == f.e and high >= 0
if f then
  now = wall + f.a
  silence = now - f.t
  if bounded then
    if now > high + slack then now = high elseif now < low - slack then now = low end
  else
    local lag = silence < -slack and window + lease + life or 0
    for other, m in pairs(f.m) do
      if other ~= id and m.l == 0 then now = math.min(now, f.t + life) end
    end
    lag = math.max(lag, f.t + silence - now)
    for other, m in pairs(f.m) do
      if other ~= id then m.h = m.h - lag end
    end
  end
  if now < f.t then now = f.t end
end

local function renew(complete)
  f.e, f.k, f.o = candidate, complete, now + lease + window + 2 * slack
  local newest = 0
  for _, m in pairs(f.m) do newest = math.max(newest, m.b) end
  for _, m in pairs(f.m) do
    -- Who left has reported, but that went with the epoch; who did not may have gone on without Redis.
    m.n, m.d = (m.l == 1 and now or newest) - m.b < window + life + lease and 1 or 0, 0
  end
end

if not f then
  f = {r = run, v = 0, m = {}, t = now}
  renew(0)
  if fresh == 1 then f.k, f.o = 1, now end
elseif f.r ~= run then
  renew(0)
  f.r = run
end
local me = f.m[id]
local whole = (f.k == 1 or f.o <= now) and 1 or 0
if me and me.d == 1 and known ~= '' and known ~= f.e then
  -- It knew this epoch and then another: this is an earlier state of the fleet.
  renew(0)
  me.n = 1
elseif me and leave == 0 and (back == 1 and known == f.e
  or (now - me.b > window / 2 or heard > window / 2) and (me.n == 0 or me.d == 1)) then
  renew(whole)
  me.n = 1
elseif not me and known ~= '' and known == f.e then
  renew(whole)
elseif not me and silence > window - life then
  for _, m in pairs(f.m) do
    if m.l == 0 then
      renew(whole)
      break
    end
  end
end
if not me then
  f.v = f.v + 1
  me = {j = f.v, s = 0, g = 0, h = now - math.max(0, heard), n = known ~= '' and 1 or 0, d = 0}
  f.m[id] = me
end
me.b, me.l, me.c, me.a = now, leave, -1, address
me.u = math.max(me.g, shares)
if bounded and heard >= 0 then me.h = math.max(me.h, math.min(now, low) - heard) end
for i = 21, 20 + gone do
  local m = f.m[ARGV[i]]
  if m and ARGV[i] ~= id and m.l == 0 and now - m.b > life / 2 then
    -- What it used by leases stays charged. What it may have used without Redis counts for a window.
    if now - m.h < window + lease + life then m.l = 1 else m.b = math.min(m.b, now + life - 10 * window) end
  end
end
if known == f.e then
  me.c = version
  if done == 1 then me.d = 1 end
  for i = 21 + gone, #ARGV, 7 do
    local other = ARGV[i]
    if not f.m[other] and other ~= id then
      f.v = f.v + 1
      f.m[other] = {b = now - ARGV[i + 1], j = f.v, c = -1, s = 0, g = 0, u = 1, d = 0, n = tonumber(ARGV[i + 2]),
        h = now - ARGV[i + 3], r = tonumber(ARGV[i + 4]), l = tonumber(ARGV[i + 5]), a = ARGV[i + 6]}
    end
  end
  if proper == 1 then f.k = 1 end
end

local seat, granted, reported, live, count = 1, (f.k == 1 or f.o <= now) and 1 or 0, f.k, 0, 0
local out = {}
for other, m in pairs(f.m) do
  if now - m.b > memory and (m.n == 0 or m.d == 1 or f.o <= now) then
    f.m[other] = nil
  else
    if m.n == 1 and m.d == 0 then reported = 0 end
    if m.l == 0 then
      local knows = other == id or m.c >= me.j
      count = count + 1
      if now - m.b < life then
        live = live + 1
        if not knows then seat = 0 end
      end
      if m.u == 1 and not knows then granted = 0 end
    end
    if other ~= id then
      for _, v in ipairs({other, now - m.b, now - m.h, m.r, m.l, m.a}) do out[#out + 1] = v end
    end
  end
end
if seat == 1 then me.s = 1 end
if granted == 1 and me.s == 1 then me.g, me.u = 1, 1 end
me.r = most > 0 and most or math.max(1, math.min(me.r or count, count))
if reported == 1 and f.o > now then f.o = now end
f.t, f.a = now, now - wall
redis.call('SET', KEYS[1], cmsgpack.pack(f))
local reply = {now, f.e, f.v, me.s, math.max(0, f.o - now), live, count, me.g}
for _, v in ipairs(out) do reply[#reply + 1] = v end
return reply
