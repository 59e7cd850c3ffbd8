package ratelimit_test

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/ratelimit"
	"github.com/nestor-gateway/nestor/ratelimit/journal"
)

// faster is how much faster time passes for the processes that are killed: a Window is 1.5 s.
const faster = 40

// The limits of the two entities that they reserve on.
func killedLimits() []ratelimit.Limit {
	return []ratelimit.Limit{
		{Name: "deployment:a", Most: ratelimit.Amounts{3000, 100_000, 40}},
		{Name: "group:b", Most: ratelimit.Amounts{none, 90_000, 30}},
	}
}

func TestMain(m *testing.M) {
	if path := os.Getenv("NESTOR_TEST_LIMITS_FILE"); path != "" {
		admitUntilKilled(path)
	}
	os.Exit(m.Run())
}

// admitUntilKilled is the process that is killed. It settles what earlier ones held, by the IDs on its input,
// and then reserves and settles as fast as it can. It tells what it does, one line each:
//
//	A id before after tokens   admitted between two times
//	S id tokens                about to be settled
//	D id held                  has been settled
func admitUntilKilled(path string) {
	real := journal.Now()
	now := func() time.Duration { return real() * faster }
	m, err := ratelimit.OpenMemory(ratelimit.Options{Now: now, File: path, Fresh: true, Warn: func(s string) { fmt.Println("W", s) }})
	if err != nil {
		fmt.Println("W", err)
		os.Exit(1)
	}
	var out sync.Mutex
	tell := func(format string, a ...any) {
		out.Lock()
		defer out.Unlock()
		fmt.Printf(format+"\n", a...)
	}
	settle := func(id ratelimit.ID, tokens int64) {
		tell("S %x %d", id, tokens)
		tell("D %x %t", id, m.Settle(id, ratelimit.Amounts{1, tokens}))
	}
	entities := m.Declare(killedLimits())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var id ratelimit.ID
		hex.Decode(id[:], in.Bytes())
		settle(id, 0)
	}
	for range 2 {
		go func() {
			for {
				r := ratelimit.Reservation{Amounts: ratelimit.Amounts{1, rand.Int64N(60), 1}, Entities: entities, Life: time.Hour}
				hex.Decode(r.ID[:], fmt.Appendf(nil, "%016x%016x", rand.Uint64(), rand.Uint64()))
				before := now()
				if _, denial := m.Reserve(context.Background(), &r); denial != nil {
					time.Sleep(100 * time.Microsecond)
					continue
				}
				tell("A %x %d %d %d", r.ID, before, now(), r.Amounts[ratelimit.Tokens])
				if rand.IntN(50) > 0 {
					settle(r.ID, rand.Int64N(r.Amounts[ratelimit.Tokens]+1))
				}
			}
		}()
	}
	select {}
}

// admission is what is known of a reservation that was reported.
type admission struct {
	before, after time.Duration
	tokens        int64
	settled       bool
}

// account is what the parent knows of what its children have done.
type account struct {
	*testing.T
	byID     map[string]*admission
	all      []*admission
	inFlight int
}

func (a *account) read(out io.Reader) {
	for in := bufio.NewScanner(out); in.Scan(); {
		f := strings.Fields(in.Text())
		whole := map[string]int{"A": 5, "S": 3, "D": 3, "W": len(f)}
		if len(f) == 0 || len(f) != whole[f[0]] {
			a.Fatalf("a child says %q", in.Text())
		}
		switch f[0] {
		case "A":
			one := &admission{}
			fmt.Sscan(strings.Join(f[2:], " "), (*int64)(&one.before), (*int64)(&one.after), &one.tokens)
			a.byID[f[1]] = one
			a.all = append(a.all, one)
			a.inFlight++
		case "S":
			fmt.Sscan(f[2], &a.byID[f[1]].tokens)
			a.byID[f[1]].settled = true
			a.inFlight--
		case "D":
			if f[2] != "true" {
				a.Errorf("reservation %s was not held any more", f[1])
			}
		case "W":
			a.Errorf("a child warns: %s", in.Text())
		}
		if a.inFlight > 30 {
			a.Errorf("%d are in flight", a.inFlight)
		}
	}
}

// outstanding are the IDs that nobody has settled or begun to settle.
func (a *account) outstanding() string {
	var ids strings.Builder
	for id, one := range a.byID {
		if !one.settled {
			ids.WriteString(id + "\n")
		}
	}
	return ids.String()
}

// child runs a process for a time and kills it.
func (a *account) child(path string, life time.Duration) {
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "NESTOR_TEST_LIMITS_FILE="+path)
	c.Stdin = strings.NewReader(a.outstanding())
	out, err := c.StdoutPipe()
	if err != nil {
		a.Fatal(err)
	}
	if err := c.Start(); err != nil {
		a.Fatal(err)
	}
	kill := time.AfterFunc(life, func() { c.Process.Kill() })
	defer kill.Stop()
	a.read(out)
	c.Wait()
}

// most is the largest sum in any Window of what surely lies in it.
func (a *account) most(amount func(*admission) int64) (most int64) {
	for i, first := range a.all {
		sum := int64(0)
		for _, one := range a.all[i:] {
			if one.before >= first.before && one.after < first.before+ratelimit.Window {
				sum += amount(one)
			}
		}
		most = max(most, sum)
	}
	return most
}

// Processes are killed at random moments, again and again within one Window, while they admit and settle.
func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "limits")
	a := &account{T: t, byID: map[string]*admission{}}
	start := time.Now()
	kills := 0
	for ; time.Since(start) < 5*time.Second && !t.Failed(); kills++ {
		a.child(path, time.Duration(20+rand.IntN(300))*time.Millisecond)
	}
	requests := a.most(func(*admission) int64 { return 1 })
	tokens := a.most(func(one *admission) int64 { return one.tokens })
	t.Logf("%d kills, %d admitted, %d requests and %d tokens at most in a window", kills, len(a.all), requests, tokens)
	if requests > 3000 || tokens > 90_000 {
		t.Errorf("%d requests and %d tokens in one window, want 3000 and 90000 at most", requests, tokens)
	}
	if requests < 2000 || kills < 10 {
		t.Errorf("%d requests in a window after %d kills: the limit was never near", requests, kills)
	}
}
