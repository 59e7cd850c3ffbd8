// Package routing decides which deployment a request goes to: it compiles a config into a snapshot of groups made of
// groups, keeps what is known of the deployments live beside it, picks, and explains every choice exactly.
package routing

import (
	"github.com/nestor-gateway/nestor/routing/attempts"
	"github.com/nestor-gateway/nestor/routing/composition"
	"github.com/nestor-gateway/nestor/routing/config"
	"github.com/nestor-gateway/nestor/routing/deployment"
	"github.com/nestor-gateway/nestor/routing/reading"
)

// compiler turns a config into a snapshot, step by step.
type compiler struct {
	*reading.File
	cfg *config.Config
	set *deployment.Set
}

// Compile turns a config into a snapshot. What was read in one of two possible ways, and what will not do
// what it seems to, comes back as diagnostics. The error is a *config.Error with everything that is wrong.
func Compile(cfg *config.Config, providers Providers) (*Snapshot, []config.Diagnostic, error) {
	file := reading.Read(cfg, providers)
	c := &compiler{File: file, cfg: cfg, set: deployment.Declare(cfg, file, providers)}
	if err := c.Err(); err != nil {
		return nil, c.Notes(), err
	}
	s := c.name()
	s.Settings = attempts.Read(cfg, file, s.deployments, s.groupOf)
	targets := c.refer(s)
	if err := c.Err(); err != nil {
		return nil, c.Notes(), err
	}
	c.noteZeros()
	all := composition.Composition{Config: cfg, Deployments: s.deployments, Groups: s.groups, Targets: targets}
	s.graph, s.gates = all.Graph(), all.Gates()
	s.findUnserved()
	s.summarize()
	return s, c.Notes(), nil
}

// noteZeros says where a limit of 0 lets nothing through; one at once means no limit to LiteLLM's Router.
func (c *compiler) noteZeros() {
	for i := range c.cfg.Entries {
		e := &c.cfg.Entries[i]
		for _, limit := range []struct {
			is         *int64
			key, other string
		}{
			{e.Params.RPM, "rpm", ""}, {e.Params.TPM, "tpm", ""},
			{e.Params.MaxParallel, "max_parallel_requests", "; LiteLLM takes it for no limit"},
		} {
			if limit.is != nil && *limit.is == 0 {
				c.Note(e.Position, limit.key+" 0 lets nothing through"+limit.other, "leave the key out where there is no limit")
			}
		}
	}
}
