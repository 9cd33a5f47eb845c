package doctor

import (
	"context"
	"os"
	"path/filepath"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/flags"
	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/datadir"
	"ailee-recovery/internal/exit"
)

// diagnosis is one run of the command.
type diagnosis struct {
	Options
	view *datadir.View
	plan Plan
}

// Run checks the data and prints what to do. The error carries the exit code.
func Run(ctx context.Context, o Options, out *cli.IO) error {
	var client *bitcoin.Client
	url := ""
	if o.Bitcoin != nil {
		var err error
		if client, err = bitcoin.Open(*o.Bitcoin, out.Warn); err != nil {
			return err
		}
		url = client.URL()
	}
	reading := terminal.Reading{W: out.Err, Show: !out.Quiet()}
	view, err := datadir.Look(ctx, datadir.Options{DataDir: o.DataDir, BackupDir: o.BackupDir, Unit: o.Unit, Bitcoin: client, Memory: o.Memory(), Now: out.Now,
		Progress: reading.Progress})
	reading.Done()
	if err != nil {
		return err
	}
	d := &diagnosis{Options: o, view: view}
	d.plan = MakePlan(view, o.setting(out, url))
	if out.JSON() {
		out.Document(d.document())
	} else {
		d.print(out)
	}
	switch view.ExitCode() {
	case exit.Wrong:
		return exit.WrongData("", nil)
	case exit.Failed:
		return &exit.Error{Code: exit.Failed} // what could not be checked has been printed
	}
	return nil
}

// setting returns what a plan needs to know about the options.
func (o Options) setting(out *cli.IO, url string) Setting {
	s := Setting{DataDir: o.DataDir, BackupDir: o.BackupDir, Unit: o.Unit, URL: url, Root: os.Geteuid() == 0, Now: out.Now().UTC()}
	if b := o.Bitcoin; b != nil {
		for _, flag := range [][2]string{{"--rpc-cookie-file", b.CookieFile}, {"--rpc-ca-cert", b.CACert}} {
			if flag[1] != "" {
				s.Login = append(s.Login, flag[:]...)
			}
		}
	}
	if s.DataDir != flags.DefaultDataDir {
		s.Flags = append(s.Flags, "--data-dir", s.DataDir)
	}
	if s.BackupDir != "" && s.BackupDir != filepath.Join(s.DataDir, "backups") {
		s.Flags = append(s.Flags, "--backup-dir", s.BackupDir)
	}
	if s.BackupDir == "" {
		s.BackupDir = filepath.Join(s.DataDir, "backups")
	}
	return s
}
