package spend

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	suffix = ".rows"
	// mostRead bounds what is read at once; the longest line is shorter.
	mostRead = 1 << 20
)

// errFull is why a journal takes nothing more.
var errFull = errors.New("what may wait on disk is used up")

// place is a place between two lines.
type place struct {
	file   uint64
	offset int64
}

// journal is lines in numbered files; the last file grows, those that are read are removed. It has one user at a time.
type journal struct {
	dir           string
	segment, most int64
	files         []segment // ascending
	last          *os.File  // the last of files, to append to; nil when the next line begins a new file
	next          uint64    // number of the next file
	size          int64     // of all files
}

type segment struct {
	number uint64
	size   int64
	lines  int64
}

// openJournal also returns how many lines there are. Nothing is appended to the files that are there: they may end anyhow.
func openJournal(dir string, segmentBytes, most int64) (*journal, int64, error) {
	j := &journal{dir: dir, segment: segmentBytes, most: most, next: 1}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, 0, err
	}
	var lines int64
	for _, e := range entries {
		number, ok := numberOf(e.Name())
		if !ok {
			continue
		}
		s, err := measure(filepath.Join(dir, e.Name()), number)
		if err != nil {
			return nil, 0, err
		}
		j.files = append(j.files, s)
		j.size += s.size
		j.next = max(j.next, number+1)
		lines += s.lines
	}
	slices.SortFunc(j.files, func(a, b segment) int { return cmp.Compare(a.number, b.number) })
	return j, lines, nil
}

func numberOf(name string) (n uint64, ok bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	if !ok {
		return 0, false
	}
	_, err := fmt.Sscanf(digits, "%d", &n)
	return n, err == nil && n > 0 && name == nameOf(n)
}

func nameOf(n uint64) string { return fmt.Sprintf("%012d%s", n, suffix) }

func (j *journal) path(n uint64) string { return filepath.Join(j.dir, nameOf(n)) }

// measure counts the lines of a file, an unfinished one too.
func measure(path string, number uint64) (segment, error) {
	f, err := os.Open(path)
	if err != nil {
		return segment{}, err
	}
	defer f.Close()
	s := segment{number: number}
	buffer, unfinished := make([]byte, 64<<10), false
	for {
		n, err := f.Read(buffer)
		s.size += int64(n)
		s.lines += int64(bytes.Count(buffer[:n], []byte{'\n'}))
		if n > 0 {
			unfinished = buffer[n-1] != '\n'
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return s, err
		}
	}
	if unfinished {
		s.lines++
	}
	return s, nil
}

// append writes n lines, all or none of them.
func (j *journal) append(lines []byte, n int) error {
	if j.size+int64(len(lines)) > j.most {
		return errFull
	}
	if err := j.begin(); err != nil {
		return err
	}
	s := &j.files[len(j.files)-1]
	if _, err := j.last.Write(lines); err != nil {
		// What a part of them would be is not known to the readers. Where it can't be cut off, it is the end of its file.
		if cut := j.last.Truncate(s.size); cut != nil {
			err = errors.Join(err, cut, j.seal())
		}
		return err
	}
	s.size += int64(len(lines))
	s.lines += int64(n)
	j.size += int64(len(lines))
	return nil
}

// begin makes a new file unless the last one has room.
func (j *journal) begin() error {
	if j.last != nil && j.files[len(j.files)-1].size < j.segment {
		return nil
	}
	if err := j.seal(); err != nil {
		return err
	}
	f, err := os.OpenFile(j.path(j.next), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	j.files = append(j.files, segment{number: j.next})
	j.last = f
	j.next++
	return nil
}

// seal lets the next line begin a new file.
func (j *journal) seal() error {
	if j.last == nil {
		return nil
	}
	err := j.last.Close()
	j.last = nil
	return err
}

// start is before the first line.
func (j *journal) start() place {
	if len(j.files) == 0 {
		return place{file: j.next}
	}
	return place{file: j.files[0].number}
}

// end is after the last line.
func (j *journal) end() place {
	if len(j.files) == 0 {
		return place{file: j.next}
	}
	s := j.files[len(j.files)-1]
	return place{s.number, s.size}
}

// read returns whole lines that begin at a place, and where they end. At the end of a file it also returns what is
// unfinished there. No lines: there are no more.
func (j *journal) read(from place) (lines []byte, to place, err error) {
	for _, s := range j.files {
		if s.number > from.file {
			from = place{file: s.number}
		}
		if s.number < from.file || s.size <= from.offset {
			continue
		}
		buffer := make([]byte, min(mostRead, s.size-from.offset))
		if err := readAt(j.path(s.number), buffer, from.offset); err != nil {
			return nil, from, err
		}
		if at := from.offset + int64(len(buffer)); at < s.size {
			// A piece without any end of a line is no line of ours; it is read as one that is broken.
			if whole := bytes.LastIndexByte(buffer, '\n') + 1; whole > 0 {
				buffer = buffer[:whole]
			}
		}
		return buffer, place{s.number, from.offset + int64(len(buffer))}, nil
	}
	return nil, j.end(), nil
}

func readAt(path string, buffer []byte, offset int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.ReadAt(buffer, offset)
	return err
}

// release removes files that end before a place, or, once all is read, at it.
func (j *journal) release(before place) error {
	var all error
	for len(j.files) > 0 {
		s := j.files[0]
		if s.number > before.file || s.number == before.file && (s.size > before.offset || !j.worthEnding(s)) {
			return all
		}
		if len(j.files) == 1 {
			all = errors.Join(all, j.seal())
		}
		all = errors.Join(all, j.drop())
	}
	return all
}

// worthEnding keeps the last file while it is small, or a file would come and go with every row.
func (j *journal) worthEnding(s segment) bool {
	return j.last == nil || len(j.files) > 1 || s.size >= j.segment/4
}

// drop removes the first file.
func (j *journal) drop() error {
	s := j.files[0]
	j.files = j.files[1:]
	j.size -= s.size
	err := os.Remove(j.path(s.number))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// at is the number of the file that a place leads to.
func (j *journal) at(p place) uint64 {
	for _, s := range j.files {
		if s.number > p.file || s.number == p.file && s.size > p.offset {
			return s.number
		}
	}
	return p.file
}

// setAside takes a file that can't be read out of the way, and returns how many lines it had.
func (j *journal) setAside(number uint64) (int64, error) {
	i := slices.IndexFunc(j.files, func(s segment) bool { return s.number == number })
	if i < 0 {
		return 0, nil
	}
	var sealed error
	if i == len(j.files)-1 {
		sealed = j.seal()
	}
	lines := j.files[i].lines
	j.size -= j.files[i].size
	j.files = slices.Delete(j.files, i, i+1)
	return lines, errors.Join(sealed, os.Rename(j.path(number), j.path(number)+".unreadable"))
}
