package multicall

import (
	"slices"
	"strings"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/command/backup"
	"ailee-recovery/internal/command/createanchor"
	"ailee-recovery/internal/command/diffsnapshots"
	"ailee-recovery/internal/command/doctor"
	"ailee-recovery/internal/command/drill"
	"ailee-recovery/internal/command/extractsnapshots"
	"ailee-recovery/internal/command/getsnapshotblock"
	"ailee-recovery/internal/command/initnode"
	"ailee-recovery/internal/command/initreorgdb"
	"ailee-recovery/internal/command/l2verify"
	"ailee-recovery/internal/command/monitor"
	"ailee-recovery/internal/command/prunesnapshots"
	"ailee-recovery/internal/command/recoversnapshots"
	"ailee-recovery/internal/command/reorgshow"
	"ailee-recovery/internal/command/reorgverify"
	"ailee-recovery/internal/command/restore"
	"ailee-recovery/internal/command/resyncblocks"
	"ailee-recovery/internal/command/showsnapshot"
)

// Commands returns all commands, in the order in which the help lists them. Everything that
// deals with all commands takes them from here.
func Commands() []cli.Tool {
	return []cli.Tool{
		doctor.Tool(), l2verify.Tool(), showsnapshot.Tool(), diffsnapshots.Tool(), extractsnapshots.Tool(), prunesnapshots.Tool(), recoversnapshots.Tool(), getsnapshotblock.Tool(),
		reorgverify.Tool(), reorgshow.Tool(), initreorgdb.Tool(), resyncblocks.Tool(), createanchor.Tool(),
		backup.Tool(), restore.Tool(), monitor.Tool(), drill.Among(isCommand), initnode.Tool(),
	}
}

// isCommand reports whether a command has this name.
func isCommand(name string) bool {
	return slices.ContainsFunc(Commands(), func(t cli.Tool) bool { return t.Name == name })
}

// find returns the command with this name, with or without its prefix ailee_ or ailee-.
func find(name string) (cli.Tool, bool) {
	commands := Commands()
	i := slices.IndexFunc(commands, func(t cli.Tool) bool { return name == t.Name || name == Short(t.Name) })
	if i < 0 {
		return cli.Tool{}, false
	}
	return commands[i], true
}

// Short returns the name of a command as the first argument of [Name].
func Short(name string) string { return strings.TrimLeft(strings.TrimPrefix(name, Name), "_-") }
