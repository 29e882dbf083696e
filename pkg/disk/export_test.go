package disk

// WithoutOpenat2 makes o do as on a kernel that lacks it.
func (o *OS) WithoutOpenat2() { o.walk.Store(true) }
