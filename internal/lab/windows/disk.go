package windows

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"sort"
	"strings"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
)

// node is a file or a folder. Contents are never changed in place, so that a
// slice that was handed out stays what it was.
type node struct {
	path     string
	folder   bool
	data     []byte
	version  string
	created  time.Time
	modified time.Time
	private  bool
}

// disk is a file system. The guest's lock is held by whoever calls it.
type disk struct {
	nodes map[string]*node
	now   func() time.Time
	// held are the files that somebody has open, folded: they can be neither
	// written nor moved nor deleted.
	held map[string]bool
}

func newDisk(now func() time.Time) *disk {
	return &disk{nodes: map[string]*node{}, now: now, held: map[string]bool{}}
}

func missing(what, path string) error {
	return &guest.CallError{Kind: guest.KindMissing, Message: "Could not find " + what + " '" + path + "'."}
}

func denied(path string) error {
	return &guest.CallError{Kind: guest.KindDenied, Message: "Access to the path '" + path + "' is denied."}
}

func failed(message string) error {
	return &guest.CallError{Kind: guest.KindFailed, Message: message}
}

func invalid(message string) error {
	return &guest.CallError{Kind: guest.KindInvalid, Message: message}
}

func conflict(message string) error {
	return &guest.CallError{Kind: guest.KindConflict, Message: message}
}

func (d *disk) find(path string) *node { return d.nodes[fold(path)] }

// file returns the file at path, nil when there is none or it is a folder.
func (d *disk) file(path string) *node {
	if n := d.find(path); n != nil && !n.folder {
		return n
	}
	return nil
}

// makeFolder makes a folder and all that are above it.
func (d *disk) makeFolder(path string) (changed bool, err error) {
	path = clean(path)
	if n := d.find(path); n != nil {
		if !n.folder {
			return false, failed("Cannot create '" + path + "' because a file with the same name already exists.")
		}
		return false, nil
	}
	if up := parent(path); up != "" {
		if _, err := d.makeFolder(up); err != nil {
			return false, err
		}
	}
	now := d.now()
	d.nodes[fold(path)] = &node{path: path, folder: true, created: now, modified: now, private: d.insidePrivate(path)}
	return true, nil
}

// insidePrivate says whether something new at path inherits a private folder's rights.
func (d *disk) insidePrivate(path string) bool {
	up := d.find(parent(clean(path)))
	return up != nil && up.private
}

// write replaces a file's whole content. The folder must be there.
func (d *disk) write(path string, data []byte) (*node, error) {
	path = clean(path)
	if d.held[fold(path)] {
		return nil, failed("The process cannot access the file '" + path + "' because it is being used by another process.")
	}
	up := d.find(parent(path))
	if up == nil || !up.folder {
		return nil, missing("a part of the path", path)
	}
	now := d.now()
	n := d.find(path)
	switch {
	case n == nil:
		n = &node{path: path, created: now, private: up.private}
		d.nodes[fold(path)] = n
	case n.folder:
		return nil, denied(path)
	}
	n.data, n.modified = bytes.Clone(data), now
	return n, nil
}

// place writes a file and makes its folder when it has to.
func (d *disk) place(path string, data []byte) *node {
	if _, err := d.makeFolder(parent(clean(path))); err != nil {
		return nil
	}
	n, err := d.write(path, data)
	if err != nil {
		return nil
	}
	return n
}

// extend adds to a file's end and makes the file when it is not there.
func (d *disk) extend(path string, data []byte) {
	var before []byte
	if n := d.file(path); n != nil {
		before = n.data
	}
	d.place(path, append(bytes.Clone(before), data...))
}

// remove deletes a file, or a folder with all that is in it when recurse is set.
func (d *disk) remove(path string, recurse bool) (changed bool, err error) {
	n := d.find(path)
	if n == nil {
		return false, nil
	}
	below := d.below(path)
	if n.folder && len(below) > 0 && !recurse {
		return false, failed("The directory '" + n.path + "' is not empty.")
	}
	for _, one := range append(below, n) {
		if d.held[fold(one.path)] {
			return false, failed("The process cannot access the file '" + one.path + "' because it is being used by another process.")
		}
	}
	for _, one := range append(below, n) {
		delete(d.nodes, fold(one.path))
	}
	return true, nil
}

// below returns everything under a folder, sorted by path.
func (d *disk) below(path string) []*node {
	prefix := strings.TrimRight(fold(path), `\`) + `\`
	var found []*node
	for key, n := range d.nodes {
		if strings.HasPrefix(key, prefix) && key != prefix {
			found = append(found, n)
		}
	}
	sort.Slice(found, func(i, j int) bool { return fold(found[i].path) < fold(found[j].path) })
	return found
}

// children returns what lies directly in a folder, sorted by name.
func (d *disk) children(path string) []*node {
	prefix := strings.TrimRight(fold(path), `\`) + `\`
	var found []*node
	for _, n := range d.below(path) {
		if !strings.Contains(fold(n.path)[len(prefix):], `\`) {
			found = append(found, n)
		}
	}
	return found
}

// move renames a file and replaces what is there.
func (d *disk) move(from, to string) error {
	n := d.file(from)
	if n == nil {
		return missing("file", from)
	}
	if d.held[fold(from)] || d.held[fold(to)] {
		return failed("The process cannot access the file because it is being used by another process.")
	}
	up := d.find(parent(clean(to)))
	if up == nil || !up.folder {
		return missing("a part of the path", to)
	}
	if there := d.find(to); there != nil && there.folder {
		return denied(to)
	}
	delete(d.nodes, fold(from))
	moved := *n
	moved.path = clean(to)
	d.nodes[fold(to)] = &moved
	return nil
}

// setPrivate gives a folder and all that is in it the rights of a private one.
func (d *disk) setPrivate(path string) (changed bool) {
	n := d.find(path)
	if n == nil {
		return false
	}
	for _, one := range append(d.below(path), n) {
		changed = changed || !one.private
		one.private = true
	}
	return changed
}

func hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
