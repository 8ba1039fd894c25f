package direct

import (
	"context"
	"sync"
)

// buffer is an output stream between the poll that fetches it and its reader.
type buffer struct {
	mu      sync.Mutex
	changed chan struct{} // closed and replaced at every change
	data    []byte
	err     error // how it ends, after the data
}

func newBuffer() *buffer { return &buffer{changed: make(chan struct{})} }

// tell wakes who waits. The caller holds the lock.
func (b *buffer) tell() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// Read implements io.Reader.
func (b *buffer) Read(to []byte) (int, error) {
	for {
		b.mu.Lock()
		if len(b.data) > 0 || len(to) == 0 {
			n := copy(to, b.data)
			if b.data = b.data[n:]; len(b.data) == 0 {
				b.data = nil
			}
			b.tell()
			b.mu.Unlock()
			return n, nil
		}
		if b.err != nil {
			defer b.mu.Unlock()
			return 0, b.err
		}
		changed := b.changed
		b.mu.Unlock()
		<-changed
	}
}

// put adds data, once there is room for it.
func (b *buffer) put(ctx context.Context, data []byte) error {
	b.mu.Lock()
	for len(b.data) > unread {
		changed := b.changed
		b.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
		b.mu.Lock()
	}
	defer b.mu.Unlock()
	b.data = append(b.data, data...)
	b.tell()
	return nil
}

// end says that nothing follows.
func (b *buffer) end(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
	b.tell()
}
