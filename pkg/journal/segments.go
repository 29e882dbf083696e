package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"syscall"
)

// minSegments are what a journal needs: one that is written, one that a checkpoint
// frees, one to go on in. A start waits for no more.
const minSegments = 3

// Resize says how many segments there shall be, at least 3. It returns at once: they are
// made, or removed when they are free, in the background, and the room changes as they
// do. What fails is told to OnError, and tried again at the next Free or Resize.
func (j *Journal) Resize(segments int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.segments = max(segments, minSegments)
	poke(j.work)
}

// keep is the goroutine that makes and removes segments, so that no commit waits for it.
func (j *Journal) keep() {
	for {
		select {
		case <-j.work:
			for j.adjust() {
			}
			j.report()
		case <-j.stop:
			j.report()
			return
		}
	}
}

// adjust makes or removes one segment, if the number is not the wanted one, and says
// whether to look again.
func (j *Journal) adjust() bool {
	select {
	case <-j.stop:
		return false
	default:
	}
	j.mu.Lock()
	there := len(j.free)
	for _, s := range j.live {
		if !s.failed { // that one is not written again
			there++
		}
	}
	grow := there < j.segments && j.err == nil
	var surplus *segment
	// The last free one is for E1; of two the other knows better how far the journal went.
	if there > j.segments && len(j.free) > 1 && j.err == nil {
		surplus, j.free = j.free[0], j.free[1:]
	}
	j.mu.Unlock()
	var err error
	switch {
	case grow:
		if err = j.spacious(); err == nil {
			err = j.grow()
		}
	case surplus != nil:
		err = j.drop(surplus)
	default:
		return false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil && !j.stuck { // not at each Free again
		j.tell(err)
	}
	j.stuck = err != nil
	return err == nil
}

// spacious looks before it leaps, if the file system can tell: to write until it is full
// would take the last room from the message files (E2).
func (j *Journal) spacious() error {
	if j.options.Free == nil {
		return nil
	}
	free, err := j.options.Free()
	if err == nil && free < 2*j.segmentSize {
		err = fmt.Errorf("journal: one more segment of %d bytes, %d are free: %w", j.segmentSize, free, syscall.ENOSPC)
	}
	return err
}

// grow makes one more segment. It gets a number above all that are there, or were in this
// life: a damaged one, set aside, stays the only one of its name.
func (j *Journal) grow() error {
	j.making.Lock()
	defer j.making.Unlock()
	names, err := j.fs.List(j.dir)
	if err != nil {
		return err
	}
	j.number(names)
	name := fmt.Sprintf("%08d.seg", j.named)
	j.named++
	s, err := create(j.fs, j.unfinished(), path.Join(j.dir, name), j.segmentSize)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.putFree(s)
	return nil
}

// number lets the next segment have a number above those of names.
func (j *Journal) number(names []string) {
	for _, name := range names {
		if number, _, ok := strings.Cut(name, ".seg"); ok {
			if n, err := strconv.ParseUint(number, 10, 63); err == nil {
				j.named = max(j.named, n+1)
			}
		}
	}
}

// unfinished is the name of a segment that is being made.
func (j *Journal) unfinished() string { return path.Join(j.dir, "segment.new") }

// drop removes a free segment. It may come back, if the power fails: then it is free.
func (j *Journal) drop(s *segment) error {
	j.making.Lock()
	defer j.making.Unlock()
	if err := j.fs.Remove(s.name); err != nil {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.putFree(s)
		return err
	}
	return errors.Join(j.fs.SyncDir(j.dir), s.file.Close())
}

// tidy makes the directory ready for new segments, before any is made.
func (j *Journal) tidy() error {
	if j.options.InPlace != nil {
		if err := j.options.InPlace(j.dir); err != nil {
			j.tell(fmt.Errorf("journal: %s: %w", j.dir, err)) // it works all the same
		}
	}
	if err := j.fs.Remove(j.unfinished()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	names, err := j.fs.List(j.dir)
	j.number(names)
	for _, name := range names {
		if strings.HasSuffix(name, ".seg"+failedSuffix) {
			if err := j.setAside(path.Join(j.dir, name)); err != nil {
				j.tell(err)
			}
		}
	}
	return err
}

// tell notes an error for OnError. The caller holds mu.
func (j *Journal) tell(err error) {
	if j.options.OnError != nil {
		j.untold = append(j.untold, err)
		poke(j.work)
	}
}

// report calls OnError with what was noted.
func (j *Journal) report() {
	j.mu.Lock()
	errs := j.untold
	j.untold = nil
	j.mu.Unlock()
	for _, err := range errs {
		j.options.OnError(err)
	}
}
