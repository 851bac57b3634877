package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"syscall"
)

// maxSocketPath is below the smallest sun_path (104 on macOS) with its NUL.
const maxSocketPath = 100

// socketMode gives the socket to its owner and its group: in a pod the group is fsGroup.
const socketMode = 0o660

// A unixListener holds a lock beside its socket as long as it listens.
type unixListener struct {
	*net.UnixListener
	lock *os.File
}

// listenUnix takes the lock, removes the socket that a dead process left behind, and listens. Without the lock two bridges
// would each unlink the other's socket, and the loser would listen where nobody can dial.
func listenUnix(path string, uids []uint32) (net.Listener, error) {
	switch {
	case len(path) > maxSocketPath:
		return nil, fmt.Errorf("server: socket path of %d bytes, at most %d: %s", len(path), maxSocketPath, path)
	case len(uids) > 0 && !canReadUIDs:
		return nil, errors.New("server: a list of user ids needs Linux")
	}
	lock, err := lockSocket(path)
	if err != nil {
		return nil, err
	}
	l, err := bind(path)
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("server: listen on %s: %w", path, err)
	}
	return &unixListener{l, lock}, nil
}

func lockSocket(path string) (*os.File, error) {
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("server: lock of %s: %w", path, err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("server: another bridge listens on %s", path)
	}
	return lock, nil
}

func bind(path string) (*net.UnixListener, error) {
	if err := removeStale(path); err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, socketMode); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// removeStale removes a socket, and nothing that is not one.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&os.ModeSocket == 0:
		return errors.New("the path exists and is not a socket")
	}
	return os.Remove(path)
}

// Close removes the socket before it gives the lock up, so that the next bridge's socket is not the one removed. The lock
// file stays: removing it would let two processes lock two files of the same name.
func (l *unixListener) Close() error {
	err := l.UnixListener.Close()
	if errors.Is(err, net.ErrClosed) {
		return err
	}
	return errors.Join(err, l.lock.Close())
}

func (s *Server) userAllowed(nc net.Conn) bool {
	unix, ok := nc.(*net.UnixConn)
	if !ok || len(s.UIDs) == 0 {
		return true
	}
	uid, err := peerUID(unix)
	return err == nil && slices.Contains(s.UIDs, uid)
}
