package drill

import (
	"fmt"
	"strings"

	"ailee-recovery/internal/exit"
)

// askDoctor ends a drill if ailee-doctor is installed: its verdict on the node's directory is
// the last line, and its exit status that of the drill. It backs up first, since the doctor
// wants a backup that lacks nothing, as after any recovery.
func (d *drill) askDoctor() (verdict string) {
	if _, err := d.find(doctor); err != nil || d.err != nil {
		return ""
	}
	d.step("back up", d.exits(exit.OK, backup, "--quiet", "--data-dir", d.node()))
	d.step("ask "+doctor, func() error {
		s, err := d.run(doctor, "--data-dir", d.node())
		if err != nil {
			return err
		}
		verdict = doctorsVerdict(string(s.stdout))
		if s.code == exit.OK && strings.HasPrefix(verdict, "Healthy") {
			return nil
		}
		// Print its facts and what to do about them.
		d.out.Printf("%s\n", s.stdout)
		err = fmt.Errorf("%s: %q", s.outcome(doctor), verdict)
		if s.code == exit.Failed {
			return exit.Fail("", err)
		}
		return err
	})
	return verdict
}

// doctorsVerdict returns the third paragraph of the doctor's output in one line. It follows the
// heading and the facts.
func doctorsVerdict(text string) string {
	paragraphs := strings.Split(strings.TrimSpace(text), "\n\n")
	if len(paragraphs) < 3 {
		return ""
	}
	return strings.Join(strings.Fields(paragraphs[2]), " ")
}
