package client

// umask has no meaning on Windows: new files inherit the access list of their folder.
func umask() uint32 { return 0 }
