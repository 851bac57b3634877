//go:build !linux

package main

func sleepLonger() {}
