package windows

import (
	"bytes"
	"path/filepath"
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
)

// filePath expands a path of a call.
func (g *Guest) filePath(path, name string) (string, error) {
	if path == "" {
		return "", invalid("no " + name)
	}
	return clean(g.expand(path)), nil
}

func (g *Guest) fileStat(args guest.FileArgs) (any, error) {
	path, err := g.filePath(args.Path, "path")
	if err != nil {
		return nil, err
	}
	n := g.disk.find(path)
	if n == nil {
		return guest.Stat{}, nil
	}
	stat := guest.Stat{Exists: true, Folder: n.folder, Modified: stamp(n.modified), Created: stamp(n.created)}
	if n.folder {
		return stat, nil
	}
	stat.Size = int64(len(n.data))
	if extension := strings.ToLower(filepath.Ext(base(path))); extension == ".exe" || extension == ".dll" {
		stat.Version = fileVersion(n.version)
	}
	if args.Hash {
		stat.SHA256 = hash(n.data)
	}
	return stat, nil
}

// fileVersion returns a version with four parts, as Windows keeps it.
func fileVersion(version string) string {
	if version == "" {
		version = "0"
	}
	for strings.Count(version, ".") < 3 {
		version += ".0"
	}
	return version
}

func (g *Guest) fileList(args guest.FileArgs) (any, error) {
	path, err := g.filePath(args.Path, "path")
	if err != nil {
		return nil, err
	}
	folder := g.disk.find(path)
	if folder == nil || !folder.folder {
		return guest.Listing{}, nil
	}
	pattern := args.Pattern
	if pattern == "" {
		pattern = "*"
	}
	listing := guest.Listing{Exists: true, Entries: []guest.Entry{}}
	for _, n := range g.disk.children(path) {
		if !wildcard(pattern, base(n.path)) {
			continue
		}
		if len(listing.Entries) == 1000 {
			listing.More = true
			break
		}
		listing.Entries = append(listing.Entries, guest.Entry{Name: base(n.path), Folder: n.folder, Size: int64(len(n.data)), Modified: stamp(n.modified)})
	}
	return listing, nil
}

func (g *Guest) fileRead(args guest.FileArgs) (any, error) {
	path, err := g.filePath(args.Path, "path")
	if err != nil {
		return nil, err
	}
	return g.piece(path, args.Offset, args.Length), nil
}

// piece returns a part of a file.
func (g *Guest) piece(path string, offset, length int64) guest.Piece {
	n := g.disk.file(path)
	if n == nil {
		return guest.Piece{}
	}
	size := int64(len(n.data))
	if offset < 0 {
		offset = max(0, size+offset)
	}
	offset = min(offset, size)
	end := offset + max(0, min(length, size-offset))
	return guest.Piece{Exists: true, Size: size, Offset: offset, Data: bytes.Clone(n.data[offset:end])}
}

func (g *Guest) fileWrite(args guest.FileArgs) (any, error) {
	path, err := g.filePath(args.Path, "path")
	if err != nil {
		return nil, err
	}
	size := args.Offset + int64(len(args.Data))
	existing := g.disk.file(path)
	if existing != nil && args.SHA256 != "" && int64(len(existing.data)) == size && hash(existing.data) == args.SHA256 {
		return guest.Written{Size: size, SHA256: args.SHA256}, nil
	}
	if args.New && existing != nil {
		return nil, conflict(path + " exists already")
	}
	if args.Offset > 0 && (existing == nil || int64(len(existing.data)) < args.Offset) {
		return nil, conflict("the part of " + path + " before this piece is missing")
	}
	var data []byte
	if existing != nil && args.Offset > 0 {
		data = append(data, existing.data[:args.Offset]...)
	}
	data = append(data, args.Data...)
	n, err := g.disk.write(path, data)
	if err != nil {
		return nil, err
	}
	written := guest.Written{Changed: true, Size: size}
	if args.SHA256 == "" {
		return written, nil
	}
	written.SHA256 = hash(n.data)
	if written.SHA256 != args.SHA256 {
		return nil, failed(path + " has the hash " + written.SHA256 + " after it was written")
	}
	return written, nil
}

func (g *Guest) fileMove(args guest.FileArgs) (any, error) {
	from, err := g.filePath(args.Path, "path")
	if err != nil {
		return nil, err
	}
	to, err := g.filePath(args.To, "to")
	if err != nil {
		return nil, err
	}
	n := g.disk.file(from)
	if n == nil {
		if there := g.disk.file(to); there != nil && args.SHA256 != "" && hash(there.data) == args.SHA256 {
			return guest.Changed{}, nil
		}
		return nil, &guest.CallError{Kind: guest.KindMissing, Message: from + " does not exist"}
	}
	if args.SHA256 != "" && hash(n.data) != args.SHA256 {
		return nil, conflict(from + " has other content")
	}
	if err := g.disk.move(from, to); err != nil {
		return nil, err
	}
	return guest.Changed{Changed: true}, nil
}

func (g *Guest) fileDelete(args guest.FileArgs) (any, error) {
	path, err := g.filePath(args.Path, "path")
	if err != nil {
		return nil, err
	}
	n := g.disk.find(path)
	if n != nil && n.folder && !args.Recurse {
		return nil, invalid(path + " is a folder")
	}
	changed, err := g.disk.remove(path, args.Recurse)
	if err != nil {
		return nil, err
	}
	return guest.Changed{Changed: changed}, nil
}

func (g *Guest) folder(args guest.FolderArgs) (any, error) {
	path, err := g.filePath(args.Path, "path")
	if err != nil {
		return nil, err
	}
	changed, err := g.disk.makeFolder(path)
	if err != nil {
		return nil, err
	}
	if args.Private {
		g.disk.setPrivate(path)
	}
	return guest.Changed{Changed: changed}, nil
}
