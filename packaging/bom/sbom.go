package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/uuid"
)

// writeSBOM writes the bill of materials. The same binaries give the same bytes: the serial
// number is derived from their checksums, the timestamp is that of the source.
func writeSBOM(w io.Writer, all *materials) error {
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	root := "pkg:generic/ailee-recovery@" + os.Getenv("VERSION")
	parts := []cdx.Component{}
	depends := []cdx.Dependency{}
	sums := ""
	var tools []string
	for _, b := range all.binaries {
		sum, err := checksum(b.path)
		if err != nil {
			return err
		}
		sums += sum
		name := filepath.Base(b.path)
		parts = append(parts, cdx.Component{
			BOMRef: name, Type: cdx.ComponentTypeApplication, Name: name, Version: os.Getenv("VERSION"),
			Licenses: license("MIT"), Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: sum}},
		})
		tools = append(tools, name)
		depends = append(depends, cdx.Dependency{Ref: name, Dependencies: &b.purls})
	}
	for _, m := range all.sorted() {
		parts = append(parts, cdx.Component{
			BOMRef: m.purl, Type: cdx.ComponentTypeLibrary, Name: m.name, Version: m.version,
			PackageURL: m.purl, Licenses: license(m.license),
		})
	}
	bom := cdx.NewBOM()
	bom.SerialNumber = uuid.NewSHA1(uuid.NameSpaceURL, []byte(sums)).URN()
	bom.Metadata = &cdx.Metadata{
		Timestamp: time.Unix(seconds, 0).UTC().Format(time.RFC3339),
		Component: &cdx.Component{
			BOMRef: root, Type: cdx.ComponentTypeApplication, Name: "ailee-recovery", Version: os.Getenv("VERSION"),
			PackageURL: root, Licenses: license("MIT"),
		},
	}
	bom.Components = &parts
	depends = append(depends, cdx.Dependency{Ref: root, Dependencies: &tools})
	bom.Dependencies = &depends
	return cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).EncodeVersion(bom, cdx.SpecVersion1_6)
}

func license(expression string) *cdx.Licenses {
	return &cdx.Licenses{{Expression: expression}}
}

func checksum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
