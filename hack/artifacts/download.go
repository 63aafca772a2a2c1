package main

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

var sha256Pattern = regexp.MustCompile(`^[a-f0-9]{64}$`)

// downloads keeps files by their SHA-256, so that nothing is downloaded twice and nothing unproved is ever used.
type downloads struct {
	dir    string
	client *http.Client
}

// programs gets a download and returns its programs by their path in the bundle; members of an archive go to dir.
func (d downloads) programs(ctx context.Context, file download, dir string) (map[string]string, error) {
	path, err := d.get(ctx, file)
	if err != nil {
		return nil, err
	}
	if len(file.Members) == 0 {
		return map[string]string{file.Path: path}, nil
	}
	found, err := extract(path, file.Members, dir)
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", file.URL, err)
	}
	return found, nil
}

func (d downloads) get(ctx context.Context, file download) (string, error) {
	if !sha256Pattern.MatchString(file.SHA256) {
		return "", fmt.Errorf("%s: its sha256 in the list is not 64 hexadecimal digits", file.URL)
	}
	path := filepath.Join(d.dir, file.SHA256)
	if cached, err := os.Open(path); err == nil {
		defer func() { _ = cached.Close() }()
		if sum, err := sumOf(cached); err == nil && sum == file.SHA256 {
			return path, nil
		}
	}
	return path, d.download(ctx, file, path)
}

func (d downloads) download(ctx context.Context, file download, path string) error {
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, file.URL, nil)
	if err != nil {
		return err
	}
	response, err := d.client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", file.URL, response.Status)
	}
	temporary, err := os.CreateTemp(d.dir, ".tmp-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temporary.Name()) }() // renamed already when all went well
	sum, err := sumOf(io.TeeReader(response.Body, temporary))
	if err := errors.Join(err, temporary.Close()); err != nil {
		return fmt.Errorf("GET %s: %w", file.URL, err)
	}
	if sum != file.SHA256 {
		return fmt.Errorf("GET %s: digest mismatch: want sha256:%s, got sha256:%s: the release changed or the list is wrong", file.URL, file.SHA256, sum)
	}
	return os.Rename(temporary.Name(), path)
}

func sumOf(content io.Reader) (string, error) {
	hash := sha256.New()
	_, err := io.Copy(hash, content)
	return hex.EncodeToString(hash.Sum(nil)), err
}

// extract writes the wanted members of a tar archive into dir, under names of our own making.
func extract(path string, members map[string]string, dir string) (map[string]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	content, err := uncompressed(file)
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for archive := tar.NewReader(content); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return found, allFound(members, found)
		}
		if err != nil {
			return nil, err
		}
		wanted, ok := members[strings.TrimPrefix(header.Name, "./")]
		if !ok || header.Typeflag != tar.TypeReg {
			continue
		}
		target := filepath.Join(dir, strings.ReplaceAll(wanted, "/", "_"))
		if err := writeProgram(target, archive); err != nil {
			return nil, err
		}
		found[wanted] = target
	}
}

const gzipMagic = "\x1f\x8b"

func uncompressed(file io.Reader) (io.Reader, error) {
	buffered := bufio.NewReader(file)
	magic, err := buffered.Peek(len(gzipMagic))
	if err != nil {
		return nil, err
	}
	if string(magic) == gzipMagic {
		return gzip.NewReader(buffered)
	}
	return buffered, nil
}

func writeProgram(path string, content io.Reader) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	return errors.Join(err, file.Close())
}

func allFound(members, found map[string]string) error {
	for name, wanted := range members {
		if found[wanted] == "" {
			return fmt.Errorf("the archive has no file %s", name)
		}
	}
	return nil
}
