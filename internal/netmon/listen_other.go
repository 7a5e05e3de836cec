//go:build !linux && !darwin && !windows

package netmon

import "errors"

// listen knows no way on this system.
func listen(func(event)) (stop func(), err error) {
	return nil, errors.New("networks cannot be watched on this system")
}
