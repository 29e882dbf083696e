// Package metrics shows the statistics elements and the host queues to Prometheus, in its
// text format over HTTP, on addresses and sockets that settings name. Every series of a
// server is there from its start, with zero, but those of single host queues, which come
// and go with them: of these the largest and the oldest are shown, and how many there may be
// is a setting, since strangers choose their names.
package metrics

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/prometheus/client_golang/prometheus"

	"cgq/pkg/queue"
	"cgq/pkg/stats"
)

// A Source is what is shown. It is asked anew each time.
type Source struct {
	Stats   *stats.Set
	Modules []string // the names of all modules
	Hosts   func() iter.Seq[queue.HostView]
	Version string
	Queues  func() int // how many single host queues are shown; 0: none
	Now     func() time.Time
}

// A collector implements [prometheus.Collector].
type collector struct {
	Source
	elements map[string]element
	info     *prometheus.Desc
	module   map[string]*prometheus.Desc
	host     map[string]*prometheus.Desc
}

// An element is a statistics element as Prometheus has it.
type element struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

// Prefix begins the names of all metrics of this server.
const Prefix = "cgq_"

// ElementName is the name of the metric of a statistics element: numQueuedMessages is
// cgq_num_queued_messages, smtpInputJobs cgq_smtp_input_jobs_total.
func ElementName(a stats.About) string {
	var b strings.Builder
	for _, c := range a.Name {
		if unicode.IsUpper(c) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(c))
	}
	name := Prefix + strings.TrimSuffix(b.String(), "_total")
	if a.Kind == stats.Total {
		name += "_total"
	}
	return name
}

// The metrics of a module and of a host queue.
var (
	ofModules = []struct{ name, doc string }{
		{"module_queues", "host queues of a module"},
		{"module_delayed_queues", "host queues of a module that are delayed"},
		{"module_active_queues", "host queues of a module that it works now"},
		{"module_messages", "messages in the host queues of a module; one in several counts in each"},
		{"module_recipients", "recipients in the host queues of a module"},
		{"module_held_messages", "messages in the host queues of a module that are held"},
		{"module_oldest_seconds", "age of the oldest message in the host queues of a module, in seconds; 0: there is none"},
	}
	ofHosts = []struct{ name, doc string }{
		{"queue_messages", "messages in a host queue"},
		{"queue_recipients", "recipients in a host queue"},
		{"queue_bytes", "bytes of the texts in a host queue"},
		{"queue_oldest_seconds", "age of the oldest message in a host queue, in seconds"},
		{"queue_delayed", "1: the host queue is delayed"},
		{"queue_failed_attempts", "failed attempts in a row of the host queue as a whole"},
	}
)

// Collector shows a source to Prometheus.
func Collector(s Source) prometheus.Collector {
	c := &collector{Source: s, elements: map[string]element{}, module: map[string]*prometheus.Desc{}, host: map[string]*prometheus.Desc{},
		info: prometheus.NewDesc(Prefix+"info", "always 1; the version of cgqd", []string{"version"}, nil)}
	for _, a := range stats.Catalogue() {
		kind := prometheus.GaugeValue
		if a.Kind == stats.Total {
			kind = prometheus.CounterValue
		}
		c.elements[a.Name] = element{prometheus.NewDesc(ElementName(a), a.Doc, nil, nil), kind}
	}
	for _, m := range ofModules {
		c.module[m.name] = prometheus.NewDesc(Prefix+m.name, m.doc, []string{"module"}, nil)
	}
	for _, h := range ofHosts {
		c.host[h.name] = prometheus.NewDesc(Prefix+h.name, h.doc, []string{"module", "queue"}, nil)
	}
	return c
}

// Describe implements [prometheus.Collector].
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.info
	for _, e := range c.elements {
		ch <- e.desc
	}
	for _, of := range []map[string]*prometheus.Desc{c.module, c.host} {
		for _, d := range of {
			ch <- d
		}
	}
}

// Collect implements [prometheus.Collector].
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(c.info, prometheus.GaugeValue, 1, label(c.Version))
	for _, e := range c.Stats.All() {
		if is, ok := c.elements[e.Name]; ok {
			ch <- prometheus.MustNewConstMetric(is.desc, is.kind, float64(e.Value))
		}
	}
	now := c.Now()
	modules := map[string]map[string]float64{}
	for _, name := range c.Modules {
		modules[name] = map[string]float64{}
	}
	shown := newShown(c.Queues())
	for v := range c.Hosts() {
		if modules[v.Module] == nil {
			modules[v.Module] = map[string]float64{}
		}
		count(modules[v.Module], v, now)
		shown.add(v)
	}
	for _, name := range slices.Sorted(maps.Keys(modules)) {
		for _, m := range ofModules {
			ch <- prometheus.MustNewConstMetric(c.module[m.name], prometheus.GaugeValue, modules[name][m.name], label(name))
		}
	}
	for _, v := range shown.all() {
		for i, value := range host(v, now) {
			ch <- prometheus.MustNewConstMetric(c.host[ofHosts[i].name], prometheus.GaugeValue, value, label(v.Module), label(v.Queue))
		}
	}
}

// label is a text as the value of a label, which is UTF-8.
func label(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// count adds a host queue to what is known of its module.
func count(sum map[string]float64, v queue.HostView, now time.Time) {
	sum["module_queues"]++
	if !v.Until.IsZero() {
		sum["module_delayed_queues"]++
	}
	if v.Active {
		sum["module_active_queues"]++
	}
	sum["module_messages"] += float64(v.Messages)
	sum["module_recipients"] += float64(v.Recipients)
	sum["module_held_messages"] += float64(v.Held)
	sum["module_oldest_seconds"] = max(sum["module_oldest_seconds"], age(v, now))
}

// host are the values of ofHosts.
func host(v queue.HostView, now time.Time) []float64 {
	delayed := 0.0
	if !v.Until.IsZero() {
		delayed = 1
	}
	return []float64{float64(v.Messages), float64(v.Recipients), float64(v.Bytes), age(v, now), delayed, float64(v.Attempts)}
}

func age(v queue.HostView, now time.Time) float64 {
	if v.Oldest.IsZero() {
		return 0
	}
	return max(0, now.Sub(v.Oldest).Seconds())
}

// A shown is a choice of host queues: the first half by size, the others by age.
type shown struct {
	limit int
	large []queue.HostView // by falling size
	old   []queue.HostView // by rising time
}

func newShown(limit int) *shown { return &shown{limit: limit} }

func (s *shown) add(v queue.HostView) {
	s.large = keep(s.large, v, s.limit, func(a, b queue.HostView) int { return cmp.Compare(b.Messages, a.Messages) })
	s.old = keep(s.old, v, s.limit, func(a, b queue.HostView) int { return a.Oldest.Compare(b.Oldest) })
}

// keep puts a host queue where it belongs among the first limit ones.
func keep(all []queue.HostView, v queue.HostView, limit int, order func(a, b queue.HostView) int) []queue.HostView {
	if len(all) == limit && (limit == 0 || order(v, all[limit-1]) >= 0) {
		return all
	}
	at, _ := slices.BinarySearchFunc(all, v, order)
	all = slices.Insert(all, at, v)
	return all[:min(len(all), limit)]
}

// all are the chosen ones.
func (s *shown) all() (chosen []queue.HostView) {
	seen := map[queue.Key]bool{}
	take := func(from []queue.HostView, limit int) {
		for _, v := range from {
			if len(chosen) < limit && !seen[v.Key] {
				seen[v.Key] = true
				chosen = append(chosen, v)
			}
		}
	}
	take(s.large, (s.limit+1)/2)
	take(s.old, s.limit)
	take(s.large, s.limit)
	return chosen
}
