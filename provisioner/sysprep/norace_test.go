//go:build !race

package sysprep

// speed is how fast the lab's clock runs.
const speed = 40
