// Command reducemodel makes the API model that the EC2 double is checked
// against: it takes the models of EC2 and STS as AWS publishes them and keeps
// what the double's operations need.
//
//	go run ./internal/lab/ec2/internal/reducemodel -from DIR -to internal/lab/ec2/testdata/model.json.gz
//
// DIR is a folder that holds the module github.com/aws/aws-sdk-go v1.55.8, as
// `go mod download -json github.com/aws/aws-sdk-go@v1.55.8` names it.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/ec2"
)

// stsOperations are the operations of the Security Token Service that the
// double answers.
var stsOperations = []string{"AssumeRole", "GetCallerIdentity"}

// service is one API, in the form of AWS's api-2.json and waiters-2.json.
type service struct {
	Metadata   map[string]any             `json:"metadata"`
	Operations map[string]json.RawMessage `json:"operations"`
	Shapes     map[string]json.RawMessage `json:"shapes"`
	Waiters    map[string]json.RawMessage `json:"waiters,omitempty"`
}

func main() {
	from := flag.String("from", "", "folder of the module github.com/aws/aws-sdk-go")
	to := flag.String("to", "", "file to write")
	flag.Parse()
	if err := run(*from, *to); err != nil {
		fmt.Fprintln(os.Stderr, "reducemodel:", err)
		os.Exit(1)
	}
}

func run(from, to string) error {
	ec2Model, err := reduce(filepath.Join(from, "models", "apis", "ec2", "2016-11-15"), ec2.Actions())
	if err != nil {
		return err
	}
	stsModel, err := reduce(filepath.Join(from, "models", "apis", "sts", "2011-06-15"), stsOperations)
	if err != nil {
		return err
	}
	text, err := json.Marshal(map[string]service{"ec2": ec2Model, "sts": stsModel})
	if err != nil {
		return fmt.Errorf("writing the model: %w", err)
	}
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return fmt.Errorf("packing the model: %w", err)
	}
	if _, err := w.Write(text); err != nil {
		return fmt.Errorf("packing the model: %w", err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("packing the model: %w", err)
	}
	return os.WriteFile(to, packed.Bytes(), 0o644)
}

// reduce reads a service's model and keeps the named operations, the shapes
// they reach and the waiters that use them.
func reduce(folder string, operations []string) (service, error) {
	var full, kept service
	text, err := os.ReadFile(filepath.Join(folder, "api-2.json"))
	if err != nil {
		return kept, err
	}
	if err := json.Unmarshal(text, &full); err != nil {
		return kept, fmt.Errorf("reading the model in %s: %w", folder, err)
	}
	kept = service{Metadata: full.Metadata, Operations: map[string]json.RawMessage{}, Shapes: map[string]json.RawMessage{}}
	for _, name := range operations {
		operation, ok := full.Operations[name]
		if !ok {
			return kept, fmt.Errorf("the model in %s has no operation %s", folder, name)
		}
		kept.Operations[name] = operation
		if err := reach(operation, full.Shapes, kept.Shapes); err != nil {
			return kept, fmt.Errorf("operation %s: %w", name, err)
		}
	}
	text, err = os.ReadFile(filepath.Join(folder, "waiters-2.json"))
	if os.IsNotExist(err) {
		return kept, nil
	}
	if err != nil {
		return kept, err
	}
	var waiters struct {
		Waiters map[string]json.RawMessage `json:"waiters"`
	}
	if err := json.Unmarshal(text, &waiters); err != nil {
		return kept, fmt.Errorf("reading the waiters in %s: %w", folder, err)
	}
	kept.Waiters = map[string]json.RawMessage{}
	for name, waiter := range waiters.Waiters {
		var head struct {
			Operation string `json:"operation"`
		}
		if err := json.Unmarshal(waiter, &head); err != nil {
			return kept, fmt.Errorf("waiter %s: %w", name, err)
		}
		if slices.Contains(operations, head.Operation) {
			kept.Waiters[name] = waiter
		}
	}
	return kept, nil
}

// reach keeps every shape that is named anywhere in part, and what those name.
func reach(part json.RawMessage, from, into map[string]json.RawMessage) error {
	var value any
	if err := json.Unmarshal(part, &value); err != nil {
		return err
	}
	var walk func(any) error
	walk = func(value any) error {
		switch v := value.(type) {
		case []any:
			for _, entry := range v {
				if err := walk(entry); err != nil {
					return err
				}
			}
		case map[string]any:
			if name, ok := v["shape"].(string); ok {
				if _, known := into[name]; !known {
					shape, ok := from[name]
					if !ok {
						return fmt.Errorf("the model has no shape %s", name)
					}
					into[name] = shape
					if err := reach(shape, from, into); err != nil {
						return err
					}
				}
			}
			for _, entry := range v {
				if err := walk(entry); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return walk(value)
}
