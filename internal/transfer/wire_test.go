package transfer_test

import (
	"bytes"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// wire is one direction of a connection within the test: it is as TCP is, but for the network, so that it can be used where time is
// virtual. What was written can be read, also after the writer has closed it or broken it off.
type wire struct {
	mu   sync.Mutex
	news *sync.Cond
	data bytes.Buffer
	end  error // of reading, behind the data; nil: more may come
	deaf bool  // nobody reads any more: what is written is lost, as it is in the buffers of a system
}

func newWire() *wire {
	w := &wire{}
	w.news = sync.NewCond(&w.mu)
	return w
}

func (w *wire) do(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
	w.news.Broadcast()
}

// end is one end of a connection.
type end struct {
	in, out *wire
	peer    *end
	gone    chan bool // closed when the other end is
	mu      sync.Mutex
	closed  bool
}

func connection() (client, server *end) {
	up, down := newWire(), newWire()
	client, server = &end{in: down, out: up, gone: make(chan bool)}, &end{in: up, out: down, gone: make(chan bool)}
	client.peer, server.peer = server, client
	return client, server
}

func (e *end) Read(p []byte) (int, error) {
	w := e.in
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.data.Len() == 0 && w.end == nil && !w.deaf {
		w.news.Wait()
	}
	switch {
	case w.deaf:
		return 0, net.ErrClosed
	case w.data.Len() > 0:
		return w.data.Read(p)
	}
	return 0, w.end
}

func (e *end) Write(p []byte) (n int, err error) {
	e.out.do(func() {
		switch {
		case e.out.end != nil:
			err = net.ErrClosed
		case !e.out.deaf:
			e.out.data.Write(p)
		}
	})
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close ends the connection in order; the other side reads to the end.
func (e *end) Close() error { return e.finish(io.EOF) }

// Reset breaks the connection off.
func (e *end) Reset() error { return e.finish(syscall.ECONNRESET) }

func (e *end) finish(how error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		e.closed = true
		e.out.do(func() { e.out.end = how })
		e.in.do(func() { e.in.deaf = true })
		close(e.peer.gone)
	}
	return nil
}

func (e *end) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1} }
func (e *end) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 2} }
func (e *end) SetDeadline(time.Time) error      { return nil }
func (e *end) SetReadDeadline(time.Time) error  { return nil }
func (e *end) SetWriteDeadline(time.Time) error { return nil }
