package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestLicencesAreTold(t *testing.T) {
	ours, err := os.ReadFile("../../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	for want, text := range map[string]string{
		"Apache-2.0":   string(ours),
		"MIT":          "Permission is hereby granted, free of charge, to any person ... to deal\nin the Software without\nrestriction, including",
		"BSD-3-Clause": "Redistribution and use in source and binary forms ... may be used to endorse or promote\n products derived",
		"BSD-2-Clause": "Redistribution and use in source and binary\nforms, with or without modification",
		"":             "GNU GENERAL PUBLIC LICENSE Version 3",
	} {
		if got := classify(text); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestAModuleWithoutALicenceHasNone(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "README"), []byte("free"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := read(folder); err != nil || got != "" {
		t.Errorf("%q, %v", got, err)
	}
}
