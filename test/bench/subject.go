package main

import "github.com/nestor-gateway/nestor/test/bench/crew"

// subject is a gateway that is measured.
type subject struct {
	name    string
	address string // where clients connect
	key     string // what they show; empty for the master key
	usage   bool   // its streams have a usage event
	parts   []crew.Part
}

// The parts' names. What LiteLLM does is all its processor's.
const (
	envoyPart     = "Envoy"
	processorPart = "processor"
)
