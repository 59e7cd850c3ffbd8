package store_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/access/record"
	"github.com/nestor-gateway/nestor/access/store"
)

// manyKeys is how many a gateway must load in well under a second.
const manyKeys = 100_000

func BenchmarkEachKeyOf100000(b *testing.B) {
	b.Run("SQLite", func(b *testing.B) { benchmarkEachKey(b, file(b)) })
	b.Run("PostgreSQL", func(b *testing.B) { benchmarkEachKey(b, postgres(b)) })
}

func benchmarkEachKey(b *testing.B, d database) {
	s := d.open(b)
	fill(b, s)
	began := cpu(b)
	for b.Loop() {
		var count int
		must(b, s.EachKey(ctx(), func(record.Key) error { count++; return nil }))
		if count != manyKeys {
			b.Fatalf("%d keys, want %d", count, manyKeys)
		}
	}
	b.ReportMetric(float64((cpu(b)-began).Milliseconds())/float64(b.N), "cpu-ms/op")
}

// cpu is what this process has used: on a machine that others use too it says more than the time that has passed.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// fill makes keys as they usually are: a team, a user, some models, limits.
func fill(b *testing.B, s *store.Store) {
	b.Helper()
	keys := make([]record.Key, manyKeys)
	for i := range keys {
		keys[i] = record.Key{
			Token: record.TokenOf(fmt.Sprint("sk-", i)), Name: "sk-...1234", Alias: fmt.Sprint("key ", i),
			TeamID: fmt.Sprint("team ", i%100), UserID: fmt.Sprint("user ", i%1000), Models: []string{"fast", "slow"},
			Terms:    record.Terms{RPM: new(int64(60)), MaxBudget: new(record.Nano(1e10)), BudgetDuration: "30d", BudgetResetAt: epoch},
			Metadata: json.RawMessage(`{"owner":"somebody"}`), Stamp: record.Stamp{CreatedAt: epoch, UpdatedAt: epoch, CreatedBy: "alice"},
		}
	}
	for chunk := range slices.Chunk(keys, 2000) {
		must(b, s.Import(ctx(), chunk))
	}
}

func BenchmarkWriteSpendOf500(b *testing.B) {
	b.Run("SQLite", func(b *testing.B) { benchmarkWriteSpend(b, file(b)) })
	b.Run("PostgreSQL", func(b *testing.B) { benchmarkWriteSpend(b, postgres(b)) })
}

func benchmarkWriteSpend(b *testing.B, d database) {
	s := d.open(b)
	must(b, s.InsertKey(ctx(), bare("sk-1"), by("/key/generate")))
	rows := make([]record.Spend, 500)
	var batch int
	for b.Loop() {
		batch++
		for i := range rows {
			rows[i] = row(fmt.Sprint(batch, "/", i))
			rows[i].Start = epoch.Add(time.Duration(batch) * time.Second)
		}
		must(b, s.WriteSpend(ctx(), rows))
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*len(rows)), "us/row")
}
