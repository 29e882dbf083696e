package control

// Whoami tells the caller who he is to the daemon.
var Whoami = Call[Nothing, Identity]{"whoami", Anyone,
	"who the daemon takes the caller for, and what he may do"}

// An Identity is who is asking.
type Identity struct {
	User   string    `json:"user"` // the number when he has no name
	UID    uint32    `json:"uid"`
	GID    uint32    `json:"gid"`
	Rights []Right   `json:"rights"`
	Grants []Granted `json:"grants"` // where they are from
}

// A Granted is rights, and what gives them.
type Granted struct {
	By     string  `json:"by"` // "grant 1 of access.toml: group mailops"; may change
	Rights []Right `json:"rights"`
}
