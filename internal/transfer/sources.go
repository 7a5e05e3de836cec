package transfer

import (
	"errors"

	"bits"
	"bits/internal/content"
	"bits/internal/layout"
)

// from is the URL that the file comes from.
func (d *download) from() string { return content.From(&d.file) }

// elsewhere goes on with another source after a fault of the one in use; the fault it is if there is none.
// What has arrived stays if the other one is sure to have the same, by the digests of the file or by date and size. If not, and the fault may
// pass, the other is passed over; else the file starts over there.
func (d *download) elsewhere(fault error) (step, error) {
	e, ok := errors.AsType[*bits.Error](fault)
	if !ok || d.rejected || !content.Else(e) {
		return nil, fault
	}
	d.drop()
	if errors.Is(e, errPiece) {
		if next, ok := d.sources.BadPiece(&d.file, e); ok {
			return d.use(next), nil
		}
		return nil, d.sources.Outcome(&d.file, fault)
	}
	for {
		d.sources.Failed(&d.file, e)
		next, ok := d.sources.Next(&d.file)
		if !ok {
			return nil, d.sources.Outcome(&d.file, fault)
		}
		if s := d.use(next); s != nil {
			return s, nil
		}
	}
}

// use turns to a source; nil if it cannot go on with what is there, and that is worth more.
func (d *download) use(source string) step {
	d.file.Source, d.single, d.stream, d.plain, d.seam = source, false, false, false, d.shared.seam
	d.file.Renamed = len(d.file.Done) > 0 && (d.renamed || source != d.home)
	d.guest, d.hosted = d.file.Renamed && d.sources.Passing(), nil
	if before := d.file; d.guest {
		before.Source, before.Renamed, d.hosted = d.home, d.renamed, &before
	}
	if len(d.file.Done) > 0 && !d.resumable() {
		if d.guest {
			return nil
		}
		d.reset()
	}
	return d.start
}

// start is the first request to a source.
func (d *download) start() (step, error) {
	if d.strict && len(d.file.Done) == 0 {
		return d.head()
	}
	return d.request()
}

// parted ends an answer whose bytes are not those that are there. If it is the first of a guest, that is passed over, and what is there is
// as it was before.
func (d *download) parted() (step, error) {
	if d.hosted == nil || d.hosted.Done.Len() != d.before.Len() {
		return d.changed, nil
	}
	source := d.file.Source
	d.file, d.home, d.renamed = *d.hosted, d.hosted.Source, d.hosted.Renamed
	d.sum.Rewind(layout.Prefix(d.file.Done))
	fault := d.otherVersion()
	d.log(true, "passes over %s: its bytes are not those that are there", source)
	if err := d.report.Contact(d.file, true); err != nil {
		return nil, err
	}
	d.file.Source = source // it is the one that has failed
	return nil, fault
}
