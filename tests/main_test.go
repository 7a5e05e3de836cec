// Package tests holds the tests of the whole: a service, real servers, and programs as their users run them.
package tests

import (
	"testing"

	"bits/internal/bitstest"
)

func TestMain(m *testing.M) { bitstest.Main(m) }
