package listen

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// A counted connection counts how often it is told a deadline.
type counted struct {
	net.Conn
	told int
}

func (c *counted) SetReadDeadline(t time.Time) error  { c.told++; return c.Conn.SetReadDeadline(t) }
func (c *counted) SetWriteDeadline(t time.Time) error { c.told++; return c.Conn.SetWriteDeadline(t) }

// pair is a connection over loopback: ours, and the other end.
func pair(t *testing.T) (*slotted, *counted, net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	other, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c := &counted{Conn: conn}
	s := slot(c, func() {})
	t.Cleanup(func() { s.Close(); other.Close() })
	return s, c, other
}

func in(d time.Duration) time.Time { return time.Now().Add(d) }

// waits starts a Read and returns its error when it ends.
func waits(s *slotted) <-chan error {
	ended := make(chan error, 1)
	go func() {
		_, err := s.Read(make([]byte, 1))
		ended <- err
	}()
	return ended
}

func TestADeadlineIsKept(t *testing.T) {
	s, _, _ := pair(t)
	began := time.Now()
	_ = s.SetReadDeadline(in(50 * time.Millisecond))
	if err := <-waits(s); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) < 50*time.Millisecond {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	if err := <-waits(s); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("and stays: %v", err)
	}
}

func TestALaterDeadlineCountsThoughTheConnectionWasToldAnEarlierOne(t *testing.T) {
	s, c, _ := pair(t)
	began := time.Now()
	_ = s.SetReadDeadline(in(20 * time.Millisecond))
	_ = s.SetReadDeadline(in(200 * time.Millisecond))
	if c.told != 1 {
		t.Errorf("told %d times", c.told)
	}
	if err := <-waits(s); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) < 200*time.Millisecond {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}

func TestADeadlineThatIsTakenBackIsNone(t *testing.T) {
	s, _, other := pair(t)
	_ = s.SetReadDeadline(in(20 * time.Millisecond))
	_ = s.SetReadDeadline(time.Time{})
	ended := waits(s)
	select {
	case err := <-ended:
		t.Fatalf("ended: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	_, _ = other.Write([]byte("x"))
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestADeadlineSetMeanwhileWakesWhoWaits(t *testing.T) {
	for name, at := range map[string]func() time.Time{
		"past": func() time.Time { return time.Unix(1, 0) }, "sooner": func() time.Time { return in(50 * time.Millisecond) },
	} {
		s, _, _ := pair(t)
		_ = s.SetReadDeadline(in(time.Hour))
		ended := waits(s)
		time.Sleep(20 * time.Millisecond) // it may wait by now; either way it must end
		_ = s.SetReadDeadline(at())
		select {
		case err := <-ended:
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s: waits on", name)
		}
	}
}

// As net/http does for each request on a connection: interrupt the read behind it, and read on.
func TestAConnectionGoesOnAfterAnInterruption(t *testing.T) {
	s, c, other := pair(t)
	buffer := make([]byte, 8)
	for i := range 200 {
		_ = s.SetReadDeadline(in(2 * time.Minute))
		_, _ = other.Write([]byte("request"))
		if n, err := s.Read(buffer); n != 7 || err != nil {
			t.Fatalf("round %d: %d %v", i, n, err)
		}
		_ = s.SetReadDeadline(time.Time{})
		_ = s.SetReadDeadline(in(5 * time.Second))
		_ = s.SetReadDeadline(in(10 * time.Second))
		_ = s.SetWriteDeadline(in(time.Minute))
		_ = s.SetReadDeadline(time.Time{})
		behind := waits(s)
		_ = s.SetReadDeadline(time.Unix(1, 0))
		if err := <-behind; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("round %d: %v", i, err)
		}
		_ = s.SetReadDeadline(time.Time{})
		if _, err := s.Write([]byte("answer")); err != nil {
			t.Fatal(err)
		}
	}
	if most := 2*200 + 5; c.told > most {
		t.Errorf("told %d deadlines in 200 requests, at most %d", c.told, most)
	}
}

// asleep waits until the reader of a connection sleeps.
func asleep(t *testing.T, s *slotted) {
	for until := in(time.Minute); ; time.Sleep(50 * time.Microsecond) {
		s.reads.mu.Lock()
		sleeps := s.reads.naps.asleep
		s.reads.mu.Unlock()
		switch {
		case sleeps:
			return
		case time.Now().After(until):
			t.Fatal("nobody sleeps")
		}
	}
}

func TestWhoSleepsIsInterruptedWithoutTheConnection(t *testing.T) {
	s, c, other := pair(t)
	s.reads.naps.bell = &bell{every: time.Hour}
	buffer := make([]byte, 8)
	for i := range 50 {
		behind := waits(s)
		asleep(t, s)
		_ = s.SetReadDeadline(time.Unix(1, 0))
		if err := <-behind; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("round %d: %v", i, err)
		}
		_ = s.SetReadDeadline(time.Time{})
		_, _ = other.Write([]byte("request"))
		if n, err := s.Read(buffer); n != 7 || err != nil {
			t.Fatalf("round %d: %d %v", i, n, err)
		}
	}
	if c.told > 0 {
		t.Errorf("told %d deadlines in 50 requests", c.told)
	}
}

func TestAnInterruptionThatWokeASleeperStopsOtherReadsToo(t *testing.T) {
	s, _, _ := pair(t)
	behind := waits(s)
	asleep(t, s)
	_ = s.SetReadDeadline(time.Unix(1, 0))
	<-behind
	if _, err := s.Read(make([]byte, 8)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

func TestAClientThatLeavesIsNoticedByWhoSlept(t *testing.T) {
	s, _, other := pair(t)
	behind := waits(s)
	asleep(t, s)
	other.Close()
	select {
	case err := <-behind:
		if !errors.Is(err, io.EOF) {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("sleeps on")
	}
}

func TestInterruptionsAndReadersMayRace(t *testing.T) {
	s, _, _ := pair(t)
	for range 2000 {
		_ = s.SetReadDeadline(in(time.Hour))
		ended := waits(s)
		var both sync.WaitGroup
		both.Go(func() { _ = s.SetReadDeadline(in(30 * time.Minute)) })
		both.Wait()
		_ = s.SetReadDeadline(time.Unix(1, 0))
		select {
		case <-ended:
		case <-time.After(time.Minute):
			t.Fatal("an interrupted read waits on")
		}
	}
}

func TestAWriteGoesOnWhereAnEarlyDeadlineStoppedIt(t *testing.T) {
	s, _, other := pair(t)
	_ = s.SetWriteDeadline(in(20 * time.Millisecond))
	_ = s.SetWriteDeadline(in(time.Hour))
	const size = 32 << 20 // more than the kernel keeps
	sent := make(chan error, 1)
	go func() {
		n, err := s.Write(make([]byte, size))
		if err == nil && n != size {
			err = errors.New("not all was written")
		}
		s.Close()
		sent <- err
	}()
	time.Sleep(100 * time.Millisecond) // the early deadline has passed in the midst of it
	got, buffer := 0, make([]byte, 1<<20)
	for {
		n, err := other.Read(buffer)
		if got += n; err != nil {
			break
		}
	}
	if err := <-sent; err != nil || got != size {
		t.Errorf("%v, %d of %d bytes", err, got, size)
	}
}

func TestAWriteDeadlineIsKept(t *testing.T) {
	s, _, _ := pair(t)
	_ = s.SetWriteDeadline(in(50 * time.Millisecond))
	if _, err := s.Write(make([]byte, 32<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

func BenchmarkDeadlinesOfARequest(b *testing.B) {
	l, _ := net.Listen("tcp", "127.0.0.1:0")
	other, _ := net.Dial("tcp", l.Addr().String())
	defer other.Close()
	conn, _ := l.Accept()
	defer conn.Close()
	for name, c := range map[string]net.Conn{"plain": conn, "early": slot(conn, func() {})} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				now := time.Now()
				_ = c.SetReadDeadline(now.Add(2 * time.Minute))
				if s, is := c.(*slotted); is {
					s.reads.ready()
				}
				_ = c.SetReadDeadline(time.Time{})
				_ = c.SetReadDeadline(now.Add(5 * time.Second))
				_ = c.SetReadDeadline(now.Add(10 * time.Second))
				_ = c.SetWriteDeadline(now.Add(time.Minute))
				_ = c.SetReadDeadline(time.Time{})
				_ = c.SetReadDeadline(time.Unix(1, 0))
				_ = c.SetReadDeadline(time.Time{})
			}
		})
	}
}
