package doctor

import (
	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/datadir"
	"ailee-recovery/internal/exit"
)

// document is the JSON result.
type document struct {
	DataDir  string         `json:"data_dir"`
	At       string         `json:"at"`
	Facts    []datadir.Fact `json:"facts"`
	Plan     planDocument   `json:"plan"`
	ExitCode int            `json:"exit_code"`
}

type planDocument struct {
	Steps      []stepDocument       `json:"steps"`
	Stops      bool                 `json:"stops_node"`
	Loses      string               `json:"loses"`
	Blocks     uint64               `json:"loses_block_hashes"`
	Instead    *alternativeDocument `json:"instead,omitempty"`
	Consider   []adviceDocument     `json:"consider"`
	LastResort *lastResortDocument  `json:"last_resort,omitempty"`
	Again      *againDocument       `json:"again,omitempty"`
}

type stepDocument struct {
	Number  int      `json:"number"`
	Text    string   `json:"text"`
	Command string   `json:"command,omitempty"` // to be pasted
	Argv    []string `json:"argv,omitempty"`
	Loses   string   `json:"loses"`
	Why     string   `json:"why,omitempty"`
	Node    string   `json:"node"` // stopped, or any
	Expect  []int    `json:"expect"`
	Manual  bool     `json:"manual"`
}

type adviceDocument struct {
	Text    string `json:"text"`
	Command string `json:"command,omitempty"`
}

type alternativeDocument struct {
	Command string `json:"command"`
	Loses   string `json:"loses"`
}

type lastResortDocument struct {
	Loses string         `json:"loses"`
	Steps []stepDocument `json:"steps"`
}

type againDocument struct {
	Text    string `json:"text"`
	Command string `json:"command"`
}

func (d *diagnosis) document() document {
	p := d.plan
	doc := document{DataDir: terminal.Text(d.DataDir), At: d.view.At.Format(timeForm), Facts: d.view.Facts, ExitCode: d.view.ExitCode(),
		Plan: planDocument{Steps: stepDocuments(p.Steps), Stops: p.Stops, Loses: p.Loses, Blocks: p.Blocks, Consider: []adviceDocument{}}}
	for _, a := range p.Consider {
		advice := adviceDocument{Text: a.Text}
		if a.Command != nil {
			advice.Command = exit.Command(a.Command...)
		}
		doc.Plan.Consider = append(doc.Plan.Consider, advice)
	}
	if p.Instead != nil {
		doc.Plan.Instead = &alternativeDocument{exit.Command(p.Instead.Command...), p.Instead.Loses}
	}
	if p.LastResort != nil {
		doc.Plan.LastResort = &lastResortDocument{p.LastResortLoses, stepDocuments(p.LastResort)}
	}
	if p.Again != nil {
		doc.Plan.Again = &againDocument{p.Again.Text, exit.Command(p.Again.Command...)}
	}
	return doc
}

// timeForm is RFC 3339 in UTC with seconds.
const timeForm = "2006-01-02T15:04:05Z"

func stepDocuments(steps []Step) []stepDocument {
	list := []stepDocument{}
	for _, s := range steps {
		d := stepDocument{Number: s.Number, Text: s.Text, Argv: s.Command, Loses: s.Loses, Why: s.Why, Node: "any", Expect: append([]int{}, s.Expect...), Manual: s.Manual}
		if s.Command != nil {
			d.Command = exit.Command(s.Command...)
		}
		if s.Stopped {
			d.Node = "stopped"
		}
		list = append(list, d)
	}
	return list
}
