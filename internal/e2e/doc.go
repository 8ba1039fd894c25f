// Package e2e holds the tests that run the real Packer with the real plugin
// against the lab. They need a Packer, whose path is in EC2_SYSPREP_PACKER
// (make test sees to it), and skip themselves without one.
package e2e
