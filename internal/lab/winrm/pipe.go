package winrm

import (
	"context"
	"io"
	"sync"
)

// change wakes everybody who waits for something to become different.
type change struct{ ch chan struct{} }

// wait returns a channel that is closed at the next call of tell. Both are
// called with the owner's lock held.
func (c *change) wait() <-chan struct{} {
	if c.ch == nil {
		c.ch = make(chan struct{})
	}
	return c.ch
}

func (c *change) tell() {
	if c.ch != nil {
		close(c.ch)
		c.ch = nil
	}
}

// inputPipe is a process's standard input: a pipe of limited size.
type inputPipe struct {
	mu     sync.Mutex
	change change
	buffer []byte
	limit  int
	ended  bool // the client has sent the end
	broken bool // nobody reads any more
}

// Read implements io.Reader for the process.
func (p *inputPipe) Read(b []byte) (int, error) {
	for {
		p.mu.Lock()
		switch {
		case p.broken:
			p.mu.Unlock()
			return 0, io.EOF
		case len(p.buffer) > 0:
			n := copy(b, p.buffer)
			p.buffer = p.buffer[n:]
			p.change.tell()
			p.mu.Unlock()
			return n, nil
		case p.ended:
			p.mu.Unlock()
			return 0, io.EOF
		case len(b) == 0:
			p.mu.Unlock()
			return 0, nil
		}
		changed := p.change.wait()
		p.mu.Unlock()
		<-changed
	}
}

// send puts data into the pipe and returns once it has room for it, as
// Windows holds a Send back while the process does not read. When ctx ends
// first the data is in the pipe all the same.
func (p *inputPipe) send(ctx context.Context, data []byte, end bool) error {
	p.mu.Lock()
	if p.broken || (p.ended && len(data) > 0) {
		p.mu.Unlock()
		return faultPipeEnded()
	}
	p.buffer = append(p.buffer, data...)
	p.ended = p.ended || end
	p.change.tell()
	for len(p.buffer) > p.limit && !p.broken {
		changed := p.change.wait()
		p.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
		p.mu.Lock()
	}
	p.mu.Unlock()
	return nil
}

// breakUp makes every read end and every further send fail.
func (p *inputPipe) breakUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = true
	p.change.tell()
}

// piece is a part of one output stream.
type piece struct {
	stream string
	data   []byte
}

// output is what one Receive gets.
type output struct {
	pieces   []piece
	done     bool
	exitCode uint32
}

// outputQueue holds what a process has written and nobody has fetched.
type outputQueue struct {
	mu       sync.Mutex
	change   change
	pieces   []piece
	size     int
	limit    int // bytes that the process may be ahead of the client
	maxPiece int // bytes of one stream piece
	closed   bool
	done     bool
	fetched  bool // the end has been told
	exitCode uint32
	fault    *Fault // what a Receive gets once the queue was aborted
}

// streamWriter is a process's stdout or stderr.
type streamWriter struct {
	queue  *outputQueue
	stream string
}

// Write implements io.Writer for the process.
func (w streamWriter) Write(b []byte) (int, error) {
	q, written := w.queue, 0
	for len(b) > 0 {
		q.mu.Lock()
		for q.size >= q.limit && !q.closed {
			changed := q.change.wait()
			q.mu.Unlock()
			<-changed
			q.mu.Lock()
		}
		if q.closed {
			q.mu.Unlock()
			return written, io.ErrClosedPipe
		}
		n := min(len(b), q.maxPiece)
		if last := len(q.pieces) - 1; last >= 0 && q.pieces[last].stream == w.stream && len(q.pieces[last].data) < q.maxPiece {
			n = min(n, q.maxPiece-len(q.pieces[last].data))
			q.pieces[last].data = append(q.pieces[last].data, b[:n]...)
		} else {
			q.pieces = append(q.pieces, piece{w.stream, append([]byte(nil), b[:n]...)})
		}
		q.size += n
		b, written = b[n:], written+n
		q.change.tell()
		q.mu.Unlock()
	}
	return written, nil
}

// finish says that the process has ended by itself.
func (q *outputQueue) finish(exitCode uint32) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed, q.done, q.exitCode = true, true, exitCode
	q.change.tell()
}

// abort ends the queue: whoever waits or asks later gets the fault.
func (q *outputQueue) abort(fault *Fault) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	if q.fault == nil {
		q.fault = fault
	}
	q.change.tell()
}

// receive waits until there is output of the wanted streams or the end, and
// takes at most maxBytes of it. It returns ctx's error when that comes first.
func (q *outputQueue) receive(ctx context.Context, streams []string, maxBytes int) (output, error) {
	for {
		q.mu.Lock()
		if q.fault != nil {
			q.mu.Unlock()
			return output{}, q.fault
		}
		o := q.take(streams, maxBytes)
		if q.done && len(q.pieces) == 0 && !q.fetched {
			o.done, o.exitCode, q.fetched = true, q.exitCode, true
		}
		if len(o.pieces) > 0 || o.done {
			q.change.tell()
			q.mu.Unlock()
			return o, nil
		}
		if q.fetched {
			q.mu.Unlock()
			return output{}, FaultCommandNotFound("")
		}
		changed := q.change.wait()
		q.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return output{}, ctx.Err()
		}
	}
}

// take removes pieces of the wanted streams, in order. The caller holds the
// lock.
func (q *outputQueue) take(streams []string, maxBytes int) output {
	var o output
	var rest []piece
	for _, p := range q.pieces {
		wanted := len(streams) == 0
		for _, name := range streams {
			wanted = wanted || name == p.stream
		}
		n := min(len(p.data), maxBytes)
		if !wanted || n == 0 {
			rest = append(rest, p)
			continue
		}
		o.pieces = append(o.pieces, piece{p.stream, p.data[:n]})
		maxBytes -= n
		q.size -= n
		if n < len(p.data) {
			rest = append(rest, piece{p.stream, p.data[n:]})
		}
	}
	q.pieces = rest
	return o
}
