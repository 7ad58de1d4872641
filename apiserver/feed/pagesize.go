package feed

import (
	"context"
	"fmt"

	"k8s.io/klog/v2"
)

const (
	// leastPatience is after how many pages that could be received larger ones are
	// tried again, mostPatience after how many if they were refused each time: a
	// page that is refused costs the upstream as much as one that is not.
	leastPatience = 16
	mostPatience  = 128
)

// pageSize is how many rows a listing asks for at a time: fewer while larger
// pages cannot be received, so that large rows make listings slower and never
// impossible. It is used by one listing after the other.
type pageSize struct {
	most, rows int
	// smallest is the least size of a page of the present listing.
	smallest int
	// received counts the pages since the size changed; at patience, larger ones
	// are tried.
	received, patience int
	// trying tells that no page of the present size was received yet.
	trying bool
}

func newPageSize(most int) pageSize {
	return pageSize{most: most, rows: most, smallest: most, patience: leastPatience}
}

// begin starts a listing with the size of the one before.
func (p *pageSize) begin() { p.smallest = p.rows }

// fits records that a page could be received.
func (p *pageSize) fits() {
	if p.trying {
		p.trying, p.patience = false, leastPatience
	}
	if p.rows == p.most {
		return
	}
	if p.received++; p.received >= p.patience {
		p.rows, p.received, p.trying = min(2*p.rows, p.most), 0, true
	}
}

// halve records that a page was too large; false means that no smaller one can be
// asked for.
func (p *pageSize) halve() bool {
	if p.rows == 1 {
		return false
	}
	if p.trying {
		p.patience = min(2*p.patience, mostPatience)
	}
	p.rows, p.received, p.trying = p.rows/2, 0, false
	p.smallest = min(p.smallest, p.rows)
	return true
}

// fetchPage asks for the page that holds the row at the offset, in smaller pages
// if it is too large to be received. Pages are numbered by their size: one that
// begins before the offset repeats rows, which does no harm; none is left out.
func (f *Feed[R]) fetchPage(ctx context.Context, offset int) (page[R], error) {
	for {
		size := f.pages.rows
		number := offset/size + 1
		rows, total, err := f.source.List(ctx, number, size)
		switch {
		case err == nil:
			f.pages.fits()
			return page[R]{rows: rows, total: total, end: number * size, last: len(rows) < size}, nil
		case !f.source.TooLarge(err):
			return page[R]{}, fmt.Errorf("listing %s, page %d: %w", f.options.Name, number, err)
		case !f.pages.halve():
			return page[R]{}, fmt.Errorf("listing %s: row %d alone is larger than what can be received: %w", f.options.Name, number, err)
		}
	}
}

// tellPageSize says in the log when listings begin to need smaller pages, and when
// they no longer do. What lasts is shown by State.
func (f *Feed[R]) tellPageSize(ctx context.Context) {
	f.mu.Lock()
	before := f.status.pageSize
	f.status.pageSize = f.pages.smallest
	f.mu.Unlock()
	switch most := f.pages.most; {
	case f.pages.smallest < most && before == most:
		klog.FromContext(ctx).Info("Pages of the upstream's listing are too large to be received, asking for smaller ones", "kind", f.options.Name, "rows", f.pages.smallest)
	case f.pages.smallest == most && before < most:
		klog.FromContext(ctx).Info("Pages of the upstream's listing have their full size again", "kind", f.options.Name, "rows", most)
	}
}
