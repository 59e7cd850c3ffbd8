package store_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nestor-gateway/nestor/access/budget"
	"github.com/nestor-gateway/nestor/access/record"
)

// A deadlock ends after a second in which nothing goes on, and requests that wait for a budget fail. Here replicas write
// what a key has cost while it is regenerated, and teams go with their keys.
func TestTransactionsNeverWaitForEachOther(t *testing.T) {
	const replicas, rounds, keys = 3, 60, 30
	d := own(t)
	manager := d.open(t)
	must(t, manager.InsertUser(ctx(), record.User{ID: "u"}, by("/user/new")))
	must(t, manager.InsertKey(ctx(), record.Key{Token: "0", UserID: "u"}, by("/key/generate")))
	check := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	var work sync.WaitGroup
	work.Go(func() {
		for i := range rounds {
			_, err := manager.UpdateKey(ctx(), fmt.Sprint(i), by("/key/regenerate"), func(k *record.Key) error { k.Token = fmt.Sprint(i + 1); return nil })
			check(err)
		}
	})
	work.Go(func() {
		for range rounds / 10 {
			check(manager.InsertTeam(ctx(), record.Team{ID: "t"}, by("/team/new")))
			for i := range keys {
				check(manager.InsertKey(ctx(), record.Key{Token: fmt.Sprint("t", (i*7)%keys), TeamID: "t"}, by("/key/generate")))
			}
			_, err := manager.DeleteTeams(ctx(), []string{"t"}, by("/team/delete"))
			check(err)
		}
	})
	for replica := range replicas {
		s := d.open(t)
		work.Go(func() {
			for i := range rounds {
				rows := []record.Spend{{ID: fmt.Sprint(replica, " ", i), Start: epoch, Cost: 1, Accounts: []string{"key:0", "user:u"}}}
				claims := []budget.Claim{{Account: "key:0"}, {Account: "team:t"}}
				for k := range keys {
					claims = append(claims, budget.Claim{Account: fmt.Sprint("key:t", k)})
				}
				_, err := s.Exchange(ctx(), budget.Call{Replica: fmt.Sprint(replica), Seq: int64(i), Life: time.Minute, Rows: rows, Claims: claims})
				check(err)
			}
		})
	}
	work.Wait()
	if strings.Contains(d.server.Log(), "deadlock detected") {
		t.Error("transactions have waited for each other")
	}
	equal(t, record.Nano(replicas*rounds), got(manager.User(ctx(), "u"))(t).Spend)
	equal(t, record.Nano(replicas*rounds), got(manager.Key(ctx(), fmt.Sprint(rounds)))(t).Spend)
}
