package transfer

import "time"

// checkpoints makes the promises: sync first, then the record.
// One runs at a time, beside the copying.
type checkpoints struct {
	d        *download
	last     time.Time
	inFlight chan error
}

func (c *checkpoints) due() bool { return time.Since(c.last) >= checkpointEvery }

// offer starts a checkpoint if it is time for one, and returns the error of the one before.
func (c *checkpoints) offer() error {
	if !c.due() || c.d.job.HighPerformance {
		return nil
	}
	if c.inFlight != nil {
		select {
		case err := <-c.inFlight:
			c.inFlight = nil
			if err != nil {
				return err
			}
		default:
			return nil
		}
	}
	c.last = time.Now()
	d, done, hashing := c.d, c.d.file.Done, c.d.sum.State() // of the same moment
	c.inFlight = make(chan error, 1)
	go func(result chan<- error) {
		err := d.temp.Sync()
		if err == nil {
			err = d.report.Checkpoint(d.file.Number, done, hashing, 0, false)
		}
		result <- err
	}(c.inFlight)
	return nil
}

func (c *checkpoints) wait() error {
	if c.inFlight == nil {
		return nil
	}
	err := <-c.inFlight
	c.inFlight = nil
	return err
}

func (c *checkpoints) record(finished bool) error {
	if err := c.d.temp.Sync(); err != nil {
		return err
	}
	if c.d.job.HighPerformance && !finished {
		c.d.temp.Mark(c.d.mark())
	}
	size, hashing := int64(0), c.d.sum.State()
	if finished {
		hashing = nil
	}
	if c.d.file.Size != nil {
		size = *c.d.file.Size
	}
	return c.d.report.Checkpoint(c.d.file.Number, c.d.file.Done, hashing, size, finished)
}
