package main

import (
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/mem"
)

// tuneBuffers has gRPC keep buffers of more sizes. It takes the next larger one for a message and clears all of it, and
// has none between 32 KiB and 1 MiB, where long prompts are: 16 of 100 KB held, and cleared, 16 MiB at a time. Nothing
// may use gRPC yet.
func tuneBuffers() {
	experimental.SetDefaultBufferPool(mem.NewTieredBufferPool(
		1<<8, 1<<10, 1<<12, 1<<13, 1<<14, 1<<15, 1<<16, 1<<17, 1<<18, 1<<19, 1<<20))
}
