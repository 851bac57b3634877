package front

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"time"
)

// reloadEvery is how soon a file that has changed counts. The files are small, so they are simply read: that sees through
// links that are set anew, as clusters do with secrets, and through clocks.
const reloadEvery = time.Second

// watched are files that belong together and are taken again when one has changed.
type watched struct {
	paths []string
	take  func(contents [][]byte) error

	seen [][]byte // what was taken or refused last
}

// look reads the files and has them taken if they are not what they were. After an error what was taken before counts; the
// same contents are refused once.
func (w *watched) look() error {
	contents := make([][]byte, len(w.paths))
	same := len(w.seen) == len(w.paths)
	for i, path := range w.paths {
		var err error
		if contents[i], err = readSmall(path); err != nil {
			return err
		}
		same = same && bytes.Equal(contents[i], w.seen[i])
	}
	if same {
		return nil
	}
	w.seen = contents
	return w.take(contents)
}

func readSmall(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, mostInFile+1))
	if err == nil && len(data) > mostInFile {
		err = fmt.Errorf("%s: %w", path, errTooMuch)
	}
	return data, err
}

// watch has files read again while the front lives. Trouble is told when it begins.
func (f *Front) watch(what string, w *watched) {
	if w == nil {
		return
	}
	var told string
	f.beside.Go(func() {
		f.each(reloadEvery, func(time.Time) {
			before := w.seen
			err := w.look()
			switch changed := len(before) > 0 && &before[0] != &w.seen[0]; {
			case err != nil && err.Error() != told:
				f.cfg.Log.Warn(what+" not read again; what was read before counts", "error", err)
				told = err.Error()
			case err == nil && changed:
				f.cfg.Log.Info(what + " read again")
				told = ""
			}
		})
	})
}
