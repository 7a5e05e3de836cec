package transfer

// SetSeam sets how much is asked for again: exchanges are short.
func (s *Service) SetSeam(n int64) { s.seam = n }
