package monitor

import (
	"time"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/datadir"
)

// document is the JSON result.
type document struct {
	DataDir  string              `json:"data_dir"`
	At       string              `json:"at"`
	Alarms   []alarmDocument     `json:"alarms"`
	Facts    []datadir.Fact      `json:"facts"`
	Metrics  map[string]any      `json:"metrics"`
	State    *stateDocument      `json:"state,omitempty"`
	Warnings []said              `json:"warnings"`
	Errors   []cli.ErrorDocument `json:"errors"`
	ExitCode int                 `json:"exit_code"`
}

type alarmDocument struct {
	Alarm    alarmCode `json:"alarm"`
	Priority int       `json:"priority"` // of syslog
	said
}

type said struct {
	Message string `json:"message"`
	Hint    string `json:"hint"`
}

type stateDocument struct {
	File  string `json:"file"`
	Runs  int64  `json:"runs"`            // including this one
	Begun string `json:"begun,omitempty"` // why this run started over
}

func (f failure) said() said { return said{terminal.Text(f.text), terminal.Text(f.hint)} }

// document returns the JSON result. Alarms are in it twice: by their codes, and among the errors
// with everything else that makes the exit status.
func (r *run) document() document {
	d := document{DataDir: terminal.Text(r.DataDir), At: r.now.Format(time.RFC3339), Alarms: []alarmDocument{}, Facts: r.view.Facts,
		Metrics: r.metrics.document(), Warnings: []said{}, Errors: []cli.ErrorDocument{}, ExitCode: r.code()}
	for _, a := range r.alarms {
		d.Alarms = append(d.Alarms, alarmDocument{a.code, a.priority(), failure{a.text, a.hint}.said()})
		d.Errors = append(d.Errors, cli.NewErrorDocument(a.text, a.hint))
	}
	for _, f := range r.failures {
		d.Errors = append(d.Errors, cli.NewErrorDocument(f.text, f.hint))
	}
	for _, w := range r.warnings {
		d.Warnings = append(d.Warnings, w.said())
	}
	if r.StateFile != "" {
		d.State = &stateDocument{terminal.Text(r.StateFile), r.next.Runs, terminal.Text(r.begun)}
	}
	return d
}
