package extproc

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/nestor-gateway/nestor/extproc/views"
)

func TestSnapshotsThatNoRequestUsesAreLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := fixture(t, oneDeployment)
		old, number := s.views.Current()
		s.Router.Swap(fixture(t, twoGroups).Router.View().Snapshot())
		now, _ := s.views.Current()
		time.Sleep(views.Life - time.Second)
		if s.views.At(number) != old {
			t.Error("a request in flight lost its snapshot")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if s.views.At(number) != now {
			t.Error("the old snapshot is still held")
		}
		if current, _ := s.views.Current(); current != now {
			t.Error("the snapshot in force was let go")
		}
	})
}
