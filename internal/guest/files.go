package guest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
)

// MaxPiece is how many bytes of a file travel in one call, so that a line
// stays below MaxLine.
const MaxPiece = 192 << 10

// FileArgs are the arguments of the file calls.
type FileArgs struct {
	Path string `json:"path"`
	// Hash asks FileStat for the SHA-256.
	Hash bool `json:"hash,omitempty"`
	// Pattern is a wildcard for FileList.
	Pattern string `json:"pattern,omitempty"`
	// Offset is where to read or write, in bytes. Negative when reading: from
	// the end of the file.
	Offset int64 `json:"offset,omitempty"`
	// Length is how many bytes to read at most.
	Length int64 `json:"length,omitempty"`
	// Data is what to write.
	Data []byte `json:"data,omitempty"`
	// SHA256 is the hash that the whole file must have after the write, or
	// before the move, in lower-case hex. Empty means not looked at.
	SHA256 string `json:"sha256,omitempty"`
	// New demands that the file does not exist yet.
	New bool `json:"new,omitempty"`
	// To is where a file is moved.
	To string `json:"to,omitempty"`
	// Recurse deletes a folder with all that is in it.
	Recurse bool `json:"recurse,omitempty"`
}

// Stat is what there is to know of a file.
type Stat struct {
	Exists bool  `json:"exists"`
	Folder bool  `json:"folder,omitempty"`
	Size   int64 `json:"size,omitempty"`
	// Modified and Created are in UTC, RFC 3339.
	Modified string `json:"modified,omitempty"`
	Created  string `json:"created,omitempty"`
	// Version is the file version of a program or library.
	Version string `json:"version,omitempty"`
	SHA256  string `json:"sha256,omitempty"`
}

// Entry is a file or folder in a folder.
type Entry struct {
	Name     string `json:"name"`
	Folder   bool   `json:"folder,omitempty"`
	Size     int64  `json:"size,omitempty"`
	Modified string `json:"modified,omitempty"`
}

// Listing is what is in a folder. More says that there were more than 1000.
type Listing struct {
	Exists  bool    `json:"exists"`
	Entries []Entry `json:"entries,omitempty"`
	More    bool    `json:"more,omitempty"`
}

// Piece is a part of a file.
type Piece struct {
	Exists bool `json:"exists"`
	// Size is the size of the whole file, Offset where Data begins.
	Size   int64  `json:"size,omitempty"`
	Offset int64  `json:"offset,omitempty"`
	Data   []byte `json:"data,omitempty"`
}

// Written is the guest's confirmation of a write: the size of the file and,
// when a hash was asked for, the hash that the guest computed from the disk.
type Written struct {
	Changed bool   `json:"changed"`
	Size    int64  `json:"size"`
	SHA256  string `json:"sha256,omitempty"`
}

// FolderArgs are the arguments of Folder.
type FolderArgs struct {
	Path string `json:"path"`
	// Private gives SYSTEM and Administrators full control and nobody else
	// anything, without inheritance.
	Private bool `json:"private,omitempty"`
}

// FileStat asks for a file or folder. A missing one is an answer that does
// not exist.
func FileStat(path string) *Call[Stat] {
	return newCall[Stat]("file.stat", FileArgs{Path: path})
}

// FileHash asks for a file with its SHA-256.
func FileHash(path string) *Call[Stat] {
	return newCall[Stat]("file.stat", FileArgs{Path: path, Hash: true})
}

// FileList lists a folder. pattern is a wildcard such as "*.log"; empty means all.
func FileList(path, pattern string) *Call[Listing] {
	return newCall[Listing]("file.list", FileArgs{Path: path, Pattern: pattern})
}

// FileRead reads at most length bytes from offset, also of a file that is
// being written. A negative offset counts from the end. length is at most MaxPiece.
func FileRead(path string, offset, length int64) *Call[Piece] {
	call := newCall[Piece]("file.read", FileArgs{Path: path, Offset: offset, Length: min(length, MaxPiece)})
	call.size = base64.StdEncoding.EncodedLen(int(max(0, min(length, MaxPiece)))) + 256
	return call
}

// FileWrite returns the calls that write a whole file in pieces. Each cuts the
// file off behind its piece, the last one makes the guest confirm the hash.
func FileWrite(path string, data []byte) []*Call[Written] {
	sum := sha256.Sum256(data)
	var calls []*Call[Written]
	for offset := 0; ; offset += MaxPiece {
		end := min(offset+MaxPiece, len(data))
		args := FileArgs{Path: path, Offset: int64(offset), Data: data[offset:end]}
		if end == len(data) {
			args.SHA256 = hex.EncodeToString(sum[:])
		}
		calls = append(calls, newCall[Written]("file.write", args))
		if end == len(data) {
			return calls
		}
	}
}

// FileCreate writes a small file that must not exist yet: the exclusive file
// by which two sides agree who acts. When it exists with other content the
// answer is a CallError of KindConflict; when it has this content already,
// nothing is changed.
func FileCreate(path string, data []byte) *Call[Written] {
	sum := sha256.Sum256(data)
	return newCall[Written]("file.write", FileArgs{Path: path, Data: data, SHA256: hex.EncodeToString(sum[:]), New: true})
}

// FileMove renames a file and replaces what is there. sha256, unless empty,
// must be the file's hash; a repeated move finds it at its new place.
func FileMove(from, to, sha256 string) *Call[Changed] {
	return newCall[Changed]("file.move", FileArgs{Path: from, To: to, SHA256: sha256})
}

// FileDelete deletes a file, or a folder with all that is in it.
func FileDelete(path string, recurse bool) *Call[Changed] {
	return newCall[Changed]("file.delete", FileArgs{Path: path, Recurse: recurse})
}

// PrivateFolder makes a folder that only SYSTEM and Administrators may enter,
// or gives an existing one those rights.
func PrivateFolder(path string) *Call[Changed] {
	return newCall[Changed]("folder", FolderArgs{Path: path, Private: true})
}
