package cli

import (
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"cgq/pkg/control"
)

// outcome is what most acts print.
var outcome = []reflect.Type{reflect.TypeFor[control.Outcome]()}

// printed are the rows that commands print, by what stands behind cgq: --columns picks of
// their fields. Some print rows of one kind or of another.
var printed = map[string][]reflect.Type{
	"account create":    {reflect.TypeFor[control.Account]()},
	"account delete":    outcome,
	"account list":      {reflect.TypeFor[control.Account]()},
	"check":             {reflect.TypeFor[control.CheckItem]()},
	"dequeuer set":      {reflect.TypeFor[control.ChangedValue]()},
	"dequeuer show":     {reflect.TypeFor[control.SettingRow]()},
	"enqueuer set":      {reflect.TypeFor[control.ChangedValue]()},
	"enqueuer show":     {reflect.TypeFor[control.SettingRow]()},
	"hold add":          outcome,
	"hold list":         {reflect.TypeFor[control.HoldRow]()},
	"hold remove":       outcome,
	"log audit":         {reflect.TypeFor[control.LogLine]()},
	"log emails":        {reflect.TypeFor[control.LogLine]()},
	"log level":         {reflect.TypeFor[control.LogLevel]()},
	"log tail":          {reflect.TypeFor[control.LogLine]()},
	"message drop":      outcome,
	"message export":    {reflect.TypeFor[exported]()},
	"message list":      {reflect.TypeFor[control.MessageRow]()},
	"message reject":    outcome,
	"message release":   outcome,
	"message reroute":   outcome,
	"message show":      {reflect.TypeFor[control.RecipientRow]()},
	"message trace":     {reflect.TypeFor[control.TraceRow](), reflect.TypeFor[control.RecipientRow]()},
	"queue backup":      {reflect.TypeFor[backedUp]()},
	"queue explain":     {reflect.TypeFor[scheduled](), reflect.TypeFor[control.Reason]()},
	"queue list":        {reflect.TypeFor[control.QueueRow]()},
	"queue reject":      outcome,
	"queue release":     append(outcome, reflect.TypeFor[waited]()),
	"queue shape":       {reflect.TypeFor[shapeLine](), reflect.TypeFor[control.ShapeRow]()},
	"queue show":        {reflect.TypeFor[control.MessageRow]()},
	"route":             {reflect.TypeFor[routeLine](), reflect.TypeFor[control.Routing]()},
	"rules list":        {reflect.TypeFor[control.RuleRow]()},
	"rules show":        {reflect.TypeFor[control.RuleRow]()},
	"rules test":        {reflect.TypeFor[control.RuleVerdict]()},
	"sender reject":     outcome,
	"settings edit":     {reflect.TypeFor[control.ChangedValue]()},
	"settings get":      {reflect.TypeFor[control.SettingRow]()},
	"settings history":  {reflect.TypeFor[control.SettingsChange]()},
	"settings list":     {reflect.TypeFor[control.SettingRow]()},
	"settings rollback": {reflect.TypeFor[control.ChangedValue]()},
	"settings set":      {reflect.TypeFor[control.ChangedValue]()},
	"settings unset":    {reflect.TypeFor[control.ChangedValue]()},
	"stat":              {reflect.TypeFor[control.Element](), reflect.TypeFor[control.Listener]()},
	"trash list":        {reflect.TypeFor[control.TrashRow]()},
	"trash purge":       outcome,
	"trash restore":     outcome,
	"version":           {reflect.TypeFor[versions]()},
	"whoami":            {reflect.TypeFor[control.Identity]()},
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
