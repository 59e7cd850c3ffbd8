-- The last filter of the inner level to see an answer. It
--   * reads the usage of streams, and takes the usage event out of those whose client did not ask for it,
--   * reads the usage of JSON answers that json_to_metadata is switched off for,
--   * tells what a JSON answer costs,
--   * notes when the first piece of a stream comes: Envoy itself knows that of its headers alone.
-- Nothing here may break an answer: what can't be understood passes as it is.

local find, match, sub, byte = string.find, string.match, string.sub, string.byte
local concat, format = table.concat, string.format

local DECISION, USAGE = "nestor.v1", "nestor.usage"

local MAX_EVENT = 1048576 -- bytes; a longer event passes, and is not read
local TAIL = 1024         -- bytes at the end of an answer in which its usage is looked for
local SMALL = 131072      -- bytes of an answer that is held back until its usage is known

-- Where an answer has token counts, and what they are called here.
local COUNTS = {
  usage = {
    prompt_tokens = "prompt_tokens",
    completion_tokens = "completion_tokens",
    total_tokens = "total_tokens",
    prompt_tokens_details = { cached_tokens = "cached_tokens", cache_write_tokens = "cache_creation_tokens" }, -- OpenRouter
    completion_tokens_details = { reasoning_tokens = "reasoning_tokens" },
    cache_creation_input_tokens = "cache_creation_tokens", -- Anthropic
  },
}
local MOST_TOKENS = 2 ^ 32 -- is what is believed of one answer

local NEAR = 1024 -- bytes before a place in which the end of the last event is looked for

local LF, CR, QUOTE, OPEN_BRACKET, OPEN_BRACE = 10, 13, 34, 91, 123

-- What every usage has that is read. Nearly all pieces of streams are searched for this alone, by a plain search: those are
-- compiled, patterns go through every byte.
local ANY_COUNT = '_tokens"'

-- What an event with choices holds, as nearly all providers write it, and as any may.
local USUAL_CHOICES = '"choices":[{'
local SOME_CHOICES = '"choices"%s*:%s*%[%s*[^%s%]]'

-- Whether s ends with an empty line, written with LF or CR LF.
local function ends_whole(s)
  local n = #s
  if byte(s, n) ~= LF then return false end
  local before = byte(s, n - 1)
  return before == LF or (before == CR and byte(s, n - 2) == LF)
end

-- Returns the position of the last byte of the event that s holds from `from` on, its empty line
-- included, or nil when it is unfinished. A line ends with LF, CR or CR LF (the standard of
-- server-sent events allows each, mixed too).
local function event_end(s, from, has_cr)
  if not has_cr then
    local _, last = find(s, "\n\n", from, true)
    return last
  end
  while true do
    local line_end = find(s, "[\r\n]", from)
    if not line_end then return nil end
    local next_line = line_end + 1
    if byte(s, line_end) == CR and byte(s, next_line) == LF then next_line = next_line + 1 end
    local first = byte(s, next_line)
    if first == LF then return next_line end
    if first == CR then
      if byte(s, next_line + 1) == LF then return next_line + 1 end
      return next_line
    end
    from = next_line
  end
end

-- Returns the position of the last byte of the last place where s has a text, from one position to another, or nil.
local function last_end(s, text, from, to)
  local last
  local _, stop = find(s, text, from, true)
  while stop and stop <= to do
    last = stop
    _, stop = find(s, text, stop + 1, true)
  end
  return last
end

-- Returns a .. b, without a copy of b where a is empty: b may be large.
local function join(a, b)
  if a == "" then return b end
  return a .. b
end

-- Returns the position of the quote that ends the JSON string that begins at `from`.
local function string_end(s, from)
  local at = from + 1
  while true do
    local p = find(s, '["\\]', at)
    if not p then return nil end
    if byte(s, p) == QUOTE then return p end
    at = p + 2
  end
end

-- Reads a JSON object. Returns the token counts of its usage, or nil where it has no usage that is an object, and whether
-- its choices are an empty array. What is no object has nothing.
local function read_object(s)
  local counts, no_choices = nil, false
  local depth, at = 0, 1
  local levels, opened = {}, COUNTS -- what of COUNTS each level is, and the next one
  while true do
    local p = find(s, '["{}%[%]]', at)
    if not p then break end
    local c = byte(s, p)
    at = p + 1
    if c == QUOTE then
      local level = levels[depth]
      local key, value
      if level then key, value = match(s, '^([%w_]+)"%s*:%s*()', p + 1) end
      if key then
        at = value
        local what = level[key]
        if type(what) == "table" then
          local object = byte(s, value) == OPEN_BRACE
          opened = object and what
          if depth == 1 then counts = object and {} or nil end
        elseif what then
          counts[what] = tonumber(match(s, "^[-%d.eE+]+", value)) or counts[what]
        elseif depth == 1 and key == "choices" then
          no_choices = find(s, "^%[%s*%]", value) ~= nil
        end
      else
        local q = string_end(s, p)
        if not q then return nil, false end
        at = q + 1
      end
    elseif c == OPEN_BRACE or c == OPEN_BRACKET then
      if depth == 0 and not opened then return nil, false end -- a second one
      depth = depth + 1
      levels[depth] = c == OPEN_BRACE and opened
      opened = false
    elseif depth == 0 then
      return nil, false
    else
      depth = depth - 1
    end
  end
  if depth ~= 0 then return nil, false end
  return counts, no_choices
end

-- Reads a whole event as read_object does.
local function read_event(event)
  if not find(event, ANY_COUNT, 1, true) then return nil, false end
  local data = {}
  for line in string.gmatch(event, "[^\r\n]+") do
    data[#data + 1] = match(line, "^data: ?(.*)")
  end
  local ok, counts, no_choices = pcall(read_object, concat(data, "\n"))
  if not ok then return nil, false end
  return counts, no_choices
end

-- Returns two functions: one is given a stream piece by piece and returns what of it is to be passed on; the other returns
-- what is held at the end. found is called with the token counts of each event that has some. Where strip is true, the usage
-- event is not passed on: the one with usage and without choices. Held is only the beginning of an event that may be that
-- one: one with choices is not, nor is one beyond the bound.
local function reader(strip, found)
  local event, length, check_at = {}, 0, 0 -- the unfinished event
  local passing = false -- the unfinished event is passed on as it comes
  local beyond = false  -- and not kept
  local line_end = ""   -- what the last piece ended with, if that is the end of a line
  local after_cr        -- what was passed on of the CR that the last piece ended with; an LF shares its fate

  -- Whether the beginning of an event can be passed on. It is looked at when it has
  -- doubled, so that many small pieces cost no more than few large ones.
  local function harmless()
    if not strip then return true end
    if length < check_at then return false end
    check_at = 2 * length
    local beginning = concat(event)
    return find(beginning, USUAL_CHOICES, 1, true) ~= nil or find(beginning, SOME_CHOICES) ~= nil
  end

  -- Returns the unfinished event, and forgets it.
  local function taken()
    local all = concat(event)
    event, length, check_at = {}, 0, 0
    return all
  end

  local function rest() return passing and "" or taken() end

  local function take(piece)
    length = length + #piece
    event[#event + 1] = piece
  end

  -- Returns what is to be passed on of an event that goes on with a piece.
  local function go_on(piece)
    if beyond then return piece end
    take(piece)
    if length > MAX_EVENT then
      beyond = true
      local all = taken()
      return passing and piece or all
    end
    if passing then return piece end
    passing = harmless()
    return passing and concat(event) or ""
  end

  -- Returns what is to be passed on of an event that ends with a piece.
  local function finish(piece)
    local passed = passing
    passing = false
    if beyond then
      beyond = false
      return piece
    end
    take(piece)
    local readable = length <= MAX_EVENT
    local whole = taken()
    local counts, no_choices
    if readable then counts, no_choices = read_event(whole) end
    if counts then found(counts) end
    if passed then return piece end
    return strip and counts and no_choices and "" or whole
  end

  -- Returns what is to be passed on of the next piece.
  local function feed(data)
    local between = length == 0 and not beyond
    local suspect = find(data, ANY_COUNT, 1, true) or #data + 1 -- where the next count is
    if between and not after_cr and suspect > #data and ends_whole(data) then return data end
    local before = ""
    if after_cr then
      if byte(data) == LF then
        before = sub(data, 1, #after_cr)
        data = sub(data, 2)
        suspect = suspect - 1
      end
      after_cr = nil
    end
    local s, start, from = join(line_end, data), #line_end + 1, 1
    suspect = suspect + #line_end
    local has_cr = find(s, "\r", 1, true) ~= nil
    local out, same = {}, start -- what s is passed on as, and where it goes on as it is
    local function replace(last, piece, passed)
      if passed ~= piece then
        out[#out + 1] = sub(s, same, start - 1)
        out[#out + 1] = passed
        same = last + 1
      end
    end
    local reached = 0 -- the count up to which all was passed
    -- Passes all whole events at once that are before the next one with a count: one by one they are the most of what a
    -- stream costs that comes in large pieces.
    local function pass_many()
      if has_cr or reached == suspect then return end
      if suspect < from then suspect = find(s, ANY_COUNT, from, true) or #s + 1 end
      reached = suspect
      local last = last_end(s, "\n\n", math.max(from, suspect - 1 - NEAR), suspect - 1)
      if last then start, from = last + 1, last + 1 end
    end
    if between then pass_many() end
    local stop = event_end(s, from, has_cr)
    while stop do
      local piece = sub(s, start, stop)
      local passed = finish(piece)
      replace(stop, piece, passed)
      if stop == #s and byte(s, stop) == CR then after_cr = sub(passed, -1) end
      start, from = stop + 1, stop + 1
      pass_many()
      stop = event_end(s, from, has_cr)
    end
    line_end = match(sub(s, math.max(from, #s - 1)), "[\r\n]*$")
    if start <= #s then
      local piece = sub(s, start)
      replace(#s, piece, go_on(piece))
    end
    if #out == 0 then return join(before, data) end
    out[#out + 1] = sub(s, same)
    return join(before, concat(out))
  end

  return feed, rest
end

local function note_first(handle)
  handle:streamInfo():dynamicMetadata():set(USAGE, "first_event", handle:timestamp())
end

-- Returns at the first piece, so that the others do not come here.
local function note_first_alone(handle)
  for chunk in handle:bodyChunks() do
    if chunk:length() > 0 then return note_first(handle) end
  end
end

local function note_counts(handle, counts)
  local metadata = handle:streamInfo():dynamicMetadata()
  for key, count in pairs(counts) do metadata:set(USAGE, key, count) end
end

-- Passes a stream, without its usage event where that is to be stripped. What its usage is it notes at once: after the last
-- event clients leave, and then this ends here.
local function read_stream(handle, strip)
  local known, news = {}, {}
  local feed, rest = reader(strip, function(counts)
    for key, count in pairs(counts) do
      if known[key] ~= count then known[key], news[key] = count, count end
    end
  end)
  local begun, last = false, nil
  for chunk in handle:bodyChunks() do
    local n = chunk:length()
    if n > 0 then
      if not begun then note_first(handle) end
      begun = true
      local data = chunk:getBytes(0, n)
      local passed = feed(data)
      if passed ~= data then chunk:setBytes(passed) end
      if next(news) then
        note_counts(handle, news)
        news = {}
      end
    end
    last = chunk
  end
  -- The last chunk has not gone yet. (After trailers it has; what is held then is an event
  -- that was never finished, which no client reads.)
  local held = rest()
  if last and held ~= "" then
    pcall(function() last:setBytes(last:getBytes(0, last:length()) .. held) end)
  end
end

-- Returns the end of an answer. Where it is to be whole it has been held back until then, so that its headers can
-- still be changed.
local function tail_of(handle, whole)
  if whole then
    local body = handle:body()
    local n = body and body:length() or 0
    local keep = math.min(n, TAIL)
    return keep > 0 and body:getBytes(n - keep, keep) or ""
  end
  local tail = ""
  for chunk in handle:bodyChunks() do
    local n = chunk:length()
    local keep = math.min(n, TAIL)
    if keep > 0 then tail = sub(tail .. chunk:getBytes(n - keep, keep), -TAIL) end
  end
  return tail
end

-- Returns the token counts that an answer ends with, or nil, and puts them where json_to_metadata would.
local function read_usage(handle, whole)
  local tail, counts = tail_of(handle, whole), nil
  for at in string.gmatch(tail, '()"usage"%s*:%s*{') do
    counts = read_object("{" .. sub(tail, at)) or counts -- of another object it has brackets too many
  end
  if counts then note_counts(handle, counts) end
  return counts
end

-- Returns what an answer costs in pico-dollars, or nil where that is not known: some say of their usage that it is 0.
-- routing/deployment/tariff.go has the rules.
local function cost(prices, usage)
  local input, output, read, created, reasoned, request =
    match(prices, "^(%d+),(%d+),(%d+),(%d+),(%d+),(%d+)$")
  if not input then return nil end
  local function count(key)
    return math.floor(math.max(0, math.min(tonumber(usage[key]) or 0, MOST_TOKENS)))
  end
  local prompt, completion, total = count("prompt_tokens"), count("completion_tokens"), count("total_tokens")
  if prompt + completion + total == 0 then
    local free = input + output + read + created + reasoned == 0
    return free and tonumber(request) or nil
  end
  if prompt + completion == 0 then prompt = total end
  local cached, creation, reasoning = count("cached_tokens"), count("cache_creation_tokens"), count("reasoning_tokens")
  prompt = math.max(prompt, cached + creation)
  completion = math.max(completion, total - prompt)
  return (prompt - cached - creation) * input + cached * read + creation * created
    + math.max(completion - reasoning, 0) * output + reasoning * reasoned + request
end

-- Returns pico-dollars as dollars, with as many decimals as it takes.
local function usd(pico)
  local decimals = math.fmod(pico, 1e12)
  return (string.gsub(format("%.0f.%012.0f", (pico - decimals) / 1e12, decimals), "%.?0+$", ""))
end

-- Reads the usage of a JSON answer unless that has been done, and tells the client what it costs. An answer whose size
-- is not known, or that is large, is not held back for that: its headers have gone when its usage comes.
local function account(handle, headers, metadata)
  local usage, decision = metadata:get(USAGE), metadata:get(DECISION)
  local prices = decision and decision["prices"]
  if decision and not prices then headers:replace("x-litellm-response-cost", "0") end -- it has no price
  if not usage then
    local length = tonumber(headers:get("content-length") or "")
    local whole = prices and length and length <= SMALL and not headers:get("content-encoding")
    usage = read_usage(handle, whole)
    if not whole then return end
  end
  local pico = prices and cost(prices, usage or {})
  if pico then handle:headers():replace("x-litellm-response-cost", usd(pico)) end
end

local function succeeded(headers)
  return byte(headers:get(":status") or "", 1) == 50 -- "2"
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local kind = headers:get("content-type")
  if not kind or not succeeded(headers) then return end
  local metadata = handle:streamInfo():dynamicMetadata()
  if find(kind, "text/event-stream", 1, true) then
    if headers:get("content-encoding") then return note_first_alone(handle) end
    local decision = metadata:get(DECISION)
    local strip = decision ~= nil and decision["strip"] == "usage"
    if strip then headers:remove("content-length") end
    read_stream(handle, strip)
  elseif find(kind, "json", 1, true) then
    account(handle, headers, metadata)
  end
end
