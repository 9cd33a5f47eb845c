package monitor_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/command/backup"
	"ailee-recovery/internal/command/monitor"
)

// folder holds the rules and the dashboard.
const folder = "../../../packaging/monitoring/"

// promtool runs promtool, which comes with Prometheus.
func promtool(t *testing.T, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("promtool"); err != nil {
		t.Skip("needs promtool, from the package prometheus")
	}
	out, err := exec.Command("promtool", args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

// TestRules: the rules are well-formed, and each fires exactly when it should.
func TestRules(t *testing.T) {
	promtool(t, "check", "rules", folder+"ailee.rules.yml")
	promtool(t, "test", "rules", folder+"ailee.rules.test.yml")
}

var (
	alert    = regexp.MustCompile(`(?m)^ +- alert: (\w+)\n +expr: (.*)$`)
	testCase = regexp.MustCompile(`(?m)^  - name: (\w+) (.*)$`)
)

// TestEveryRuleHasTests: each rule has a test in which it fires, one in which it does not, and one
// without the series.
func TestEveryRuleHasTests(t *testing.T) {
	text := clitest.Read(t, folder+"ailee.rules.test.yml")
	cases := map[string]string{}
	for _, found := range testCase.FindAllStringSubmatch(text, -1) {
		cases[found[1]] += found[2] + "\n"
	}
	rules := alert.FindAllStringSubmatch(clitest.Read(t, folder+"ailee.rules.yml"), -1)
	require.Len(t, rules, 15)
	for _, rule := range rules {
		for _, kind := range []string{"fires", "does not fire", "without the series"} {
			require.Regexp(t, "(?m)^(.*\\) )?"+kind, cases[rule[1]], rule[1])
		}
	}
	for name := range cases {
		require.True(t, slices.ContainsFunc(rules, func(rule []string) bool { return rule[1] == name }), "there is no rule %s", name)
	}
}

// written returns metrics with everything that the monitor can measure: of a node with anchors
// and blocks, with backups from two runs and an earlier run of the monitor.
func written(t *testing.T) string {
	t.Helper()
	dir := watched(t)
	putAnchors(t, dir, 2, start)
	putBlock(t, dir)
	quiet(t, start.Add(time.Hour), backup.Tool(), "--data-dir", dir)
	prom := filepath.Join(t.TempDir(), "ailee.prom")
	quiet(t, start.Add(time.Hour+time.Second), monitor.Tool(), "--data-dir", dir, "--prometheus", prom, "--max-orphaned", "2")
	return clitest.Read(t, prom)
}

// TestMetrics: Prometheus can read what is written. All metrics are there, each with help and
// type.
func TestMetrics(t *testing.T) {
	text := written(t)
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	line := regexp.MustCompile(`^(ailee_[a-z_]+)(\{[a-z]+="[^"]*"(?:,[a-z]+="[^"]*")*\})? (-?[0-9.]+)$`)
	name, seen := "", map[string]bool{}
	for i, l := range lines {
		if strings.HasPrefix(l, "# HELP ") {
			name = strings.Fields(l)[2]
			require.False(t, seen[name], name)
			seen[name] = true
			require.Regexp(t, `^# HELP ailee_[a-z_]+ [A-Z0-9].*\.$`, l)
			kind := "gauge"
			if strings.HasSuffix(name, "_total") {
				kind = "counter"
			}
			require.Equal(t, "# TYPE "+name+" "+kind, lines[i+1])
			continue
		}
		if strings.HasPrefix(l, "# TYPE ") {
			continue
		}
		found := line.FindStringSubmatch(l)
		require.NotNil(t, found, l)
		require.Equal(t, name, found[1], "no timestamp, and below its help")
	}
	for _, name := range monitor.MetricNames() {
		require.True(t, seen[name], "%s is not measured", name)
	}
	require.Len(t, seen, len(monitor.MetricNames()))
	if path, err := exec.LookPath("promtool"); err == nil {
		cmd := exec.Command(path, "check", "metrics")
		cmd.Stdin = strings.NewReader(text)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Empty(t, string(out))
	}
}

// series returns the series in the metrics: names with labels, and values.
func series(text string) (all [][2]string) {
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name != "#" {
			all = append(all, [2]string{name, value})
		}
	}
	return all
}

// query is a query of the dashboard or of a rule.
type query struct{ of, expr string }

// queries returns the queries of the dashboard and of the rules.
func queries(t *testing.T) (all []query) {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(clitest.Read(t, folder+"ailee.dashboard.json")), &dashboard))
	for _, p := range dashboard.Panels {
		require.NotEmpty(t, p.Targets, p.Title)
		for _, target := range p.Targets {
			all = append(all, query{p.Title, target.Expr})
		}
	}
	for _, rule := range alert.FindAllStringSubmatch(clitest.Read(t, folder+"ailee.rules.yml"), -1) {
		all = append(all, query{rule[1], rule[2]})
	}
	return all
}

var (
	selector = regexp.MustCompile(`(ailee_[a-z_]+)(\{[^}]*\})?`)
	matcher  = regexp.MustCompile(`([a-z_]+)(=~|!~|!=|=)"([^"]*)"`)
	legend   = regexp.MustCompile(`\{\{([a-z]+)\}\}`)
	labels   = regexp.MustCompile(`([a-z]+)="([^"]*)"`)
)

// TestQueriesAreOfMetricsThatExist: each name, each label and each value of a label in the
// dashboard and the rules is one that the monitor writes or the scrape adds. Every metric is used.
func TestQueriesAreOfMetricsThatExist(t *testing.T) {
	values := map[string]map[string][]string{} // by name and label
	for _, s := range series(written(t)) {
		name, rest, _ := strings.Cut(s[0], "{")
		if values[name] == nil {
			values[name] = map[string][]string{"instance": nil}
		}
		for _, label := range labels.FindAllStringSubmatch(rest, -1) {
			values[name][label[1]] = append(values[name][label[1]], label[2])
		}
	}
	used := map[string]bool{}
	for _, q := range queries(t) {
		found := selector.FindAllStringSubmatch(q.expr, -1)
		require.NotEmpty(t, found, q)
		for _, s := range found {
			require.Contains(t, values, s[1], "%v", q)
			used[s[1]] = true
			for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
				require.Contains(t, values[s[1]], m[1], "%v", q)
				if m[1] != "instance" {
					is := regexp.MustCompile("^(?:" + m[3] + ")$")
					require.True(t, slices.ContainsFunc(values[s[1]][m[1]], is.MatchString), "%v: nothing has %s", q, m[0])
				}
			}
		}
	}
	// Labels in the legend of a line are labels of its metric.
	var dashboard struct {
		Panels []struct {
			Targets []struct{ Expr, LegendFormat string }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(clitest.Read(t, folder+"ailee.dashboard.json")), &dashboard))
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			for _, label := range legend.FindAllStringSubmatch(target.LegendFormat, -1) {
				require.Contains(t, values[selector.FindStringSubmatch(target.Expr)[1]], label[1], target.Expr)
			}
		}
	}
	for name := range values {
		if !slices.Contains([]string{"ailee_problems", "ailee_snapshot_verified", "ailee_reorg_db_verified", "ailee_backup_last_run_timestamp_seconds"}, name) {
			require.True(t, used[name], "%s is on no panel and in no rule", name)
		}
	}
}

// TestQueriesHaveAnswers: for what the monitor wrote, Prometheus itself answers each query of the
// dashboard with at least one series.
func TestQueriesHaveAnswers(t *testing.T) {
	var b strings.Builder
	b.WriteString("evaluation_interval: 1m\ntests:\n  - interval: 1m\n    input_series:\n")
	for _, s := range series(written(t)) {
		name, rest, labelled := strings.Cut(s[0], "{")
		if labelled {
			rest = "," + strings.TrimSuffix(rest, "}")
		}
		fmt.Fprintf(&b, "      - series: '%s{instance=\"node:9100\",job=\"node\"%s}'\n        values: %sx90\n", name, rest, s[1])
	}
	b.WriteString("    promql_expr_test:\n")
	grafana := strings.NewReplacer("$instance", ".+", "$__range", "1h", "$__rate_interval", "5m")
	n := 0
	for _, q := range queries(t) {
		if strings.HasPrefix(q.of, "Ailee") {
			continue // rules have their own tests
		}
		expr := grafana.Replace(q.expr)
		if strings.HasSuffix(expr, "> 0") {
			expr = strings.TrimSuffix(expr, "> 0") + ">= 0" // these are 0 if all is well
		}
		n++
		fmt.Fprintf(&b, "      - expr: count(%s) > bool 0\n        eval_time: 80m\n        exp_samples:\n          - labels: '{}'\n            value: 1\n", expr)
	}
	require.Greater(t, n, 20)
	path := filepath.Join(t.TempDir(), "queries.yml")
	require.NoError(t, os.WriteFile(path, []byte(b.String()), 0o600))
	promtool(t, "test", "rules", path)
}

// TestDocumented: docs/monitoring.md lists every alarm with its limit and priority, and every
// metric.
func TestDocumented(t *testing.T) {
	text := clitest.Read(t, "../../../docs/monitoring.md")
	for code, priority := range monitor.Priorities() {
		row := regexp.MustCompile("(?m)^\\|.*`" + code + "`.*\\| (err|warning) \\|$").FindStringSubmatch(text)
		require.NotNil(t, row, code)
		require.Equal(t, map[int]string{3: "err", 4: "warning"}[priority], row[1], code)
	}
	for _, name := range monitor.MetricNames() {
		require.Contains(t, text, "`"+name)
	}
	for _, f := range monitor.Tool().Flags {
		if name := f.Names()[0]; strings.HasPrefix(name, "max-") && name != "max-memory" {
			require.Contains(t, text, "`--"+name+"`")
		}
	}
}
