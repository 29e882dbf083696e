// Command cgqd is the mail queue daemon.
package main

import (
	"os"

	"cgq/pkg/server"
)

func main() { os.Exit(server.Main()) }
