//go:build race

package sysprep

// speed is how fast the lab's clock runs. Under the race detector everything
// else is slower.
const speed = 20
