package launch

// private does nothing: on Windows a new process gets only the handles that are named.
func private() {}
