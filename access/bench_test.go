package access_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/access"
	"github.com/nestor-gateway/nestor/access/record"
)

const manyKeys = 100_000

// many is a store of keys with what is usual: a team, a user, some models, limits.
func many() *memory {
	m := newMemory()
	for i := range 100 {
		id := fmt.Sprint("team-", i)
		m.teams[id] = record.Team{ID: id, Models: []string{"fast", "slow", "beta"}, Terms: record.Terms{RPM: ptr[int64](1000)}}
	}
	for i := range manyKeys {
		m.addKey(fmt.Sprint(i), record.Key{
			TeamID: fmt.Sprint("team-", i%100), Models: []string{"all-team-models", "fast", "openai/*", "slow"}[i%2:], Aliases: map[string]string{"gpt": "fast", fmt.Sprint("own-", i%10): "slow"},
			Terms: record.Terms{RPM: ptr[int64](100), TPM: ptr[int64](10_000)}, AllowedRoutes: []string{"llm_api_routes"},
		})
	}
	return m
}

func BenchmarkLoad(b *testing.B) {
	m := many()
	for b.Loop() {
		loaded(b, m, access.Options{Entities: newEntities()})
	}
}

// BenchmarkAuthenticate is the lookup of one of 100,000 keys by what a request carries, its hash included.
func BenchmarkAuthenticate(b *testing.B) {
	x := loaded(b, many(), access.Options{Entities: newEntities()})
	headers := make([]func(string) string, 4096)
	for i := range headers {
		headers[i] = authorization("Bearer " + secretOf(fmt.Sprint(i*23)))
	}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		if _, denial := x.Authenticate(headers[i%len(headers)]); denial != nil {
			b.Fatal(denial)
		}
		i++
	}
}

// BenchmarkCheck is all that access control does for a request, but for the limiter.
func BenchmarkCheck(b *testing.B) {
	x := loaded(b, many(), access.Options{Entities: newEntities()})
	x.SetCatalog(aliased{"quick", "fast"})
	headers := make([]func(string) string, 4096)
	for i := range headers {
		headers[i] = authorization("Bearer " + secretOf(fmt.Sprint(i*23)))
	}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		check(b, x, headers[i%len(headers)], "gpt")
		i++
	}
}

func authorization(value string) func(string) string {
	return func(name string) string {
		if name == "authorization" {
			return value
		}
		return ""
	}
}

func check(t testing.TB, x *access.Index, header func(string) string, model string) {
	p, denial := x.Authenticate(header)
	if denial == nil {
		denial = p.May(access.Call{Route: "/v1/chat/completions", Model: model})
	}
	if denial != nil {
		t.Error(denial)
	}
	var buf [8]*access.Limited
	for _, l := range p.Limits(buf[:0], model) {
		l.Entity()
	}
}

func TestACheckAllocatesNothing(t *testing.T) {
	m := newMemory()
	m.teams["t"] = record.Team{ID: "t", Models: []string{"fast"}, Terms: record.Terms{RPM: ptr[int64](1)}}
	m.addKey("a", record.Key{TeamID: "t", Models: []string{"f*"}, Aliases: map[string]string{"gpt": "quick"}, Expires: time.Now().Add(time.Hour),
		Terms: record.Terms{RPM: ptr[int64](1)}, ModelRPM: map[string]int64{"fast": 1}, AllowedRoutes: []string{"info_routes", "openai_routes"}})
	x := loaded(t, m, access.Options{Entities: newEntities()})
	x.SetCatalog(aliased{"quick", "fast"})
	header := authorization("Bearer " + secretOf("a"))
	if n := testing.AllocsPerRun(100, func() { check(t, x, header, "gpt") }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
