package front

import (
	"strconv"
	"time"
)

// parameters are those of a request, a tensor or an output that mean something here, as JSON; nil: not given. Others are left aside.
type parameters struct {
	binaryData, binaryDataOutput, binaryDataSize []byte
	sequenceID, classification, sharedMemory     []byte
	timeout                                      []byte
}

func (given *parameters) set(name string, value []byte) {
	switch name {
	case "binary_data":
		given.binaryData = value
	case "binary_data_output":
		given.binaryDataOutput = value
	case "binary_data_size":
		given.binaryDataSize = value
	case "sequence_id":
		given.sequenceID = value
	case "classification":
		given.classification = value
	case "shared_memory_region":
		given.sharedMemory = value
	case "timeout":
		given.timeout = value
	}
}

// read takes the parameters of an object of JSON, which may be null.
func (given *parameters) read(object []byte) *problem {
	is, p := eachMember(object, func(name, value []byte) *problem {
		given.set(string(name), value)
		return nil
	})
	if !is && string(object) != "null" {
		return badTensor("not an inference request: parameters is no object")
	}
	return p
}

func flagIn(name string, value []byte, otherwise bool) (bool, *problem) {
	switch string(value) {
	case "":
		return otherwise, nil
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, badTensor("parameter %s is %.40s, and takes true or false", name, value)
}

// size is how many bytes of binary tensor data a tensor has, if it has some.
func (given *parameters) size(tensor string) (size uint64, is bool, p *problem) {
	if given.binaryDataSize == nil {
		return 0, false, nil
	}
	size, err := strconv.ParseUint(string(given.binaryDataSize), 10, 63)
	if err != nil {
		return 0, false, badTensor("tensor %s has binary_data_size %.40s, which is no number of bytes", tensor, given.binaryDataSize)
	}
	return size, true, nil
}

// patience is how long the client waits for its answer, in microseconds; 0: it does not say.
func (given *parameters) patience() (time.Duration, *problem) {
	if given.timeout == nil {
		return 0, nil
	}
	us, err := strconv.ParseUint(string(given.timeout), 10, 63)
	if err != nil {
		return 0, badTensor("parameter timeout is %.40s, and takes microseconds", given.timeout)
	}
	return time.Duration(min(us, uint64(longest/time.Microsecond))) * time.Microsecond, nil
}

// stateless refuses a sequence: each row is scored by itself.
func (given *parameters) stateless() *problem {
	switch string(given.sequenceID) {
	case "", "0", `""`:
		return nil
	}
	return badTensor("sequence_id is set, and this model keeps no state between requests")
}

// askable refuses ways to answer that are not served.
func (given *parameters) askable(output string) *problem {
	switch {
	case given.sharedMemory != nil:
		return badTensor("output %s goes to shared memory, which is not served here", output)
	case given.classification != nil && string(given.classification) != "0":
		return badTensor("output %s is asked for as a classification, which is not served here", output)
	}
	return nil
}
