package fleet

import (
	"context"
	"strings"
)

// PartWith returns when the workers of a parent may go: at once where others are there, and else when the front has answered what it has
// accepted, see [front.Front.PartWithWorkers]. Names of workers begin with that of their parent.
func (f *Fleet) PartWith(ctx context.Context, parent string) {
	for _, status := range f.Statuses() {
		for _, w := range status.Workers {
			if !strings.HasPrefix(w.ID, parent+"-") {
				return
			}
		}
	}
	f.cfg.Front.PartWithWorkers(ctx)
}
