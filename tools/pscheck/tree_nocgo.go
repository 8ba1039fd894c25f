//go:build !cgo

package main

func parse([]byte) (*text, error) { return nil, errNoCgo }
