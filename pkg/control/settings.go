package control

import "time"

// The requests about settings.
var (
	SettingsList = Stream[SettingsQuery, SettingRow]{"settings/list", Settings,
		"the keys of all sections with their values, in the order of the sections; those whose name or text has a piece"}
	SettingsSet = Call[SettingsOrder, SettingsChanged]{"settings/set", Settings,
		"gives keys other values, all or none, in the files and at once in the daemon"}
	SettingsFile = Call[SettingsFileName, SettingsText]{"settings/file", Settings,
		"one file of Settings/ as it is on the disk, with its version"}
	SettingsReplace = Call[SettingsText, SettingsChanged]{"settings/replace", Settings,
		"puts another text in place of a file that still has the version, if all settings are in order with it"}
	SettingsHistory = Stream[Nothing, SettingsChange]{"settings/history", Settings,
		"the changes of the settings that are remembered, the latest first"}
	SettingsDiff = Call[SettingsRange, SettingsDifference]{"settings/diff", Settings,
		"what is different in the files after one change and after another, or now"}
	SettingsRollback = Call[SettingsReturn, SettingsChanged]{"settings/rollback", Settings,
		"puts the files back as they were after a change; that is a change, too"}
)

// A SettingsQuery says which keys are wanted; empty: all.
type SettingsQuery struct {
	Keys  []string `json:"keys,omitempty"`  // exact, with the section: queue.dequeuer.reporting_delay; one that is not there is an error
	Below []string `json:"below,omitempty"` // sections or tables: queue.dequeuer
	Match string   `json:"match,omitempty"` // a piece of the key, of the chapter's name, or of what it does, in any case
}

// A SettingRow is one key with all that is known of it.
type SettingRow struct {
	Key     string   `json:"key"`               // with its section
	Value   string   `json:"value"`             // as settings/set takes it; a secret in stars
	Default string   `json:"default"`           // likewise; empty: what is in a list has none
	Changed bool     `json:"changed"`           // the value is not the default
	Restart bool     `json:"restart"`           // the value takes effect at the next start
	Type    string   `json:"type"`              // length of time, size, whole number, text …
	Unit    string   `json:"unit,omitempty"`    //
	Range   string   `json:"range,omitempty"`   // as "1 to 100"
	Values  []string `json:"values,omitempty"`  // those that there are, where they can be counted
	Chapter string   `json:"chapter,omitempty"` // its name there
	File    string   `json:"file"`              // of Settings/
	Version string   `json:"version"`           // of the file, as it is applied
	Doc     string   `json:"doc"`
	Wrong   string   `json:"wrong,omitempty"` // why the file is not applied as it is on the disk; hostile
}

// A SettingsOrder changes keys. All of them change, or none.
type SettingsOrder struct {
	Set     []Assignment `json:"set,omitempty"`
	Unset   []string     `json:"unset,omitempty"`   // keys that go back to their defaults
	Why     string       `json:"why,omitempty"`     // for the history
	Version string       `json:"version,omitempty"` // the file of the keys must have it still
	DryRun  bool         `json:"dry_run,omitempty"` // say what would change, and change nothing
}

// Check wants something to do.
func (o SettingsOrder) Check() error {
	if len(o.Set)+len(o.Unset) == 0 {
		return Errorf(KindBadRequest, "write it as queue.dequeuer.reporting_delay=1m", "no key")
	}
	return checkWhy(o.Why)
}

func checkWhy(why string) error {
	if len(why) > MaxText {
		return Errorf(KindBadRequest, "be brief", "a reason of %d bytes, of which %d are the most", len(why), MaxText)
	}
	return nil
}

// An Assignment is a key, with its section, and the value that it is to have: 1h, 50M, true,
// a text as it stands, a, b for a list; or as TOML writes it.
type Assignment struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// A SettingsChanged is what a change came to.
type SettingsChanged struct {
	Number  int            `json:"number"`  // of the change in the history; 0: nothing was different, or a dry run
	Changes []ChangedValue `json:"changes"` // the first [MaxChanges]
	Files   []string       `json:"files"`   // of Settings/ that are different
	Later   []string       `json:"later"`   // keys that take effect at the next start; all others have
	Version string         `json:"version"` // of the file, if it is one
}

// MaxChanges is how many keys a [SettingsChanged] and a [SettingsChange] list.
const MaxChanges = 100

// A ChangedValue is a key, or a file that has none, before and after. Secrets are in stars.
type ChangedValue struct {
	Key    string `json:"key"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// A SettingsFileName names a file of Settings/, such as queue or router.txt.
type SettingsFileName struct {
	Name string `json:"name"`
}

// A SettingsText is a file of Settings/.
type SettingsText struct {
	Name    string `json:"name"`
	Text    string `json:"text"`
	Version string `json:"version"` // of what is there, or was when this was begun; empty: there is no such file
	Why     string `json:"why,omitempty"`
	DryRun  bool   `json:"dry_run,omitempty"`
}

// Check refuses a reason that is too long.
func (t SettingsText) Check() error { return checkWhy(t.Why) }

// A SettingsChange is one change that is remembered.
type SettingsChange struct {
	Number  int            `json:"number"`
	At      time.Time      `json:"at"`
	By      string         `json:"by"`  // a user; empty: nobody knows, the file was edited by hand
	How     string         `json:"how"` // set, edit, rollback to 3, by hand …
	Why     string         `json:"why"`
	Changes []ChangedValue `json:"changes"` // the first [MaxChanges]
	Files   []string       `json:"files"`   // that there were after it
}

// A SettingsRange names two changes by their numbers.
type SettingsRange struct {
	From int `json:"from,omitempty"` // 0: the last but one
	To   int `json:"to,omitempty"`   // 0: as the files are now
}

// A SettingsDifference is what is different.
type SettingsDifference struct {
	Text  string   `json:"text"`  // as diff -u has it; hostile
	Files []string `json:"files"` // that are different
}

// A SettingsReturn says where to.
type SettingsReturn struct {
	Number int    `json:"number"` // of a change: as it was after that
	Why    string `json:"why,omitempty"`
	DryRun bool   `json:"dry_run,omitempty"`
}

// Check wants a number.
func (r SettingsReturn) Check() error {
	if r.Number < 1 {
		return Errorf(KindBadRequest, "cgq settings history has the numbers", "no change %d", r.Number)
	}
	return checkWhy(r.Why)
}
