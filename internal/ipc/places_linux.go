package ipc

import "path/filepath"

const systemSocket = "/run/bits/bits.sock"

func systemState() string { return "/var/lib/bits" }

// stateInHome is where programs keep their state, below the home folder.
var stateInHome = filepath.Join(".local", "state")
