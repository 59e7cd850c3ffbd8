-- The last filter of the inner level to see an answer. It
--   * takes the usage event out of a stream whose client did not ask for it,
--   * reads the usage of JSON answers that json_to_metadata is switched off for,
--   * tells what a JSON answer costs,
--   * notes when the first piece of a stream comes: Envoy itself knows that of its headers alone.
-- Nothing here may break an answer: what can't be understood passes as it is.

local find, match, sub, byte = string.find, string.match, string.sub, string.byte
local concat, format = table.concat, string.format

local DECISION, USAGE = "nestor.v1", "nestor.usage"

local MAX_HELD = 1048576 -- bytes of an unfinished event; a longer one passes
local TAIL = 1024        -- bytes at the end of an answer in which its usage is looked for
local SMALL = 131072     -- bytes of an answer that is held back until its usage is known

local COUNTS = { "prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens" }
local MOST_TOKENS = 2 ^ 32 -- is what is believed of one answer

local NEAR = 1024        -- bytes before a place in which the end of the last event is looked for

local LF, CR, QUOTE, OPEN_BRACKET, CLOSE_BRACKET, OPEN_BRACE = 10, 13, 34, 91, 93, 123

-- How events with choices end, by the order in which nearly all providers write the keys.
local CHOICES_LAST, CHOICES_BEFORE_NO_USAGE = '}]}\n\n', '}],"usage":null}\n\n'

-- What an event with choices holds, as nearly all providers write it, and as any may.
local USUAL_CHOICES = '"choices":[{'
local SOME_CHOICES = '"choices"%s*:%s*%[%s*[^%s%]]'

-- A usage event as nearly all providers write it, its choices before its usage and nothing nested but in its usage; to walk
-- through it costs many times as much.
local USUAL_USAGE = '^data: {[^{}%[%]]*,"choices":%[%][^{}%[%]]*,"usage":%b{}[^{}%[%]\r]*}\n\n$'

-- Returns where s has its first empty array from a position on, as the choices of a usage event are, or nil.
-- Nearly all events end here, so it is a plain search: those are compiled, patterns go through every byte.
local function empty_array(s, from)
  local p = find(s, "[", from, true)
  while p do
    local c = byte(s, p + 1)
    if c == CLOSE_BRACKET or (c and c <= 32 and find(s, "^%s+%]", p + 1)) then return p end
    p = find(s, "[", p + 1, true)
  end
  return nil
end

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

-- Whether s is a JSON object whose own "choices" is an empty array and whose own "usage" is an object.
local function is_usage_object(s)
  local depth, at = 0, 1
  local choices, usage = false, false
  while true do
    local p = find(s, '["{}%[%]]', at)
    if not p then return depth == 0 and choices and usage end
    local c = byte(s, p)
    if c == QUOTE then
      local q = string_end(s, p)
      if not q then return false end
      local value = depth == 1 and match(s, "^%s*:%s*()", q + 1)
      if value then
        local key = sub(s, p + 1, q - 1)
        if key == "choices" then
          choices = find(s, "^%[%s*%]", value) ~= nil
        elseif key == "usage" then
          usage = byte(s, value) == OPEN_BRACE
        end
      end
      p = q
    elseif c == OPEN_BRACE or c == OPEN_BRACKET then
      depth = depth + 1
    else
      depth = depth - 1
    end
    at = p + 1
  end
end

-- Whether a whole event is the one that only reports usage.
local function is_usage_event(event)
  if not empty_array(event, 1) then return false end
  if find(event, USUAL_USAGE) and find(event, "\n", 1, true) == #event - 1 then return true end
  local data = {}
  for line in string.gmatch(event, "[^\r\n]+") do
    data[#data + 1] = match(line, "^data: ?(.*)")
  end
  return is_usage_object(concat(data, "\n"))
end

-- Returns how many bytes of a piece of n bytes can go as they are: the usage event is the last of a stream, so all up to
-- an event that ends as those with choices do. Only the end of the piece is copied: to copy whole pieces costs more than
-- all else here, and the same few bytes again and again make no garbage.
local function harmless_bytes(chunk, n)
  local most = #CHOICES_BEFORE_NO_USAGE
  if n < most then return 0 end
  local tail = chunk:getBytes(n - most, most)
  if tail == CHOICES_BEFORE_NO_USAGE or sub(tail, -#CHOICES_LAST) == CHOICES_LAST then return n end
  if n <= NEAR then return 0 end
  local near = chunk:getBytes(n - NEAR, NEAR)
  local last = math.max(last_end(near, CHOICES_LAST, 1, NEAR) or 0, last_end(near, CHOICES_BEFORE_NO_USAGE, 1, NEAR) or 0)
  return last > 0 and n - NEAR + last or 0
end

-- Returns the tokens that the provider's cache took in, as OpenRouter or Anthropic call them.
local function cache_creation(usage)
  if not find(usage, '"cache_', 1, true) then return nil end
  return tonumber(match(usage, '"cache_write_tokens"%s*:%s*(%d+)')
    or match(usage, '"cache_creation_input_tokens"%s*:%s*(%d+)'))
end

-- Returns four functions: one is given a stream piece by piece and returns what of it is to be passed on; the second
-- returns what is held at the end; the third tells whether anything is, or waits for the next byte; the fourth is told
-- that something was passed on that was not fed, and that ended with an event. Held is only the beginning of an event
-- that may be the usage event: one with choices is not, nor is one beyond the bound. found is called with the usage event.
local function stripper(found)
  local held, length, check_at = {}, 0, 0
  local passing = false -- the unfinished event is passed on as it comes
  local line_end = ""   -- what the last piece ended with, if that is the end of a line
  local after_cr        -- what was passed on of the CR that the last piece ended with; an LF shares its fate

  -- Whether the held beginning of an event can be passed on. It is looked at when it has
  -- doubled, so that many small pieces cost no more than few large ones.
  local function harmless()
    if length > MAX_HELD then return true end
    if length < check_at then return false end
    check_at = 2 * length
    local beginning = concat(held)
    return find(beginning, USUAL_CHOICES, 1, true) ~= nil or find(beginning, SOME_CHOICES) ~= nil
  end

  local function rest()
    local all = concat(held)
    held, length, check_at = {}, 0, 0
    return all
  end

  local function take(piece)
    length = length + #piece
    held[#held + 1] = piece
  end

  local function event(whole)
    if passing or not is_usage_event(whole) then return whole end
    found(whole)
    return ""
  end

  local function holds() return length > 0 or after_cr ~= nil end

  local function skipped() passing, line_end = false, "" end

  local function feed(data)
    if not passing and not holds() and ends_whole(data) and not empty_array(data, 1) then
      return data
    end
    local out = {}
    if after_cr and data ~= "" then
      if byte(data) == LF then
        out[1] = sub(data, 1, #after_cr)
        data = sub(data, 2)
      end
      after_cr = nil
    end
    local s, start, from = line_end .. data, #line_end + 1, 1
    local has_cr = find(s, "\r", 1, true) ~= nil
    local suspect = 0 -- where the next event is that may be the usage event; looked for once it has been passed
    -- Passes all whole events at once that are before the next one that may be the usage event: one by one they are the
    -- most of what a stream costs that comes in large pieces.
    local function pass_many()
      if has_cr or suspect >= from then return end
      suspect = empty_array(s, from) or #s + 1
      local last = last_end(s, "\n\n", math.max(from, suspect - 1 - NEAR), suspect - 1)
      if last then
        out[#out + 1] = sub(s, start, last)
        start, from = last + 1, last + 1
      end
    end
    if length == 0 and not passing then pass_many() end
    local stop = event_end(s, from, has_cr)
    while stop do
      take(sub(s, start, stop))
      local passed = event(rest())
      out[#out + 1] = passed
      if stop == #s and byte(s, stop) == CR then after_cr = sub(passed, -1) end
      passing, start, from = false, stop + 1, stop + 1
      pass_many()
      stop = event_end(s, from, has_cr)
    end
    line_end = match(sub(s, math.max(from, #s - 1)), "[\r\n]*$")
    if start <= #s then
      take(sub(s, start))
      if passing or harmless() then
        passing = true
        out[#out + 1] = rest()
      end
    end
    return concat(out)
  end

  return feed, rest, holds, skipped
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

-- What nearly no stream has is no rule of sse_to_metadata: each costs half a microsecond an event.
local function note_cache_creation(handle, event)
  local count = cache_creation(event)
  if count then handle:streamInfo():dynamicMetadata():set(USAGE, "cache_creation_tokens", count) end
end

local function strip_usage(handle)
  local feed, rest, holds, skipped = stripper(function(event) note_cache_creation(handle, event) end)
  local healthy, begun = true, false
  local last
  for chunk in handle:bodyChunks() do
    local n = chunk:length()
    if n > 0 and not begun then
      begun = true
      note_first(handle)
    end
    if healthy then
      local skip = holds() and 0 or harmless_bytes(chunk, n)
      if skip > 0 then skipped() end
      if skip < n then
        local data = chunk:getBytes(skip, n - skip)
        local ok, passed = pcall(feed, data)
        healthy = ok
        if not ok then passed = rest() .. data end
        if passed ~= data then chunk:setBytes(chunk:getBytes(0, skip) .. passed) end
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
  local text = match(tail_of(handle, whole), '.*"usage"%s*:%s*({.*)')
  if not text then return nil end
  local metadata, usage = handle:streamInfo():dynamicMetadata(), {}
  for _, key in ipairs(COUNTS) do
    usage[key] = tonumber(match(text, '"' .. key .. '"%s*:%s*(%d+)'))
  end
  usage.cache_creation_tokens = cache_creation(text)
  for key, count in pairs(usage) do metadata:set(USAGE, key, count) end
  return usage
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
    local decision = metadata:get(DECISION)
    if decision and decision["strip"] == "usage" and not headers:get("content-encoding") then
      headers:remove("content-length")
      strip_usage(handle)
    else
      note_first_alone(handle)
    end
  elseif find(kind, "json", 1, true) then
    account(handle, headers, metadata)
  end
end
