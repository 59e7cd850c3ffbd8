// Package process finds an Envoy program, runs it as a process that outlives a killed nestor, and adopts the one
// that an earlier nestor left.
package process

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// How long Envoy may take until its administration answers.
	startTimeout = 10 * time.Second
	// Pauses before an Envoy that died is started again: doubled each time, and
	// back to the first after it has lived for steadyTime.
	firstPause = 100 * time.Millisecond
	lastPause  = 10 * time.Second
	steadyTime = 10 * time.Second
)

// Options says which Envoy to run, and where it keeps what it needs.
type Options struct {
	Binary, Version string // from FindBinary
	// Dir is the data directory. Each Address gets a folder of its own in it.
	Dir string
	// Address is where clients connect, HOST:PORT with a port that is not 0.
	Address   string
	Bootstrap []byte // JSON
	NodeID    string // the one in Bootstrap
	// Concurrency is the number of worker threads; 0 leaves it to Envoy (one a core).
	Concurrency int
	// Grace is the longest wait for requests in flight before Envoy is stopped.
	Grace time.Duration
	Log   *slog.Logger
}

// Child is an Envoy that serves one address: started by this process, or adopted from
// one that was killed. Envoy runs in a session of its own, so that it outlives a killed
// nestor and never sees the terminal's signals.
type Child struct {
	o    Options
	hash string
	home *home

	mu      sync.Mutex
	process *process
	admin   admin
	adopted bool
	stopped bool
}

// Start adopts the Envoy that an earlier run left on the address, or starts one, and
// returns when its administration answers (it may not have its configuration yet). Envoy
// is recognized by its node id and by the instance and bootstrap hash in its node
// metadata. One that is ours but has another bootstrap is drained and replaced.
// ErrAddressHeld: the address is served by somebody else, or by a running nestor.
// The caller must call Run, or Stop where it never gets there.
func Start(ctx context.Context, o Options) (*Child, error) {
	h, err := openHome(o.Dir, o.Address)
	if err != nil {
		return nil, err
	}
	c := &Child{o: o, hash: bootstrapHash(o), home: h}
	if err := c.begin(ctx); err != nil {
		return nil, errors.Join(err, h.close())
	}
	return c, nil
}

// Admin returns HOST:PORT of the administration of the Envoy that runs now. It changes
// when Envoy is started again and the bootstrap leaves the port free.
func (c *Child) Admin() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.admin)
}

// PID returns the process id of the Envoy that runs now.
func (c *Child) PID() int { return c.current().handle.Pid }

// Adopted reports whether the Envoy that runs now was started by an earlier run.
func (c *Child) Adopted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.adopted
}

// LogFile returns the path of the file that Envoy's log is appended to.
func (c *Child) LogFile() string { return c.home.log() }

// Live waits until Envoy has its first configuration and listens.
func (c *Child) Live(ctx context.Context) error {
	for {
		info, err := admin(c.Admin()).info(ctx)
		if err == nil && info.State == "LIVE" {
			return nil
		}
		if err := sleep(ctx, adminPoll); err != nil {
			return fmt.Errorf("wait for envoy to be live (its log: %s): %w", c.LogFile(), err)
		}
	}
}

// ReopenLog has Envoy open its log file anew, after it was moved away.
func (c *Child) ReopenLog() error {
	logFile, err := c.openLog() // Envoy would make one that everybody can read
	if err != nil {
		return err
	}
	return errors.Join(logFile.Close(), c.Signal(syscall.SIGUSR1))
}

func (c *Child) openLog() (*os.File, error) {
	logFile, err := os.OpenFile(c.home.log(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open envoy's log: %w", err)
	}
	return logFile, nil
}

// Signal passes a signal on to Envoy.
func (c *Child) Signal(s os.Signal) error { return c.current().signal(s) }

// Run keeps Envoy running until ctx ends, and then drains and stops it.
func (c *Child) Run(ctx context.Context) error {
	pause := firstPause
	for {
		p := c.current()
		select {
		case <-ctx.Done():
		case <-p.done:
		}
		if ctx.Err() != nil {
			return c.Stop(context.WithoutCancel(ctx))
		}
		if time.Since(p.began) > steadyTime {
			pause = firstPause
		}
		c.o.Log.Error("envoy died; it is started again", "pid", p.handle.Pid, "how", p.how, "pause", pause, "log", c.LogFile())
		pause = c.revive(ctx, pause)
	}
}

// revive starts Envoy again, as often as it takes, and returns the next pause.
func (c *Child) revive(ctx context.Context, pause time.Duration) time.Duration {
	for sleep(ctx, pause) == nil {
		pause = min(2*pause, lastPause)
		err := c.start(ctx)
		if err == nil {
			c.o.Log.Info("envoy runs again", "pid", c.PID(), "admin", c.Admin())
			return pause
		}
		c.o.Log.Error("envoy does not start", "error", err, "next", pause)
	}
	return pause
}

// Stop lets requests in flight end, for the grace time at most, stops Envoy and gives
// the address back. When ctx ends the wait is over. A second call does nothing.
func (c *Child) Stop(ctx context.Context) error {
	if !c.stopping() {
		return nil
	}
	err := retire(ctx, c.current(), admin(c.Admin()), c.o.Grace)
	c.home.clean()
	return errors.Join(err, c.home.close())
}

// stopping reports whether this call is the first to stop Envoy.
func (c *Child) stopping() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := !c.stopped
	c.stopped = true
	return first
}

const (
	// logFlush is in what time an Envoy sends what it has logged, with some to spare. It drops the rest when it ends.
	logFlush = 100 * time.Millisecond
	// logWait is how long it is waited for that an Envoy finds a nestor to send it to, which may just have come back.
	logWait = 3 * time.Second
)

// retire drains and ends a process; one that is gone already is fine.
func retire(ctx context.Context, p *process, a admin, grace time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if grace > 0 && a.drain(ctx) == nil {
		waitIdle(ctx, p, a)
		waitHeard(ctx, p, a)
		_ = sleep(ctx, logFlush) // when ctx ends before, the last entries are lost
	}
	return p.end()
}

// waitIdle returns when no request is in flight, Envoy is gone, or ctx has ended.
func waitIdle(ctx context.Context, p *process, a admin) {
	wait(ctx, p, func() bool {
		n, err := a.active(ctx)
		return err != nil || n == 0
	})
}

// waitHeard returns when Envoy has a nestor that takes its log, is gone, or has been waited for long enough: after a nestor
// has come back that takes it a second.
func waitHeard(ctx context.Context, p *process, a admin) {
	ctx, cancel := context.WithTimeout(ctx, logWait)
	defer cancel()
	wait(ctx, p, func() bool {
		heard, err := a.heard(ctx)
		return err != nil || heard
	})
}

// wait asks again and again until over is true, the process has ended, or ctx has.
func wait(ctx context.Context, p *process, over func() bool) {
	for !over() && sleep(ctx, watchEvery) == nil {
		select {
		case <-p.done:
			return
		default:
		}
	}
}

func (c *Child) begin(ctx context.Context) error {
	adopted, err := c.adopt(context.WithoutCancel(ctx)) // or an Envoy would be left unattended
	if err != nil || adopted {
		return err
	}
	return c.start(ctx)
}

// adopt takes over the Envoy of the last run. False: there is none any more.
func (c *Child) adopt(ctx context.Context) (bool, error) {
	r, ok := c.home.load()
	if !ok {
		return false, nil
	}
	p, ok := attach(r)
	if !ok {
		return false, nil
	}
	a, info, err := c.reach(ctx, p)
	ours := err == nil && info.Node.Metadata[metaInstance] == r.Instance
	if !ours && p.born == 0 {
		return false, fmt.Errorf("%w: process %d has the pid of the envoy of %s, but does not answer as it; stop it by hand",
			ErrAddressHeld, r.PID, c.o.Address)
	}
	if ours && info.Node.ID == c.o.NodeID && info.Node.Metadata[metaHash] == c.hash {
		c.set(p, a, true)
		return true, nil
	}
	c.o.Log.Warn("the envoy of an earlier run has another configuration; it is replaced", "pid", r.PID)
	return false, retire(ctx, p, a, c.o.Grace)
}

// start runs a new Envoy and waits for its administration.
func (c *Child) start(ctx context.Context) error {
	c.home.clean()
	if err := checkFree(c.o.Address); err != nil {
		return err
	}
	if err := os.WriteFile(c.home.bootstrap(), c.o.Bootstrap, 0o600); err != nil {
		return fmt.Errorf("write envoy's bootstrap: %w", err)
	}
	p, err := c.spawn()
	if err != nil {
		return err
	}
	a, _, err := c.reach(ctx, p)
	if err != nil {
		return errors.Join(err, p.end())
	}
	c.set(p, a, false)
	return nil
}

func (c *Child) spawn() (*process, error) {
	logFile, err := c.openLog()
	if err != nil {
		return nil, err
	}
	defer logFile.Close()
	instance := rand.Text()
	cmd := exec.Command(c.o.Binary, c.arguments(instance)...)
	cmd.Dir = c.home.dir
	cmd.Env = environment()
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	p, err := spawn(cmd)
	if err != nil {
		return nil, err
	}
	if err := c.home.save(record{PID: p.handle.Pid, Born: p.born, Instance: instance}); err != nil {
		return nil, errors.Join(fmt.Errorf("record envoy's pid: %w", err), p.end())
	}
	return p, nil
}

// arguments are Envoy's command line. The instance and the hash are merged into the
// node of the bootstrap: a hash cannot stand in what it is the hash of.
func (c *Child) arguments(instance string) []string {
	node := map[string]any{"node": map[string]any{
		"metadata": map[string]string{metaInstance: instance, metaHash: c.hash},
	}}
	merged, _ := json.Marshal(node) // maps of strings always can be
	args := []string{
		"--config-path", c.home.bootstrap(),
		"--config-yaml", string(merged),
		"--admin-address-path", c.home.admin(),
		// Envoy opens it anew at SIGUSR1, and writes in bulk, by default every ten seconds.
		"--log-path", c.home.log(), "--file-flush-interval-msec", "100",
		"--disable-hot-restart",
	}
	if c.o.Concurrency > 0 {
		args = append(args, "--concurrency", strconv.Itoa(c.o.Concurrency))
	}
	return args
}

// reach waits until the administration of p answers, and returns what it said.
func (c *Child) reach(ctx context.Context, p *process) (admin, serverInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		if a, ok := readAdmin(c.home.admin()); ok {
			if info, err := a.info(ctx); err == nil {
				return a, info, nil
			}
		}
		select {
		case <-p.done:
			return "", serverInfo{}, fmt.Errorf("envoy ended at once (%s): %s", p.how, lastLines(c.LogFile()))
		case <-ctx.Done():
			return "", serverInfo{}, fmt.Errorf("envoy (pid %d) does not answer: %w; its log: %s", p.handle.Pid, ctx.Err(), c.LogFile())
		case <-time.After(adminPoll):
		}
	}
}

func (c *Child) current() *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.process
}

func (c *Child) set(p *process, a admin, adopted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.process, c.admin, c.adopted = p, a, adopted
}

// bootstrapHash covers everything in which two Envoys of one address can differ.
func bootstrapHash(o Options) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\n%d\n", o.Version, o.Concurrency)
	sum.Write(o.Bootstrap)
	return hex.EncodeToString(sum.Sum(nil))
}

// environment is what Envoy gets to see of ours: nothing that could be a secret.
func environment() []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "TZ", "LD_LIBRARY_PATH"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// lastLines returns the end of the log, where Envoy says why it ended.
func lastLines(path string) string {
	const enough = 3
	b, err := os.ReadFile(path)
	if err != nil || len(b) == 0 {
		return "it wrote nothing to " + path
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-enough):], "\n") + "\nall of it: " + path
}
