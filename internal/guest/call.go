package guest

import (
	"encoding/json"
	"errors"
	"fmt"
)

// ErrUnanswered is what a call's Answer returns before it was asked.
var ErrUnanswered = errors.New("the call has not been answered")

// ErrUnknown is what becomes of a call that must not be repeated when the
// connection was lost after it had been sent: it may have been carried out.
var ErrUnknown = errors.New("the connection was lost and nobody knows whether the call was carried out")

// Asker is a call: something that can be put into a request.
type Asker interface {
	raw() (RawCall, error)
	accept(json.RawMessage)
	abandon(error)
	repeatable() bool
	answered() bool
	answerSize() int
}

// Call is a call whose answer is a T.
type Call[T any] struct {
	op   string
	args any
	once bool
	// size is how many bytes the answer may have in its line, 0 when it is small.
	size int

	done   bool
	answer T
	err    error
}

func newCall[T any](op string, args any) *Call[T] { return &Call[T]{op: op, args: args} }

// Answer returns what the guest answered. The error is a *CallError when the
// guest could not do what was asked, or ErrUnanswered or ErrUnknown.
func (c *Call[T]) Answer() (T, error) {
	if !c.done {
		return c.answer, ErrUnanswered
	}
	return c.answer, c.err
}

// Or returns the answer, or fallback when there is none.
func (c *Call[T]) Or(fallback T) T {
	if !c.done || c.err != nil {
		return fallback
	}
	return c.answer
}

func (c *Call[T]) raw() (RawCall, error) {
	args, err := json.Marshal(c.args)
	if err != nil {
		return RawCall{}, fmt.Errorf("encoding %s: %w", c.op, err)
	}
	return RawCall{Op: c.op, Args: args}, nil
}

func (c *Call[T]) accept(data json.RawMessage) {
	var failure struct {
		Error *CallError `json:"error"`
	}
	c.done = true
	if err := json.Unmarshal(data, &failure); err != nil {
		c.err = fmt.Errorf("reading the answer of %s: %w", c.op, err)
		return
	}
	if failure.Error != nil {
		c.err = fmt.Errorf("%s: %w", c.op, failure.Error)
		return
	}
	if err := json.Unmarshal(data, &c.answer); err != nil {
		c.err = fmt.Errorf("reading the answer of %s: %w", c.op, err)
	}
}

func (c *Call[T]) abandon(err error) { c.done, c.err = true, err }
func (c *Call[T]) repeatable() bool  { return !c.once }
func (c *Call[T]) answered() bool    { return c.done }
func (c *Call[T]) answerSize() int   { return c.size }
