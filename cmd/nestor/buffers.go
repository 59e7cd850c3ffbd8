package main

import (
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/mem"
)

// tuneBuffers has gRPC keep buffers of more sizes. It takes the next larger one for a message and clears all of it, and
// has none between 32 KiB and 1 MiB, where long prompts are: 16 of 100 KB held, and cleared, 16 MiB at a time. Nothing
// may use gRPC yet.
func tuneBuffers() {
	sizes := []uint8{8, 10, 12, 13, 14, 15, 16, 17, 18, 19, 20} // as powers of 2
	pool, err := mem.NewBinaryTieredBufferPool(sizes...)
	if err != nil {
		panic(err) // of sizes that no machine can allocate
	}
	experimental.SetDefaultBufferPool(pool)
}
