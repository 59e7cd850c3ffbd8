package share

// shut says what is closed for the time being. A fork's says only what differs from the state it was made from.
type shut[K comparable] map[K]bool

// put closes or opens what was open or not, and reports whether that changed anything.
func (m shut[K]) put(k K, open, wasOpen, fork bool) bool {
	switch {
	case open == wasOpen:
		return false
	case open && !fork:
		delete(m, k)
	default:
		m[k] = !open
	}
	return true
}

// LeafOpen reports whether a leaf was not closed by Set.
func (s *State) LeafOpen(leaf int32) bool {
	for ; s != nil; s = s.base {
		if closed, said := s.leaves[leaf]; said {
			return !closed
		}
	}
	return true
}

// MemberOpen reports whether a member lets anything through, whatever it leads to.
func (s *State) MemberOpen(p Place) bool {
	if s.graph.member(p).Closed {
		return false
	}
	for ; s != nil; s = s.base {
		if closed, said := s.members[p]; said {
			return !closed
		}
	}
	return true
}

// GroupOpen reports whether a group lets anything through, whatever it is made of.
func (s *State) GroupOpen(group int32) bool {
	if s.graph.groups[group].Closed {
		return false
	}
	for ; s != nil; s = s.base {
		if closed, said := s.shutGroups[group]; said {
			return !closed
		}
	}
	return true
}

// Set opens or closes a leaf, and with it all that depends on it.
func (s *State) Set(leaf int32, open bool) {
	if s.graph.closed[leaf] || !s.leaves.put(leaf, open, s.LeafOpen(leaf), s.base != nil) {
		return
	}
	for _, p := range s.graph.leafUses.of(leaf) {
		s.put(p)
	}
	s.settle()
}

// SetMember opens or closes a member for all that it leads to.
func (s *State) SetMember(p Place, open bool) {
	if s.graph.member(p).Closed || !s.members.put(p, open, s.MemberOpen(p), s.base != nil) {
		return
	}
	s.put(p)
	s.settle()
}

// SetGroup opens or closes a group, for calls of it and for all that refers to it.
func (s *State) SetGroup(group int32, open bool) {
	if s.graph.groups[group].Closed || !s.shutGroups.put(group, open, s.GroupOpen(group), s.base != nil) {
		return
	}
	s.queue.push(s.graph.rank[group])
	s.settle()
}

// settle carries the changes of the queued groups up to all that are made of them.
func (s *State) settle() {
	for last := int32(-1); len(s.queue) > 0; {
		rank := s.queue.pop()
		if rank == last {
			continue
		}
		last = rank
		for _, p := range s.graph.groupUses.of(s.graph.byRank[rank]) {
			s.put(p)
		}
	}
}
