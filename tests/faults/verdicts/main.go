// Verdicts decodes frames as the bridge does and says what it makes of each, so that a test can hold another language's
// decoder against it. It reads frames with their lengths from standard input and writes a byte for each to standard
// output: 0 for a message, the code of the BYE for what is refused, 255 for what is to be skipped. Its argument is the minor version, 0
// without one.
package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"log"
	"os"
	"strconv"

	"ds-runner.dev/ds-runner/bridge_go/wire"
)

func main() {
	minor := 0
	if len(os.Args) > 1 {
		var err error
		if minor, err = strconv.Atoi(os.Args[1]); err != nil {
			log.Fatal(err)
		}
	}
	in, out := bufio.NewReaderSize(os.Stdin, 1<<20), bufio.NewWriter(os.Stdout)
	for {
		frame, err := next(in)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		if err := out.WriteByte(verdict(frame, uint8(minor))); err != nil {
			log.Fatal(err)
		}
	}
	if err := out.Flush(); err != nil {
		log.Fatal(err)
	}
}

// next reads a frame as it was made: unlike the bridge's reader it lets an empty one pass, which decoders are to refuse.
func next(in io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(in, length[:]); err != nil {
		return nil, err
	}
	frame := make([]byte, binary.BigEndian.Uint32(length[:]))
	_, err := io.ReadFull(in, frame)
	return frame, err
}

func verdict(frame []byte, minor uint8) byte {
	m, err := wire.Decode(frame, minor)
	var broken *wire.Error
	switch {
	case errors.As(err, &broken):
		return byte(broken.Code)
	case err != nil:
		log.Fatalf("% x: %v is no verdict", frame, err)
	}
	if _, skipped := m.(*wire.Skipped); skipped {
		return 255
	}
	return 0
}
