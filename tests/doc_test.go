// Package tests holds the tests of the whole: a service, real servers, and programs as their users run them.
package tests
