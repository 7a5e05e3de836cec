// Package bits is the vocabulary of the Background Intelligent Transfer Service: jobs, files, states, properties and errors, and the
// life cycle of a job as one table.
//
// It does no I/O.
// What the store keeps, what the local API sends and what the client package returns are these types.
// To talk to the service use package [bits/client]; to understand a code use package [bits/hresult].
//
// The names follow Microsoft's reference of BITS 10.3; docs/bits.md lists every function with its state and every deviation.
package bits
