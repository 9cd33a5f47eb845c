package drill

import (
	"context"
	"errors"
	"fmt"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/drillchain"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
)

// drill is one run of the command. Once a step has failed, later steps do nothing, so that steps
// can follow each other without error handling.
type drill struct {
	*stage
	toolbox
	o     Options
	out   *cli.IO
	chain drillchain.Chain // nil until one is started
	tip   int64            // height of its last block
	db    string           // path of the database in use
	steps []stepDocument
	err   error // of the step that failed: it carries the exit code
}

// document is the JSON result.
type document struct {
	Mode     Mode                `json:"mode"`
	DataDir  string              `json:"data_dir"`
	Chain    drillchain.Kind     `json:"chain"` // "" if none was needed
	Verdict  string              `json:"verdict"`
	Steps    []stepDocument      `json:"steps"`
	Errors   []cli.ErrorDocument `json:"errors"` // at most one, since the first ends the drill
	ExitCode int                 `json:"exit_code"`
}

type stepDocument struct {
	Step   string `json:"step"`
	Passed bool   `json:"passed"`
}

// Run runs a drill. The error carries the exit code: [exit.Wrong] if something was not recovered,
// [exit.Failed] if the drill came to no verdict.
func Run(ctx context.Context, o Options, out *cli.IO) (err error) {
	tools := newToolbox(ctx, o.Tools, o.Among)
	if err := tools.need(o); err != nil {
		return err
	}
	s, err := openStage(o.DataDir)
	if err != nil {
		return err
	}
	tools.env = append(tools.env, "TMPDIR="+s.path(temporaryPart))
	d := &drill{stage: s, toolbox: tools, o: o, out: out, db: s.path(nodePart, "reorg_db")}
	defer func() {
		if d.chain != nil {
			d.chain.Close()
		}
		if closeErr := s.close(); closeErr != nil {
			out.Warn("%v", closeErr)
		}
	}()
	switch o.Mode {
	case Crash:
		d.crash()
	case Reorg:
		d.reorg()
	case Corruption:
		d.corruption()
	}
	return d.conclude(d.askDoctor())
}

// step takes a step. If it fails, the recovery is wrong, unless the error has its own exit code
// or the drill can no longer write anything.
func (d *drill) step(what string, take func() error) {
	if d.err != nil {
		return
	}
	err := take()
	if err == nil {
		d.out.Printf("ok      %s\n", terminal.Text(what))
		d.steps = append(d.steps, stepDocument{what, true})
		return
	}
	if ctxErr := d.ctx.Err(); ctxErr != nil {
		d.err = ctxErr
		return
	}
	var e *exit.Error
	if errors.As(err, &e) {
		d.err = &exit.Error{Code: e.Code, Hint: e.Hint, Err: fmt.Errorf("%s: %w", what, err)}
		return
	}
	if broken := d.writable(); broken != nil {
		d.err = own(fmt.Errorf("%s: %v; nothing can be written: %w", what, err, broken))
		return
	}
	d.out.Printf("FAILED  %s\n", terminal.Text(what))
	d.steps = append(d.steps, stepDocument{what, false})
	d.err = exit.WrongData("", fmt.Errorf("%s: %w", what, err))
}

// own marks an error of the drill itself, which says nothing about the recovery.
func own(err error) error {
	if err == nil {
		return nil
	}
	return exit.Fail(durable.Hint(err), err)
}

// conclude prints the verdict, and the doctor's, if there is one, as the last line.
func (d *drill) conclude(doctor string) error {
	if d.err != nil && (errors.Is(d.err, exit.ErrInterrupted) || d.ctx.Err() != nil && errors.Is(d.err, d.ctx.Err())) {
		return d.err
	}
	doc := document{Mode: d.o.Mode, DataDir: terminal.Text(d.dir), Verdict: "passed", Steps: d.steps, Errors: []cli.ErrorDocument{}, ExitCode: exit.Code(d.err)}
	if d.chain != nil {
		doc.Chain = d.chain.Kind()
	}
	if d.err != nil {
		doc.Verdict = "failed"
		d.leave()
		doc.Errors = cli.ErrorDocuments(d.err)
	}
	// There is no result without a verdict.
	if doc.ExitCode != exit.Failed {
		d.out.Printf("Drill %s: %s, %d steps\n", doc.Verdict, d.o.Mode, len(d.steps))
		if d.out.JSON() {
			d.out.Document(doc)
		}
	}
	if doctor != "" {
		d.out.Printf("%s\n", doctor)
	}
	return d.err
}

// leave keeps the folder after an error, and says where it is.
func (d *drill) leave() {
	if err := d.keep(); err != nil {
		d.out.Warn("%v", err)
	}
	var e *exit.Error
	if errors.As(d.err, &e) && e.Hint == "" {
		d.err = &exit.Error{Code: e.Code, Err: e.Err, Hint: "see what the drill left: " + d.dir} // the drill failed
	}
}
