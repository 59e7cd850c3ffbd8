package crew

import (
	"fmt"
	"slices"
	"time"
)

// Part is processes whose cost is shown as one.
type Part struct {
	Name string
	pids func() ([]int, error)
}

// Alone is a process without what it has started.
func Alone(name string, p *Process) Part {
	return Part{name, func() ([]int, error) { return []int{p.pid()}, nil }}
}

// Children are the processes that p has started, and theirs.
func Children(name string, p *Process) Part {
	return Part{name, p.below}
}

// Whole is a process with all that it has started.
func Whole(name string, p *Process) Part {
	return Part{name, func() ([]int, error) {
		pids, err := p.below()
		return append(pids, p.pid()), err
	}}
}

// Meter is what parts have used up to one moment.
type Meter struct {
	readings []reading
}

type reading struct {
	name string
	pids []int
	cpu  time.Duration
}

// Read reads the meters of some parts. A part without a process is an error.
func Read(parts []Part) (Meter, error) {
	var m Meter
	for _, p := range parts {
		pids, err := p.pids()
		if err != nil {
			return m, err
		}
		if len(pids) == 0 {
			return m, fmt.Errorf("no process runs for the part %q", p.Name)
		}
		slices.Sort(pids)
		r := reading{name: p.Name, pids: pids}
		if r.cpu, err = total(pids, cpuTime); err != nil {
			return m, err
		}
		m.readings = append(m.readings, r)
	}
	return m, nil
}

// Since returns the CPU time that each part used between two readings of the same parts.
// A process that came or went in between has broken the measurement.
func (m Meter) Since(before Meter) (map[string]time.Duration, error) {
	used := map[string]time.Duration{}
	for i, r := range m.readings {
		if !slices.Equal(r.pids, before.readings[i].pids) {
			return nil, fmt.Errorf("the processes of the part %q changed: %v, then %v", r.name, before.readings[i].pids, r.pids)
		}
		used[r.name] = r.cpu - before.readings[i].cpu
	}
	return used, nil
}

// Memory returns the resident bytes of each part, now.
func (m Meter) Memory() (map[string]int64, error) {
	bytes := map[string]int64{}
	for _, r := range m.readings {
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
