package archtest

import (
	"fmt"
	"go/ast"
	"path"
	"slices"
	"strings"
)

// checkPlan: every package stands on one floor, and every name of the plan exists.
// A directory of tests alone is no package: nobody can import it.
func checkPlan(h *house) (problems []string) {
	there := map[string]bool{}
	for _, p := range h.packages {
		if p.name == "" || len(p.code()) == 0 {
			continue
		}
		there[p.name] = true
		if _, ok := h.floors[p.name]; !ok {
			problems = append(problems, fmt.Sprintf("%s stands on no floor of the plan", p.dir))
		}
	}
	for name := range h.floors {
		if !there[name] {
			problems = append(problems, fmt.Sprintf("the plan has %s, but there is no pkg/%s", name, name))
		}
	}
	for _, name := range h.twice {
		problems = append(problems, fmt.Sprintf("the plan has %s twice", name))
	}
	return problems
}

// eachImport calls f for every import of a package of the house, tests apart.
func (h *house) eachImport(f func(p *pkg, from *file, to string)) {
	for _, p := range h.packages {
		for _, from := range p.code() {
			own, _ := from.imports()
			for _, to := range own {
				f(p, from, to)
			}
		}
	}
}

// checkFloors: imports go strictly down.
func checkFloors(h *house) (problems []string) {
	h.eachImport(func(p *pkg, from *file, to string) {
		high, ok := h.floors[p.name]
		low, known := h.floors[to]
		if ok && known && low >= high {
			problems = append(problems, fmt.Sprintf("%s (floor %d) imports %s (floor %d)", from.path, high, to, low))
		}
	})
	return problems
}

// notForModules is the engine behind the plug, which no module knows.
var notForModules = []string{
	"kernel", "queue", "fact", "journal", "spool", "router", "enqueuer", "dequeuer", "control", "admin", "server", "cli",
}

// checkModules: a module imports nothing of the engine, and no other module.
func checkModules(h *house) (problems []string) {
	h.eachImport(func(p *pkg, from *file, to string) {
		self, ok := moduleOf(p.name)
		if !ok {
			return
		}
		if other, ok := moduleOf(to); ok && other != self || slices.Contains(notForModules, to) {
			problems = append(problems, fmt.Sprintf("%s imports %s", from.path, to))
		}
	})
	return problems
}

// moduleOf returns the module that a package is, or is a part of.
func moduleOf(name string) (string, bool) {
	rest, ok := strings.CutPrefix(name, "module/")
	self, _, _ := strings.Cut(rest, "/")
	return self, ok
}

// checkCLI: the command line program has nothing of the server in it.
func checkCLI(h *house) (problems []string) {
	h.eachImport(func(p *pkg, from *file, to string) {
		inside := func(name string) bool { return name == "cli" || strings.HasPrefix(name, "cli/") }
		if inside(p.name) && !inside(to) && to != "control" && to != "mail" && to != "near" {
			problems = append(problems, fmt.Sprintf("%s imports %s; control, mail and near are enough", from.path, to))
		}
	})
	return problems
}

// checkComposition: only server knows which modules there are, and nobody imports
// server or cli but a program.
func checkComposition(h *house) (problems []string) {
	h.eachImport(func(p *pkg, from *file, to string) {
		mod, isModule := moduleOf(to)
		self, _ := moduleOf(p.name)
		switch {
		case isModule && mod != "moduletest" && self != mod && p.name != "server",
			(to == "server" || to == "cli") && !strings.HasPrefix(p.dir, "cmd/"):
			problems = append(problems, fmt.Sprintf("%s imports %s", from.path, to))
		}
	})
	return problems
}

// purePackages are values and functions: what they do depends on their arguments.
var purePackages = []string{"mail", "header", "fact", "selection", "queue", "rules", "dsn", "bounce"}

var (
	pureNet   = []string{"net/mail", "net/netip", "net/textproto", "net/url"}
	clockUses = []string{"Now", "Since", "Until", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer", "Sleep"}
)

// checkPure: no clock, no file, no network, no goroutine.
func checkPure(h *house) (problems []string) {
	for _, p := range h.packages {
		if !slices.Contains(purePackages, p.name) {
			continue
		}
		for _, f := range p.code() {
			_, other := f.imports()
			for _, i := range other {
				top, _, _ := strings.Cut(i, "/")
				if top == "os" || top == "net" && !slices.Contains(pureNet, i) || i == "syscall" || i == "io/ioutil" {
					problems = append(problems, fmt.Sprintf("%s imports %s", f.path, i))
				}
			}
			problems = append(problems, h.impure(f)...)
		}
	}
	return problems
}

func (h *house) impure(f *file) (problems []string) {
	clock := ""
	for _, spec := range f.ast.Imports {
		if spec.Path.Value == `"time"` {
			clock = "time"
			if spec.Name != nil {
				clock = spec.Name.Name
			}
		}
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			problems = append(problems, h.at(n)+": a goroutine")
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == clock && slices.Contains(clockUses, n.Sel.Name) {
				problems = append(problems, fmt.Sprintf("%s: time.%s", h.at(n), n.Sel.Name))
			}
		case *ast.ImportSpec:
			if n.Name != nil && n.Name.Name == "." {
				problems = append(problems, h.at(n)+": a dot import hides what is used")
			}
		}
		return true
	})
	return problems
}

var noNouns = []string{
	"util", "utils", "common", "helper", "helpers", "type", "types", "manager", "managers",
	"misc", "base", "shared", "lib",
}

// checkNames: a package is named by the one concept that it holds.
func checkNames(h *house) (problems []string) {
	for _, p := range h.packages {
		if slices.Contains(noNouns, path.Base(p.dir)) || slices.Contains(noNouns, p.files[0].ast.Name.Name) {
			problems = append(problems, fmt.Sprintf("%s: name it by what it holds", p.dir))
		}
	}
	return problems
}
