package ipc

import "path/filepath"

// stateInHome is where programs keep their state, below the home folder.
var stateInHome = filepath.Join("Library", "Application Support")
