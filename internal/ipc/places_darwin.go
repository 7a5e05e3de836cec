package ipc

import "path/filepath"

const systemSocket = "/var/run/bits/bits.sock"

func systemState() string { return "/Library/Application Support/bits" }

// stateInHome is where programs keep their state, below the home folder.
var stateInHome = filepath.Join("Library", "Application Support")
