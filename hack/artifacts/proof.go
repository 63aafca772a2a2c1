package main

import (
	"encoding/json"
	"fmt"

	agentbundle "github.com/drover-dev/drover/agent/bundle"
	"github.com/drover-dev/drover/hack/artifacts/oci"
)

// prove reads the layers back and fails unless the list names each file in them as it is there, and no other. A node proves
// a bundle that it fetches by its layers, and one that it has by the list: a list that is wrong would show as files that
// somebody touched, at the agent's next start.
func prove(layout oci.Layout, layers []oci.Layer, list string) error {
	var named []agentbundle.File
	if err := json.Unmarshal([]byte(list), &named); err != nil {
		return fmt.Errorf("read the list of files: %w", err)
	}
	stored := map[string]agentbundle.File{}
	for _, layer := range layers {
		entries, err := layout.Read(layer)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if _, twice := stored[entry.Path]; twice {
				return fmt.Errorf("the layers hold %s twice", entry.Path)
			}
			stored[entry.Path] = listed(entry)
		}
	}
	for _, want := range named {
		got, there := stored[want.Path]
		if !there {
			return fmt.Errorf("the list of files names %s, which no layer holds, or names it twice", want.Path)
		}
		if got != want {
			return fmt.Errorf("the list of files has %+v, and the layers hold %+v", want, got)
		}
		delete(stored, want.Path)
	}
	for path := range stored {
		return fmt.Errorf("the layers hold %s, which the list of files does not name", path)
	}
	return nil
}

func listed(entry oci.Entry) agentbundle.File {
	return agentbundle.File{Path: entry.Path, Mode: entry.Mode, Size: entry.Size, SHA256: entry.SHA256}
}
