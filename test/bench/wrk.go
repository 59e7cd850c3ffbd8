package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// slack is how much longer than its run wrk may take.
const slack = 20 * time.Second

// script makes wrk send one body and look at every answer; a stream is counted through. What it
// prints at the end is a tally. The verbs: key, file of the body, kind of the answer, events.
const script = `
local threads = {}
function setup(thread) table.insert(threads, thread) end

bad, why = 0, ""
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.headers["authorization"] = "Bearer %s"
local file = assert(io.open(%q, "rb"))
wrk.body = file:read("*a")
file:close()
local stream, events = %t, %d

local function count(body)
  local n, at = 0, 0
  while true do
    at = string.find(body, "data: {", at + 1, true)
    if at == nil then return n end
    n = n + 1
  end
end

local function complete(body)
  if stream then return string.find(body, "data: [DONE]", -16, true) ~= nil and count(body) == events end
  return string.sub(body, 1, 1) == "{" and string.find(body, '"finish_reason":"stop"', 1, true) ~= nil
end

function response(status, headers, body)
  if status == 200 and complete(body) then return end
  bad = bad + 1
  if bad == 1 then why = status .. " " .. string.sub(body, 1, 300) end
end

local function quoted(s)
  return '"' .. string.gsub(s, '[%%c"\\]', function(c) return string.format("\\u%%04x", string.byte(c)) end) .. '"'
end

function done(summary, latency, requests)
  local wrong, first, e = 0, "", summary.errors
  for _, thread in ipairs(threads) do
    wrong = wrong + thread:get("bad")
    if first == "" then first = thread:get("why") end
  end
  io.write(string.format('tally {"requests":%%d,"bytes":%%d,"micros":%%d,"p50":%%d,"p99":%%d,"bad":%%d,"failed":%%d,"why":%%s}\n',
    summary.requests, summary.bytes, summary.duration, latency:percentile(50), latency:percentile(99), wrong,
    e.connect + e.read + e.write + e.timeout, quoted(first)))
end
`

// tally is what wrk counted. Times are in microseconds; Bad are wrong answers, Failed are none.
type tally struct {
	Requests, Bytes, Micros, P50, P99, Bad, Failed int64
	Why                                            string
}

var errNoAnswer = errors.New("no request was answered in the time of the run")

// wrk is the load generator with its scripts in dir.
type wrk struct {
	path, dir string
}

// run loads the address for d. Answers that are not 200 and complete are an error.
func (w wrk) run(ctx context.Context, address string, l load, d time.Duration) (tally, error) {
	file, err := w.write(l)
	if err != nil {
		return tally{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, d+slack)
	defer cancel()
	// wrk itself takes whole seconds only; it is asked to end by SIGINT, upon which it reports.
	cmd := exec.CommandContext(ctx, w.path, "--threads", "1", "--connections", fmt.Sprint(l.connections),
		"--duration", fmt.Sprintf("%ds", int((d+slack)/time.Second)), "--timeout", "15s", "--script", file, "http://"+address+chatPath)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return tally{}, fmt.Errorf("start wrk: %w", err)
	}
	end := time.AfterFunc(d, func() { _ = cmd.Process.Signal(os.Interrupt) })
	defer end.Stop()
	if err := cmd.Wait(); err != nil {
		return tally{}, fmt.Errorf("wrk: %w\n%s", errors.Join(ctx.Err(), err), out.Bytes())
	}
	return read(out.Bytes())
}

// write puts down the body and the script of a load, and returns the script's path.
func (w wrk) write(l load) (string, error) {
	body, err := l.body()
	if err != nil {
		return "", err
	}
	base := filepath.Join(w.dir, strings.NewReplacer(" ", "-", ",", "").Replace(l.name))
	if err := os.WriteFile(base+".json", body, 0o600); err != nil {
		return "", err
	}
	text := fmt.Sprintf(script, l.credential(), base+".json", l.stream, l.sent())
	return base + ".lua", os.WriteFile(base+".lua", []byte(text), 0o600)
}

func read(out []byte) (tally, error) {
	var t tally
	_, line, found := bytes.Cut(out, []byte("tally "))
	line, _, _ = bytes.Cut(line, []byte("\n"))
	if !found || json.Unmarshal(line, &t) != nil {
		return t, fmt.Errorf("wrk did not report:\n%s", out)
	}
	if t.Bad > 0 || t.Failed > 0 {
		return t, fmt.Errorf("of %d requests %d failed and %d were answered wrongly, the first: %s", t.Requests, t.Failed, t.Bad, t.Why)
	}
	if t.Requests == 0 {
		return t, errNoAnswer
	}
	return t, nil
}
