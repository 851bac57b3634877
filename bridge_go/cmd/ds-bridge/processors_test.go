package main

import "testing"

func TestTheBridgeTakesAThirdOfTheProcessors(t *testing.T) {
	for processors, want := range map[int]int{1: 1, 2: 1, 3: 1, 4: 2, 8: 3, 64: 22} {
		if got := share(processors); got != want {
			t.Errorf("of %d: %d, expected %d", processors, got, want)
		}
	}
}
