package artifact

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// The grammar of the distribution specification. It admits no empty, "." or ".." element.
var (
	repositoryPattern = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagPattern        = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	routePattern      = regexp.MustCompile(`^/v2/(.+)/(manifests|blobs|tags)/([^/]+)$`)
)

// Handler serves the OCI layouts under root, read-only: /v2/, manifests by tag and digest, blobs (with ranges) and tags.
// Every other method than GET and HEAD is answered 405.
func Handler(root string) http.Handler { return &handler{root: root} }

type handler struct{ root string }

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Docker-Distribution-API-Version", "registry/2.0")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		fail(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "this registry is read-only")
		return
	}
	if r.URL.Path == "/v2" || r.URL.Path == "/v2/" {
		respond(w, map[string]string{})
		return
	}
	route := routePattern.FindStringSubmatch(r.URL.Path)
	if route == nil {
		fail(w, http.StatusNotFound, "UNSUPPORTED", "no such endpoint")
		return
	}
	h.serveRepository(w, r, route[1], route[2], route[3])
}

func (h *handler) serveRepository(w http.ResponseWriter, r *http.Request, repository, kind, reference string) {
	if !repositoryPattern.MatchString(repository) {
		fail(w, http.StatusBadRequest, "NAME_INVALID", "invalid repository name")
		return
	}
	repo, err := openLayout(h.root, repository)
	if err != nil {
		failWith(w, err, "NAME_UNKNOWN", "repository "+repository)
		return
	}
	defer repo.close()
	switch kind {
	case "manifests":
		serveManifest(w, r, repo, reference)
	case "blobs":
		serveBlob(w, r, repo, reference)
	default:
		serveTags(w, repo, repository, reference)
	}
}

func serveManifest(w http.ResponseWriter, r *http.Request, repo *layout, reference string) {
	digest, err := manifestDigest(repo, reference)
	if err != nil {
		failWith(w, err, "MANIFEST_UNKNOWN", "manifest "+reference)
		return
	}
	content, mediaType, err := repo.manifest(digest)
	if err != nil {
		failWith(w, err, "MANIFEST_UNKNOWN", "manifest "+reference)
		return
	}
	w.Header().Set("Content-Type", string(mediaType))
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	w.Header().Set("Docker-Content-Digest", digest.String())
	w.Header().Set("ETag", `"`+digest.String()+`"`)
	if r.Method == http.MethodGet {
		_, _ = w.Write(content) // a client that went away is its own business
	}
}

func manifestDigest(repo *layout, reference string) (v1.Hash, error) {
	if strings.Contains(reference, ":") {
		return v1.NewHash(reference)
	}
	if !tagPattern.MatchString(reference) {
		return v1.Hash{}, errors.New("invalid tag")
	}
	return repo.resolve(reference)
}

func serveBlob(w http.ResponseWriter, r *http.Request, repo *layout, reference string) {
	digest, err := v1.NewHash(reference)
	if err != nil {
		fail(w, http.StatusBadRequest, "DIGEST_INVALID", "invalid digest")
		return
	}
	file, err := repo.blob(digest)
	if err != nil {
		failWith(w, err, "BLOB_UNKNOWN", "blob "+reference)
		return
	}
	defer func() { _ = file.Close() }()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Docker-Content-Digest", digest.String())
	w.Header().Set("ETag", `"`+digest.String()+`"`)
	w.Header().Set("Cache-Control", "max-age=31536000, immutable")
	http.ServeContent(w, r, "", time.Time{}, file)
}

func serveTags(w http.ResponseWriter, repo *layout, repository, reference string) {
	if reference != "list" {
		fail(w, http.StatusNotFound, "UNSUPPORTED", "no such endpoint")
		return
	}
	tags, err := repo.tags()
	if err != nil {
		failWith(w, err, "NAME_UNKNOWN", "repository "+repository)
		return
	}
	respond(w, map[string]any{"name": repository, "tags": tags})
}

func respond(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}

// failWith answers 404 for what is not there (or lies outside of the root), 500 for a disk that fails, else 400.
func failWith(w http.ResponseWriter, err error, code, what string) {
	var errno syscall.Errno
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		fail(w, http.StatusNotFound, code, what+" not found")
	case errors.As(err, &errno):
		fail(w, http.StatusInternalServerError, "UNKNOWN", what+" could not be read")
	default:
		fail(w, http.StatusNotFound, code, what+" is invalid")
	}
}

func fail(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": []map[string]string{{"code": code, "message": message}}})
}
