package monitor

// MetricNames returns the names of all metrics.
func MetricNames() (names []string) {
	for _, d := range described {
		names = append(names, prefix+d.name)
	}
	return names
}

// Priorities returns the priorities of all alarms.
func Priorities() map[string]int {
	all := map[string]int{}
	for code, priority := range priorities {
		all[string(code)] = priority
	}
	return all
}
