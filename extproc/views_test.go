package extproc

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestSnapshotsThatNoRequestUsesAreLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := fixture(t, oneDeployment)
		old, number := s.views.current()
		s.Router.Swap(fixture(t, twoGroups).Router.View().Snapshot())
		now, _ := s.views.current()
		time.Sleep(viewLife - time.Second)
		if s.views.at(number) != old {
			t.Error("a request in flight lost its snapshot")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if s.views.at(number) != now {
			t.Error("the old snapshot is still held")
		}
		if current, _ := s.views.current(); current != now {
			t.Error("the snapshot in force was let go")
		}
	})
}
