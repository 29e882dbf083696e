package server

import (
	"io"

	"github.com/spf13/cobra"

	"cgq/pkg/admin"
	"cgq/pkg/control"
)

// newOpenAPI returns the command that writes docs/openapi.yaml.
func newOpenAPI(out io.Writer) *cobra.Command {
	return &cobra.Command{
		Use: "gen-openapi", Short: "Write the description of the control protocol", Hidden: true, Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return writeOpenAPI(out) },
	}
}

// writeOpenAPI describes what the daemon serves.
func writeOpenAPI(w io.Writer) error {
	return control.WriteOpenAPI(w, append(new(admin.Server).Mux(nil).Declarations(), new(admin.Submitter).Mux(nil).Declarations()...))
}
