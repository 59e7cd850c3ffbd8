package main

import (
	"fmt"
	"slices"
	"time"
)

// subject is a gateway that is measured.
type subject struct {
	name    string
	address string // where clients connect
	parts   []part
}

// part is processes of a subject whose cost is shown as one.
type part struct {
	name string
	pids func() ([]int, error)
}

// The parts' names.
const (
	envoyPart     = "Envoy"
	processorPart = "processor"
	wholePart     = "LiteLLM"
)

// alone is the process without what it has started.
func alone(name string, p *process) part {
	return part{name, func() ([]int, error) { return []int{p.pid()}, nil }}
}

// children are the processes that p has started.
func children(name string, p *process) part {
	return part{name, p.below}
}

// whole is the process with all that it has started.
func whole(name string, p *process) part {
	return part{name, func() ([]int, error) {
		pids, err := p.below()
		return append(pids, p.pid()), err
	}}
}

// meter reads what the processes of a subject have used so far.
type meter struct {
	parts []reading
}

type reading struct {
	name string
	pids []int
	cpu  time.Duration
}

func (s *subject) meter() (meter, error) {
	var m meter
	for _, p := range s.parts {
		pids, err := p.pids()
		if err != nil {
			return m, err
		}
		if len(pids) == 0 {
			return m, fmt.Errorf("%s has no process for %s", s.name, p.name)
		}
		slices.Sort(pids)
		r := reading{name: p.name, pids: pids}
		if r.cpu, err = total(pids, cpuTime); err != nil {
			return m, err
		}
		m.parts = append(m.parts, r)
	}
	return m, nil
}

// since returns the CPU time of each part between two readings. A process that came or went
// in between has broken the measurement.
func (m meter) since(before meter) (map[string]time.Duration, error) {
	used := map[string]time.Duration{}
	for i, r := range m.parts {
		if !slices.Equal(r.pids, before.parts[i].pids) {
			return nil, fmt.Errorf("the processes of %s changed during the run: %v, then %v", r.name, before.parts[i].pids, r.pids)
		}
		used[r.name] = r.cpu - before.parts[i].cpu
	}
	return used, nil
}

// memory returns the resident bytes of each part.
func (m meter) memory() (map[string]int64, error) {
	bytes := map[string]int64{}
	for _, r := range m.parts {
		n, err := total(r.pids, resident)
		if err != nil {
			return nil, err
		}
		bytes[r.name] = n
	}
	return bytes, nil
}

func total[T int64 | time.Duration](pids []int, read func(pid int) (T, error)) (T, error) {
	var sum T
	for _, pid := range pids {
		n, err := read(pid)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}
