package certstore

// configInHome is where the settings of programs are, below the home folder.
const configInHome = ".config"

func machine() string { return "/etc/bits/certificates" }
