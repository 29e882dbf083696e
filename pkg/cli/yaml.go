package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// streamYAML writes JSON as YAML: of an array one element after the other, while they
// come.
func streamYAML(w *bufio.Writer, r *bufio.Reader) error {
	for {
		c, _, err := r.ReadRune()
		if err != nil {
			return err
		}
		if unicode.IsSpace(c) {
			continue
		}
		if err := r.UnreadRune(); err != nil {
			return err
		}
		if c != '[' {
			return yamlValues(w, r)
		}
		return yamlArray(w, r)
	}
}

// yamlValues writes values one behind the other as documents.
func yamlValues(w io.Writer, r io.Reader) error {
	dec := json.NewDecoder(r)
	for n := 0; ; n++ {
		var raw json.RawMessage
		if err := dec.Decode(&raw); errors.Is(err, io.EOF) && n > 0 {
			return nil
		} else if err != nil {
			return fmt.Errorf("what it prints is no JSON, and so no YAML: %w", err)
		}
		if n > 0 {
			fmt.Fprintln(w, "---")
		}
		if err := writeYAML(w, raw); err != nil {
			return err
		}
	}
}

// yamlArray writes an array as a sequence.
func yamlArray(w *bufio.Writer, r io.Reader) error {
	dec := json.NewDecoder(r)
	if _, err := dec.Token(); err != nil { // [
		return err
	}
	n := 0
	for ; dec.More(); n++ {
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return err
		}
		if err := writeYAML(w, append(append([]byte("["), raw...), ']')); err != nil {
			return err
		}
		if err := w.Flush(); err != nil { // somebody may follow
			return err
		}
	}
	if _, err := dec.Token(); err != nil { // ], which a list that was cut off has not
		return err
	}
	if n == 0 {
		_, err := io.WriteString(w, "[]\n")
		return err
	}
	return nil
}

// writeYAML writes a value of JSON as YAML: its fields in their order, its numbers to the
// digit, and nothing in it that commands a terminal.
func writeYAML(w io.Writer, raw []byte) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	node, err := yamlNode(dec)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(node), enc.Close()); err != nil {
		return err
	}
	for _, r := range b.String() { // what is unsafe stands between double quotes, by yamlText
		if r != '\n' && unsafe(r) {
			_, err = io.WriteString(w, yamlEscape(r))
		} else {
			_, err = io.WriteString(w, string(r))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func yamlEscape(r rune) string {
	if r < 0x10000 {
		return fmt.Sprintf(`\u%04X`, r)
	}
	return fmt.Sprintf(`\U%08X`, r)
}

// yamlNode reads the next value.
func yamlNode(dec *json.Decoder) (*yaml.Node, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch v := token.(type) {
	case json.Delim:
		node := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		if v == '[' {
			node = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		}
		for dec.More() { // of an object a name, then a value
			part, err := yamlNode(dec)
			if err != nil {
				return nil, err
			}
			node.Content = append(node.Content, part)
		}
		if len(node.Content) == 0 {
			node.Style = yaml.FlowStyle // [] and {}
		}
		_, err = dec.Token()
		return node, err
	case string:
		return yamlText(v), nil
	case json.Number:
		tag := "!!int"
		if strings.ContainsAny(v.String(), ".eE") {
			tag = "!!float"
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: v.String()}, nil
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: fmt.Sprint(v)}, nil
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
}

func yamlText(s string) *yaml.Node {
	node := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	if strings.ContainsFunc(s, unsafe) {
		node.Style = yaml.DoubleQuotedStyle
	}
	return node
}
