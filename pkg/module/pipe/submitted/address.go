package submitted

import (
	"strings"

	"cgq/pkg/header"
	"cgq/pkg/mail"
)

// addresses reads an address list (RFC 5322 §3.4). What is no address is an error, as a
// recipient must not be lost; <> alone is the null address.
func addresses(list string) (all []mail.Address, err error) {
	if strings.TrimSpace(list) == "<>" {
		return []mail.Address{{}}, nil
	}
	for _, text := range header.Addresses(list) {
		a, err := mail.ParsePath(text)
		if err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, nil
}
