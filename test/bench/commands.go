package main

import (
	"bufio"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// commands is how often a Redis server was given each command.
type commands map[string]int64

// ofScripts are the commands that Redis counts although a script gave them: they cost no way to the server, and
// Nestor gives them in no other way.
const ofScripts = "time get set mget hget hset hsetnx hmget hgetall hdel hincrby zadd zrem zcard zrange zrangebyscore pexpire info"

// readCommands asks a server by INFO.
func readCommands(address string) (commands, error) {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return nil, err
	}
	if _, err := c.Write([]byte("INFO commandstats\r\nQUIT\r\n")); err != nil {
		return nil, err
	}
	found := commands{}
	lines := bufio.NewScanner(c)
	for lines.Scan() {
		found.add(lines.Text())
	}
	if lines.Err() == nil && len(found) == 0 {
		return nil, fmt.Errorf("redis at %s counts no commands", address)
	}
	return found, lines.Err()
}

// add reads a line as "cmdstat_evalsha:calls=12,usec=...".
func (c commands) add(line string) {
	line, ok := strings.CutPrefix(line, "cmdstat_")
	if !ok {
		return
	}
	name, rest, _ := strings.Cut(line, ":calls=")
	calls, _, _ := strings.Cut(rest, ",")
	n, err := strconv.ParseInt(calls, 10, 64)
	if err == nil && !slices.Contains(strings.Fields(ofScripts), name) {
		c[name] = n
	}
}

// since is how many were given after an earlier reading.
func (c commands) since(before commands) (n int64) {
	for name, now := range c {
		n += now - before[name]
	}
	return n
}
