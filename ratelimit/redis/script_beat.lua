-- A replica says that it lives, in the fleet of those that share one slot, and reads who else does.
-- KEYS: the fleet. ARGV: see beat in script.go. Times are in microseconds of the fleet's clock.
-- The fleet: e epoch, r run id of the server, v version of the list, k whether the list is complete,
-- o when limits open, a what is added to the server's clock, t the latest time seen, m the replicas:
-- b last beat, j version at which it joined, c version that it knows, s whether it has a seat,
-- n whether it may have used something before this epoch, d whether it has reported that, l whether it has left.
local id, candidate, known = ARGV[1], ARGV[2], ARGV[3]
local arg = {}
for i = 4, 16 do arg[i - 3] = tonumber(ARGV[i]) end
local low, high, version, done, verify, fresh, back, leave, proper = unpack(arg, 1, 9)
local window, slack, lease, life = unpack(arg, 10, 13)

local time = redis.call('TIME')
local wall = time[1] * 1000000 + time[2]
local raw = redis.call('GET', KEYS[1])
local f = raw and cmsgpack.unpack(raw)
local run = f and f.r
if verify == 1 or not f then
  run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or ''
end

-- The clock is the server's, without its steps: replicas know how much time passed between their calls.
-- One that has no such knowledge may come after a step that nobody saw: while there are others that did not
-- leave, little time has passed for it since the last beat of any.
local now, silence = wall, 0
if f then
  now = wall + f.a
  silence = now - f.t
  if known == f.e and high >= 0 then
    if now > high + slack then now = high elseif now < low - slack then now = low end
  else
    for other, m in pairs(f.m) do
      if other ~= id and m.l == 0 then now = math.min(now, f.t + life) end
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
if me and leave == 0 and (back == 1 and known == f.e or now - me.b > window / 2 and (me.n == 0 or me.d == 1)) then
  renew((f.k == 1 or f.o <= now) and 1 or 0)
  me.n = 1
elseif not me and silence > window - life then
  for _, m in pairs(f.m) do
    if m.l == 0 then
      renew((f.k == 1 or f.o <= now) and 1 or 0)
      break
    end
  end
end
if not me then
  f.v = f.v + 1
  me = {j = f.v, s = 0, n = (known ~= '' and known ~= f.e) and 1 or 0, d = 0}
  f.m[id] = me
end
me.b, me.l, me.c = now, leave, -1
if known == f.e then
  me.c = version
  if done == 1 then me.d = 1 end
  for i = 17, #ARGV, 3 do
    local other, age = ARGV[i], tonumber(ARGV[i + 1])
    if not f.m[other] then
      f.v = f.v + 1
      f.m[other] = {b = now - age, j = f.v, c = -1, s = 0, l = 0, d = 0, n = tonumber(ARGV[i + 2])}
    end
  end
  if proper == 1 then f.k = 1 end
end

local seat, reported, live, count = 1, f.k, 0, 0
local out = {}
for other, m in pairs(f.m) do
  if now - m.b > 10 * window and (m.n == 0 or m.d == 1 or f.o <= now) then
    f.m[other] = nil
  else
    if m.n == 1 and m.d == 0 then reported = 0 end
    if m.l == 0 then
      count = count + 1
      if now - m.b < life then
        live = live + 1
        if other ~= id and m.c < me.j then seat = 0 end
      end
    end
    out[#out + 1] = other
    out[#out + 1] = now - m.b
  end
end
if seat == 1 then me.s = 1 end
if reported == 1 and f.o > now then f.o = now end
f.t, f.a = now, now - wall
redis.call('SET', KEYS[1], cmsgpack.pack(f))
return {now, f.e, f.v, me.s, math.max(0, f.o - now), live, count, unpack(out)}
