package front

import (
	"encoding/json"
	"strconv"
)

// parameters are those of a request, a tensor or an output. What is not known here is left to whoever does.
type parameters map[string]json.RawMessage

func (given parameters) flag(name string, otherwise bool) (bool, *problem) {
	value, is := given[name]
	if !is {
		return otherwise, nil
	}
	set, err := strconv.ParseBool(string(value))
	if err != nil || len(value) < 4 { // true and false, not 1 and t
		return false, badTensor("parameter %s is %.40s, and takes true or false", name, value)
	}
	return set, nil
}

// size is how many bytes of binary tensor data a tensor has, if it has some.
func (given parameters) size(tensor string) (size uint64, is bool, p *problem) {
	value, is := given["binary_data_size"]
	if !is {
		return 0, false, nil
	}
	size, err := strconv.ParseUint(string(value), 10, 63)
	if err != nil {
		return 0, false, badTensor("tensor %s has binary_data_size %.40s, which is no number of bytes", tensor, value)
	}
	return size, true, nil
}

// stateless refuses a sequence: each row is scored by itself.
func (given parameters) stateless() *problem {
	switch string(given["sequence_id"]) {
	case "", "0", `""`:
		return nil
	}
	return badTensor("sequence_id is set, and this model keeps no state between requests")
}

// askable refuses ways to answer that are not served.
func (given parameters) askable(output string) *problem {
	if _, shared := given["shared_memory_region"]; shared {
		return badTensor("output %s goes to shared memory, which is not served here", output)
	}
	if n, is := given["classification"]; is && string(n) != "0" {
		return badTensor("output %s is asked for as a classification, which is not served here", output)
	}
	return nil
}
