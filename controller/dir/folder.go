package dir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxFileBytes bounds a manifest; 10,000 Services are about 6 MB.
const maxFileBytes = 64 << 20

// extensions of files that hold manifests.
var extensions = []string{".yaml", ".yml", ".json"}

// readFolder returns the manifests of a folder by file name, and an error for each that
// cannot be read. Subfolders and hidden files, such as the ..data of a mounted ConfigMap,
// are passed over. A folder without manifests is an error, not an empty answer.
func readFolder(path string) (files map[string][]byte, unreadable map[string]error, err error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read the folder of manifests: %w", err)
	}
	files, unreadable = map[string][]byte{}, map[string]error{}
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, ".") || !slices.Contains(extensions, filepath.Ext(name)) {
			continue
		}
		data, err := readManifest(filepath.Join(path, name))
		switch {
		case errors.Is(err, fs.ErrNotExist) && entry.Type().IsRegular(): // removed since it was listed
		case errors.Is(err, errFolder):
		case err != nil:
			unreadable[name] = err
		default:
			files[name] = data
		}
	}
	if len(files)+len(unreadable) == 0 {
		return nil, nil, fmt.Errorf("the folder %s holds no manifests (*.yaml, *.yml, *.json)", path)
	}
	return files, unreadable, nil
}

var errFolder = errors.New("is a folder")

// readManifest follows symbolic links, as a mounted ConfigMap needs. It never opens what
// reading could block on.
func readManifest(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, errFolder
	case !info.Mode().IsRegular():
		return nil, errors.New("it is not a regular file")
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFileBytes+1))
	if err == nil && len(data) > maxFileBytes {
		err = fmt.Errorf("it is larger than %d MiB", maxFileBytes>>20)
	}
	return data, err
}

// writeFile replaces a file in one step, so that a reader, and a process that starts after
// a crash, finds either the old content or the new.
func writeFile(path string, data []byte, mode fs.FileMode) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name()) // gone already when all went well
	_, err = temporary.Write(data)
	err = errors.Join(err, temporary.Chmod(mode), temporary.Sync(), temporary.Close())
	if err != nil {
		return err
	}
	return os.Rename(temporary.Name(), path)
}
