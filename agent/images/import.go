package images

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	contentapi "github.com/containerd/containerd/api/services/content/v1"
	imagesapi "github.com/containerd/containerd/api/services/images/v1"
	leasesapi "github.com/containerd/containerd/api/services/leases/v1"
	"github.com/containerd/containerd/api/types"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// criNamespace is containerd's namespace of the images that the kubelet sees.
const criNamespace = "k8s.io"

// managed are the labels that make an image the CRI plugin's, and keep the kubelet from collecting it.
var managed = map[string]string{"io.cri-containerd.image": "managed", "io.cri-containerd.pinned": "pinned"}

// importer holds the services of one containerd.
type importer struct {
	content contentapi.ContentClient
	images  imagesapi.ImagesClient
	leases  leasesapi.LeasesClient
	cri     runtimeapi.ImageServiceClient
}

// ImportDir imports every archive (*.tar) of a directory into the containerd behind the socket, and returns once the
// CRI plugin knows all images in them. Images that are there already cost a question each.
func ImportDir(ctx context.Context, socket, dir string) (err error) {
	archives, err := filepath.Glob(filepath.Join(dir, "*.tar"))
	if err != nil || len(archives) == 0 {
		return err
	}
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("import images: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	i := importer{contentapi.NewContentClient(conn), imagesapi.NewImagesClient(conn), leasesapi.NewLeasesClient(conn), runtimeapi.NewImageServiceClient(conn)}
	ctx = metadata.AppendToOutgoingContext(ctx, "containerd-namespace", criNamespace)
	for _, file := range archives {
		archive, err := readArchive(file)
		if err != nil {
			return err
		}
		for _, image := range archive.index.Manifests {
			if err := i.ensure(ctx, archive, image); err != nil {
				return fmt.Errorf("import image %s from %s: %w", image.name(), file, err)
			}
		}
	}
	return nil
}

// ensure makes one image of an archive known to the CRI plugin.
func (i *importer) ensure(ctx context.Context, archive *archive, image descriptor) error {
	if image.name() == "" {
		return errors.New("the archive's index gives it no name")
	}
	present, err := i.images.Get(ctx, &imagesapi.GetImageRequest{Name: image.name()})
	if err != nil && status.Code(err) != codes.NotFound {
		return err
	}
	if present.GetImage().GetTarget().GetDigest() != image.Digest {
		if err := i.load(ctx, archive, image); err != nil {
			return err
		}
	}
	return i.awaitVisible(ctx, image.name())
}

// load writes an image's blobs, under a lease that keeps them until the image refers to them, and then the image.
func (i *importer) load(ctx context.Context, archive *archive, image descriptor) (err error) {
	lease, err := i.leases.Create(ctx, &leasesapi.CreateRequest{
		ID:     "drover-import-" + image.Digest,
		Labels: map[string]string{"containerd.io/gc.expire": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)},
	})
	switch {
	case status.Code(err) == codes.AlreadyExists: // an earlier try's
	case err != nil:
		return fmt.Errorf("lease: %w", err)
	}
	leased := metadata.AppendToOutgoingContext(ctx, "containerd-lease", "drover-import-"+image.Digest)
	if err := i.write(leased, archive, image); err != nil {
		return err
	}
	record := &imagesapi.Image{Name: image.name(), Labels: managed, Target: &types.Descriptor{MediaType: image.MediaType, Digest: image.Digest, Size: image.Size}}
	_, err = i.images.Create(leased, &imagesapi.CreateImageRequest{Image: record})
	if status.Code(err) == codes.AlreadyExists {
		_, err = i.images.Update(leased, &imagesapi.UpdateImageRequest{Image: record})
	}
	if err != nil {
		return err
	}
	if lease.GetLease() == nil {
		return nil
	}
	_, err = i.leases.Delete(ctx, &leasesapi.DeleteRequest{ID: lease.GetLease().GetID()})
	return err
}

// write writes a blob after the ones it refers to.
func (i *importer) write(ctx context.Context, archive *archive, d descriptor) error {
	data, found := archive.blobs[d.Digest]
	if !found {
		return fmt.Errorf("the archive lacks %s", d.Digest)
	}
	labels, refs := children(data)
	for _, ref := range refs {
		if err := i.write(ctx, archive, ref); err != nil {
			return err
		}
	}
	stream, err := i.content.Write(ctx)
	if err != nil {
		return err
	}
	err = stream.Send(&contentapi.WriteContentRequest{
		Action: contentapi.WriteAction_COMMIT, Ref: "drover-import-" + d.Digest,
		Total: int64(len(data)), Expected: d.Digest, Data: bytes.Clone(data), Labels: labels,
	})
	if err != nil {
		return err
	}
	_, err = stream.Recv()
	if err != nil && status.Code(err) != codes.AlreadyExists {
		return fmt.Errorf("write %s: %w", d.Digest, err)
	}
	return stream.CloseSend()
}

// awaitVisible waits until the CRI plugin, which hears of new images by events, knows the image.
func (i *importer) awaitVisible(ctx context.Context, name string) error {
	for {
		answer, err := i.cri.ImageStatus(ctx, &runtimeapi.ImageStatusRequest{Image: &runtimeapi.ImageSpec{Image: name}})
		if err != nil {
			return err
		}
		if answer.GetImage() != nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}
