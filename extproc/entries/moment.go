package entries

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Moment is a google.protobuf.Timestamp or Duration, which look alike.
type Moment struct {
	seconds int64
	nanos   int32
	said    bool
}

// MomentOf is a moment that is said.
func MomentOf(seconds int64, nanos int32) Moment { return Moment{seconds, nanos, true} }

// Said reports whether the entry has it.
func (m Moment) Said() bool { return m.said }

// Duration is zero where it is not said, and the longest there is where it is longer.
func (m Moment) Duration() time.Duration {
	return (&durationpb.Duration{Seconds: m.seconds, Nanos: m.nanos}).AsDuration()
}

// Time is the beginning of 1970 where it is not said.
func (m Moment) Time() time.Time {
	return (&timestamppb.Timestamp{Seconds: m.seconds, Nanos: m.nanos}).AsTime()
}

func (m *Moment) read(message []byte) error {
	m.said = true
	f := over(message)
	for f.next() {
		switch f.tag {
		case timeSeconds:
			m.seconds = int64(f.number)
		case timeNanos:
			m.nanos = int32(f.number)
		}
	}
	return f.err
}
