package certstore

// configInHome is where the settings of programs are, below the home folder.
const configInHome = "Library/Application Support"

func machine() string { return "/Library/Application Support/bits/certificates" }
