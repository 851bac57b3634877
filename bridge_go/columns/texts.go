package columns

import "math"

// Few words, many rows: then a column goes as words and codes, which cost the worker a text a word instead of one a row. A column that
// has had too many words is text for some batches without asking.
const (
	fewWords    = 128 // and a quarter of the rows
	mostWords   = 256
	fewest      = 8 // rows
	firstRest   = 8 // batches
	longestRest = 512
)

// texts is a column of texts. Row r is set when all below r are, and may be set anew.
type texts struct {
	plain   bool    // texts one behind the other; else codes
	offsets []int32 // of plain ones: one more than rows
	text    []byte
	codes   []int32
	words   dictionary
	rest    int // batches that are plain before words are tried again
	resting int
	row     int // the row that has brought the last word
	before  int // words before that row
}

func (t *texts) grow(room int) {
	t.offsets = grown(t.offsets, room+1)
	t.codes = grown(t.codes, room)
}

func (t *texts) reset() {
	t.text = t.text[:0]
	t.words.clear()
	t.row, t.before = 0, 0
	if t.plain = t.resting > 0; t.plain {
		t.resting--
	}
}

// takeBack forgets the words that a row has brought. Texts need nothing: the next one is put where that row's was.
func (t *texts) takeBack(row int) {
	if !t.plain && t.row == row {
		t.words.truncate(t.before)
	}
}

// put sets a row. False: offsets would not fit.
func (t *texts) put(row int, text []byte) bool {
	if !t.plain {
		if n, known := t.words.find(text); known {
			t.codes[row] = int32(n)
			return true
		}
		if t.words.len() < min(fewWords+row/4, mostWords) {
			t.learn(row, text)
			return true
		}
		if t.spell(row); len(t.text) > math.MaxInt32/2 {
			return false
		}
		t.relax()
	}
	from := t.offsets[row]
	if len(text) > math.MaxInt32-int(from) {
		return false
	}
	t.text = append(t.text[:from], text...)
	t.offsets[row+1] = int32(len(t.text))
	return true
}

// relax lets the next batches be plain, twice as many as the last time.
func (t *texts) relax() {
	t.rest = min(max(2*t.rest, firstRest), longestRest)
	t.resting = t.rest
}

func (t *texts) learn(row int, text []byte) {
	if t.row != row {
		t.row, t.before = row, t.words.len()
	}
	t.codes[row] = int32(t.words.add(text))
}

func (t *texts) putNull(row int) {
	if t.plain {
		t.offsets[row+1] = t.offsets[row]
	} else {
		t.codes[row] = -1
	}
}

// spell turns the codes of the rows below into texts.
func (t *texts) spell(rows int) {
	t.plain = true
	t.text = t.text[:0]
	for row, code := range t.codes[:rows] {
		if code >= 0 {
			t.text = append(t.text, t.words.at(int(code))...)
		}
		t.offsets[row+1] = int32(len(t.text))
	}
}

func (t *texts) at(row int) []byte {
	if t.plain {
		return t.text[t.offsets[row]:t.offsets[row+1]]
	}
	return t.words.at(int(t.codes[row]))
}

// settle decides how the column goes: as words where there are at least two rows a word, and eight in all.
func (t *texts) settle(rows int) encoding {
	if t.plain {
		return asText
	}
	if n := t.words.len(); rows >= fewest && n > 0 {
		if 2*n <= rows {
			t.rest = 0
			return asWords
		}
		t.relax()
	}
	t.spell(rows)
	return asText
}

// parts are what settle has decided on: codes, offsets and text.
func (t *texts) parts(rows int) (codes, offsets []int32, text []byte) {
	if t.plain {
		return nil, t.offsets[:rows+1], t.text[:t.offsets[rows]]
	}
	return t.codes[:rows], t.words.offsets, t.words.text
}
