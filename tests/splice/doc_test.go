// Package splice hunts for files that were put together from two versions.
package splice
