//go:build !goexperiment.jsonv2

package columns_test

func strictlyJSON(payload []byte) bool { return plainlyJSON(payload) }
