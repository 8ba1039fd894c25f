// Package benchmarks measures what the plugin promises of its speed and size,
// beside Packer's own communicator in the same run. What is a number of
// requests, processes or bytes is a test, too; a time never is. "make bench"
// runs all of it.
package benchmarks
