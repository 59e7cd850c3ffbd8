package share

// Watch calls f from now on whenever a member gets something to give, or has nothing any more: see MemberLive.
// f must not use the state.
func (s *State) Watch(f func(p Place, live bool)) { s.watch = f }

// Flipped lists the members of a fork that may be live where they are not in the state that it was made from, or the
// other way round; some may be there twice.
func (s *State) Flipped() []Place { return s.flipped }

func (s *State) flip(p Place, live bool) {
	switch {
	case s.base != nil:
		s.flipped = append(s.flipped, p)
	case s.watch != nil:
		s.watch(p, live)
	}
}
