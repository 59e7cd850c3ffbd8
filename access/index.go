package access

import (
	"encoding/hex"
	"log/slog"
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/routes"
	"github.com/nestor-gateway/nestor/routing/config"
)

// Options are what an Index needs. All may be zero.
type Options struct {
	// Store is where the records are; without one there is the master key only.
	Store Store
	// NotFound is the error, or what it wraps, by which the store says that a record is not there.
	NotFound error
	// Entities is the limiter; without it nothing is limited.
	Entities Entities
	// Accounts is the ledger of what is spent; without it there are no budgets.
	Accounts Accounts
	// Now is time.Now unless given.
	Now func() time.Time
	Log *slog.Logger
}

// Index finds the key of a request in memory. It is safe for concurrent use; looking up takes no lock.
type Index struct {
	o      Options
	master atomic.Pointer[Master]
	// networks are those that may ask; nil is all.
	networks atomic.Pointer[[]netip.Prefix]
	catalog  *slot[catalog]
	routes   routes.Table
	keys     shards

	// changing is held by whoever changes what follows, or the keys.
	changing sync.Mutex
	teams    map[string]*slot[Team]
	users    map[string]*slot[User]
	budgets  map[string]record.Terms
	// regenerated are the keys of now, by the tokens that they had first.
	regenerated map[string]hash
	profiles    profiles
}

// New returns an Index without any key that lets everybody in: see SetMaster, Load and Follow.
func New(o Options) *Index {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	x := &Index{o: o, catalog: &slot[catalog]{}, routes: routes.NewTable(),
		teams: map[string]*slot[Team]{}, users: map[string]*slot[User]{}, budgets: map[string]record.Terms{}, regenerated: map[string]hash{},
		profiles: profiles{known: map[string]*profile{}}}
	x.SetMaster("")
	return x
}

// SetMaster puts another master key in force; an empty one lets everybody in.
func (x *Index) SetMaster(key config.Secret) { x.master.Store(NewMaster(key)) }

// SetCatalog says what the names of a config mean from now on.
func (x *Index) SetCatalog(c Catalog) { x.catalog.now.Store(&catalog{c}) }

// Authenticate is Master's for the holder of the master key, and finds the virtual key otherwise.
// A key that is blocked or has expired, or whose team is blocked, is a denial of 401 too; who asks from a network that is
// not allowed gets a 403.
func (x *Index) Authenticate(header func(name string) string) (Principal, *Denial) {
	if d := x.fromAllowed(header); d != nil {
		return Principal{}, d
	}
	m := x.master.Load()
	if x.o.Store == nil || m.open {
		return m.Authenticate(header)
	}
	hash, given := presented(header)
	switch {
	case !given:
		return Principal{}, noKey()
	case m.is(hash):
		return Principal{Master: true}, nil
	}
	k := x.keys.find(&hash)
	if k == nil {
		return Principal{}, unknownKey()
	}
	if d := k.stands(x.o.Now); d != nil {
		return Principal{}, d
	}
	return Principal{Key: k}, nil
}

// shards are the keys by the first byte of their hash. A shard is never changed but replaced: reading needs no lock,
// and a change copies a 256th of all.
type shards [256]atomic.Pointer[shard]

type shard map[hash]*Key

func (s *shards) of(h *hash) *atomic.Pointer[shard] { return &s[h[0]] }

func (s *shards) find(h *hash) *Key {
	if in := s.of(h).Load(); in != nil {
		return (*in)[*h]
	}
	return nil
}

// put replaces the key of a hash; nil takes it away. Only one caller at a time.
func (s *shards) put(h *hash, k *Key) {
	next := shard{}
	if now := s.of(h).Load(); now != nil {
		maps.Copy(next, *now)
	}
	if k == nil {
		delete(next, *h)
	} else {
		next[*h] = k
	}
	s.of(h).Store(&next)
}

// replace replaces a shard whole, and returns what it was.
func (s *shards) replace(i int, next shard) shard {
	if before := s[i].Swap(&next); before != nil {
		return *before
	}
	return nil
}

// each visits all keys.
func (s *shards) each(f func(*Key)) {
	for i := range s {
		if in := s[i].Load(); in != nil {
			for _, k := range *in {
				f(k)
			}
		}
	}
}

// hashOf reads a token; ok is false for what is none.
func hashOf(token string) (h hash, ok bool) {
	b, err := hex.DecodeString(token)
	return h, err == nil && copy(h[:], b) == len(h) && len(b) == len(h)
}
