package cli

import (
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"cgq/pkg/control"
)

// printed are the rows that commands print, by what stands behind cgq: --columns picks of
// their fields. Some print rows of one kind or of another.
var printed = map[string][]reflect.Type{
	"account list":      {reflect.TypeFor[control.Account]()},
	"check":             {reflect.TypeFor[control.CheckItem]()},
	"dequeuer set":      {reflect.TypeFor[control.ChangedValue]()},
	"dequeuer show":     {reflect.TypeFor[control.SettingRow]()},
	"enqueuer set":      {reflect.TypeFor[control.ChangedValue]()},
	"enqueuer show":     {reflect.TypeFor[control.SettingRow]()},
	"hold list":         {reflect.TypeFor[control.HoldRow]()},
	"log audit":         {reflect.TypeFor[control.LogLine]()},
	"log emails":        {reflect.TypeFor[control.LogLine]()},
	"log level":         {reflect.TypeFor[control.LogLevel]()},
	"log tail":          {reflect.TypeFor[control.LogLine]()},
	"message list":      {reflect.TypeFor[control.MessageRow]()},
	"message show":      {reflect.TypeFor[control.RecipientRow]()},
	"message trace":     {reflect.TypeFor[control.TraceRow](), reflect.TypeFor[control.RecipientRow]()},
	"queue explain":     {reflect.TypeFor[scheduled](), reflect.TypeFor[control.Reason]()},
	"queue list":        {reflect.TypeFor[control.QueueRow]()},
	"queue shape":       {reflect.TypeFor[shapeLine](), reflect.TypeFor[control.ShapeRow]()},
	"queue show":        {reflect.TypeFor[control.MessageRow]()},
	"route":             {reflect.TypeFor[routeLine](), reflect.TypeFor[control.Routing]()},
	"rules list":        {reflect.TypeFor[control.RuleRow]()},
	"rules show":        {reflect.TypeFor[control.RuleRow]()},
	"rules test":        {reflect.TypeFor[control.RuleVerdict]()},
	"settings edit":     {reflect.TypeFor[control.ChangedValue]()},
	"settings get":      {reflect.TypeFor[control.SettingRow]()},
	"settings history":  {reflect.TypeFor[control.SettingsChange]()},
	"settings list":     {reflect.TypeFor[control.SettingRow]()},
	"settings rollback": {reflect.TypeFor[control.ChangedValue]()},
	"settings set":      {reflect.TypeFor[control.ChangedValue]()},
	"settings unset":    {reflect.TypeFor[control.ChangedValue]()},
	"stat":              {reflect.TypeFor[control.Element](), reflect.TypeFor[control.Listener]()},
	"trash list":        {reflect.TypeFor[control.TrashRow]()},
}

// completeColumns completes one field behind the others.
func completeColumns(cmd *cobra.Command, _ []string, begun string) (list []string, _ cobra.ShellCompDirective) {
	before := begun[:strings.LastIndex(begun, ",")+1]
	chosen := strings.Split(before, ",")
	for _, row := range printed[strings.TrimPrefix(cmd.CommandPath(), "cgq ")] {
		for _, name := range names(fieldsOf(row)) {
			if next := before + name; !slices.Contains(chosen, name) && !slices.Contains(list, next) && strings.HasPrefix(next, begun) {
				list = append(list, next)
			}
		}
	}
	return list, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveKeepOrder
}
