package guest

import "encoding/json"

// AnyCall is a call with arguments and an answer as they travel, for tests
// that read both from a file.
func AnyCall(op string, args any) *Call[json.RawMessage] { return newCall[json.RawMessage](op, args) }
