package listen

import "golang.org/x/sys/unix"

// deafen makes the kernel drop the first packet of new connections to a listening socket. Those that it holds can still be
// accepted, and handshakes that are under way complete. To whoever dials meanwhile the packet is lost; the repeated one, a
// second later, meets no listener.
func deafen(fd int) error {
	const flags, syn, all = 13, 0x02, 0xffff // the byte of a TCP header that holds its flags
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: flags},
		{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: syn, Jt: 0, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: all},
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
}
