package monitor

// MetricNames are the names of all metrics.
func MetricNames() (names []string) {
	for _, d := range described {
		names = append(names, prefix+d.name)
	}
	return names
}
